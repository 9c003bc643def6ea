"""The event store in memory; `routing` routes the events."""

import json
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

from activityctl.adapters.memory.events import gatherings
from activityctl.adapters.memory.events.routing import open_routing, read_listeners
from activityctl.adapters.memory.state import EventRow, MemoryState
from activityctl.domain.events.emit_note import EmitNote
from activityctl.domain.events.emit_result import outcomes_of
from activityctl.domain.events.envelope import EventEnvelope
from activityctl.domain.events.query import matches_any_glob, resolve_event
from activityctl.domain.events.stored_event import ArrivedEvent, EmitOutcome, Verdict
from activityctl.domain.routing.index import Listener
from activityctl.domain.routing.listeners import faults_of
from activityctl.domain.values import ids
from activityctl.domain.values.ids import EventId
from activityctl.domain.values.selection import Selection
from activityctl.ports import Routing, Work


class MemoryEventStore:
    """Implements the EventStore port."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    async def add(
        self, events: Sequence[EventEnvelope], note: EmitNote | None = None
    ) -> list[EmitOutcome]:
        """Store the events and wake the router; return one outcome for each, in order.

        The same event twice in one call is a duplicate too.
        """
        outcomes = self._add(events)
        if note is not None:
            self._state.audit.append(note.counted(outcomes))
        return outcomes

    def _add(self, events: Sequence[EventEnvelope]) -> list[EmitOutcome]:
        rows = self._state.events
        now = self._state.clock()
        new: set[EventId] = set()
        given: list[tuple[EventId, str]] = []
        for event in events:
            text, digest = event.serialised
            given.append((event.event_id, digest))
            if event.event_id not in rows:
                new.add(event.event_id)
                position = next(reversed(rows.values())).event.position + 1 if rows else 1
                stored = ArrivedEvent(event.event_id, position, json.loads(text), now)
                rows[event.event_id] = EventRow(stored, digest)
        if new:
            self._state.wake_workers(Work.EVENT)
        return outcomes_of(given, new, {key: rows[key].digest for key, _ in given})

    def routing(self, limit: int) -> AbstractAsyncContextManager[Routing | None]:
        """Hold the router's lock and the oldest unrouted events; None when the lock is taken."""
        return open_routing(self._state, limit)

    async def unreadable(self, owners: Sequence[str] | None = None) -> list[Listener]:
        """Return the stored event triggers that cannot be read, of all owners or of these."""
        return faults_of(read_listeners(self._state, owners))

    async def seconds_to_due(self) -> float | None:
        """Return the seconds until the next gathering is due; None when there is none."""
        return gatherings.seconds_to_due(self._state)

    async def find_event(self, reference: str) -> ArrivedEvent:
        """Return the event with our id or the sender's id, else with a unique prefix of either.

        Raises NotFoundError when there is none, ConflictError when there are several.
        """
        rows = self._state.events
        if reference in rows:
            return rows[reference].event
        events = [row.event for row in rows.values() if reference]
        named = [event for event in events if event.document["id"] == reference]
        found = named or [event for event in events if _has_prefix(event, reference)]
        return resolve_event(reference, sorted(found, key=lambda event: event.position))

    async def events(self, selection: Selection) -> list[ArrivedEvent]:
        """Return events, newest first."""
        found = [
            row.event for row in self._state.events.values() if self._is_selected(row, selection)
        ]
        found.sort(key=lambda event: -event.position)
        if selection.after:
            places: list[tuple[object, ...]] = [(event.position,) for event in found]
            found = found[places.index(selection.after) + 1 :]
        return found[: selection.limit]

    async def unrouted(self, event_ids: Sequence[str]) -> list[EventId]:
        """Return which of these events are not routed yet."""
        wanted = set(event_ids)
        rows = self._state.events.values()
        events = (row.event for row in rows if row.event.id in wanted)
        return [event.id for event in events if event.routed_at is None]

    async def verdicts(self, event_ids: Sequence[str]) -> list[Verdict]:
        """Return the verdicts on these events, by event, subscription and trigger."""
        wanted = set(event_ids)
        verdicts = self._state.verdicts
        return [verdicts[key] for key in sorted(verdicts) if key[0] in wanted]

    def _is_selected(self, row: EventRow, selection: Selection) -> bool:
        event = row.event
        return (
            (selection.since is None or event.arrived_at >= selection.since)
            and (selection.until is None or event.arrived_at < selection.until)
            and matches_any_glob(event.document["type"], selection.types)
            and matches_any_glob(event.document["source"], selection.sources)
            and (not selection.statuses or event.status in selection.statuses)
            and (selection.subscription_id is None or self._has_verdict(event, selection))
            and (selection.run_id is None or self._is_of_run(event, selection.run_id))
        )

    def _has_verdict(self, event: ArrivedEvent, selection: Selection) -> bool:
        wanted = (event.id, selection.subscription_id)
        return any(key[:2] == wanted for key in self._state.verdicts)

    def _is_of_run(self, event: ArrivedEvent, run_id: str) -> bool:
        row = self._state.runs.get(run_id)
        if row is None:
            return False
        run = row.run
        firing = self._state.firings.get(
            ids.firing_id(run.subscription_id, run.trigger, run.firing_key)
        )
        return firing is not None and event.id in firing.event_ids


def _has_prefix(event: ArrivedEvent, reference: str) -> bool:
    return event.id.startswith(reference) or event.document["id"].startswith(reference)
