"""The archive of events in memory: pages of the past, events fed again, and their removal."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from activityctl.adapters.memory.events.routing import write_firings, write_refused, write_verdicts
from activityctl.adapters.memory.state import MemoryState
from activityctl.domain.events.query import EventQuery, archive_order, sort_events
from activityctl.domain.events.stored_event import ArrivedEvent, Verdict, VerdictOutcome
from activityctl.domain.routing.routing import EventFiring, RefusedFiring
from activityctl.domain.values import ids


class MemoryEventArchive:
    """The EventArchive port."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    async def count(self, stretch: EventQuery) -> int:
        """Return how many events the stretch holds."""
        return len(self._held(stretch))

    async def page(
        self,
        stretch: EventQuery,
        after: ArrivedEvent | None,
        limit: int,
        *,
        newest_first: bool = False,
    ) -> list[ArrivedEvent]:
        """Return the next events behind that one, as they arrived or the other way round."""
        found = sort_events(self._held(stretch), newest_first=newest_first)
        if after is not None:
            last = archive_order(after)
            found = [
                one
                for one in found
                if (archive_order(one) < last if newest_first else archive_order(one) > last)
            ]
        return found[:limit]

    async def write_replayed(
        self,
        firings: Sequence[EventFiring],
        verdicts: Sequence[Verdict],
        now: datetime,
        refused: Sequence[RefusedFiring] = (),
    ) -> int:
        """Write what events fed again led to; return how many firings are new."""
        events, rows = self._state.events, self._state.firings
        present = [one for one in verdicts if one.event_id in events]
        new = [
            one
            for one in firings
            if events.keys() >= set(one.event_ids) and _firing_id(one) not in rows
        ]
        write_firings(self._state, new, now)
        for one in present:
            key = (one.event_id, one.subscription_id, one.trigger, one.replay)
            known = self._state.verdicts.get(key)
            if known is not None and known.outcome is not VerdictOutcome.WOKEN:
                del self._state.verdicts[key]
        write_verdicts(self._state, present)
        runs = self._state.runs
        kept = [one for one in refused if events.keys() >= set(one.event_ids)]
        write_refused(self._state, [one for one in kept if one.run_id not in runs], now)
        return len(new)

    async def waiting(self, firing_keys: str) -> int:
        """Return how many firings are due and not started whose keys begin so."""
        now = self._state.clock()
        return sum(
            row.dispatched_at is None
            and row.fires_at is not None
            and row.fires_at <= now
            and row.firing.firing_key.startswith(firing_keys)
            for row in self._state.firings.values()
        )

    async def remove(self, age: timedelta, limit: int) -> int:
        """Remove the oldest events over that age that nothing waits for; return how many."""
        before = self._state.clock() - age
        waiting = self._waiting_for()
        events = (row.event for row in self._state.events.values())
        old = [
            one.id
            for one in sort_events(events)
            if one.arrived_at < before and one.routed_at is not None and one.id not in waiting
        ][:limit]
        for event_id in old:
            del self._state.events[event_id]
        gone = [key for key in self._state.verdicts if key[0] in set(old)]
        for key in gone:
            del self._state.verdicts[key]
        return len(old)

    def _held(self, stretch: EventQuery) -> list[ArrivedEvent]:
        return [row.event for row in self._state.events.values() if stretch.holds(row.event)]

    def _waiting_for(self) -> set[str]:
        """Return the events that a firing or a gathering waits with."""
        rows = self._state.firings.values()
        firing = {one for row in rows if row.dispatched_at is None for one in row.event_ids}
        gatherings = self._state.gatherings.values()
        return firing | {event.id for one in gatherings for event in one.events}


def _firing_id(firing: EventFiring) -> str:
    return ids.firing_id(firing.subscription_id, firing.trigger, firing.firing_key)
