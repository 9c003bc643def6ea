"""The event archive in memory: counts, pages, replays and the removal of old events."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from activityctl.adapters.memory.events.routing import write_firings, write_refused, write_verdicts
from activityctl.adapters.memory.state import MemoryState
from activityctl.domain.events.query import EventQuery, archive_order, sort_events
from activityctl.domain.events.stored_event import ArrivedEvent, Verdict, VerdictOutcome
from activityctl.domain.routing.routing import EventFiring, RefusedFiring
from activityctl.domain.values import ids


class MemoryEventArchive:
    """Implements the EventArchive port."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    async def count(self, query: EventQuery) -> int:
        """Return how many events match the query."""
        return len(self._matching(query))

    async def arrival(self, query: EventQuery, place: int) -> datetime | None:
        """Return when the event arrived that has this place in the order of arrival."""
        found = sort_events(self._matching(query))
        return found[place].arrived_at if place < len(found) else None

    async def page(
        self,
        query: EventQuery,
        after: ArrivedEvent | None,
        limit: int,
        *,
        newest_first: bool = False,
    ) -> list[ArrivedEvent]:
        """Return the next events after that one, in the order of arrival or newest first."""
        found = sort_events(self._matching(query), newest_first=newest_first)
        if after is not None:
            last = archive_order(after)
            found = [
                event
                for event in found
                if (archive_order(event) < last if newest_first else archive_order(event) > last)
            ]
        return found[:limit]

    async def write_replayed(
        self,
        firings: Sequence[EventFiring],
        verdicts: Sequence[Verdict],
        now: datetime,
        refused: Sequence[RefusedFiring] = (),
    ) -> int:
        """Write the results of a replay in one transaction; return how many firings are new.

        A verdict of an earlier call is replaced, unless it is `woken`.
        """
        events, rows = self._state.events, self._state.firings
        present = [verdict for verdict in verdicts if verdict.event_id in events]
        new = [
            firing
            for firing in firings
            if events.keys() >= set(firing.event_ids) and _firing_id(firing) not in rows
        ]
        write_firings(self._state, new, now)
        for verdict in present:
            key = (verdict.event_id, verdict.subscription_id, verdict.trigger, verdict.replay)
            known = self._state.verdicts.get(key)
            if known is not None and known.outcome is not VerdictOutcome.WOKEN:
                del self._state.verdicts[key]
        write_verdicts(self._state, present)
        runs = self._state.runs
        new_refused = [
            firing
            for firing in refused
            if events.keys() >= set(firing.event_ids) and firing.run_id not in runs
        ]
        write_refused(self._state, new_refused, now)
        return len(new)

    async def waiting(self, firing_keys: str) -> int:
        """Return how many firings with this key prefix are due and not started."""
        now = self._state.clock()
        return sum(
            row.dispatched_at is None
            and row.fires_at is not None
            and row.fires_at <= now
            and row.firing.firing_key.startswith(firing_keys)
            for row in self._state.firings.values()
        )

    async def remove(self, age: timedelta, limit: int) -> int:
        """Remove the oldest events above that age that nothing waits for; return how many."""
        before = self._state.clock() - age
        waiting = self._waiting_for()
        events = (row.event for row in self._state.events.values())
        old = [
            event.id
            for event in sort_events(events)
            if event.arrived_at < before and event.routed_at is not None and event.id not in waiting
        ][:limit]
        for event_id in old:
            del self._state.events[event_id]
        verdict_keys = [key for key in self._state.verdicts if key[0] in set(old)]
        for key in verdict_keys:
            del self._state.verdicts[key]
        return len(old)

    def _matching(self, query: EventQuery) -> list[ArrivedEvent]:
        return [row.event for row in self._state.events.values() if query.holds(row.event)]

    def _waiting_for(self) -> set[str]:
        """Return the ids of the events that waiting firings or gatherings have."""
        rows = self._state.firings.values()
        of_firings = {
            event_id for row in rows if row.dispatched_at is None for event_id in row.event_ids
        }
        gatherings = self._state.gatherings.values()
        return of_firings | {event.id for gathering in gatherings for event in gathering.events}


def _firing_id(firing: EventFiring) -> str:
    return ids.firing_id(firing.subscription_id, firing.trigger, firing.firing_key)
