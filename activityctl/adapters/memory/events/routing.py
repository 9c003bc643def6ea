"""Routing in memory: reads unrouted events and their listeners, and writes the results.

The domain decides which listeners an event matches.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime

from activityctl.adapters.memory.events import gatherings
from activityctl.adapters.memory.state import FiringRow, MemoryState, RunRow, WaitRow, stored_json
from activityctl.domain.events.gathering import Gathering, GatheringKey
from activityctl.domain.events.stored_event import ArrivedEvent, Verdict
from activityctl.domain.manifests.subscription import SubscriptionStatus
from activityctl.domain.routing.event_waits import EventWait
from activityctl.domain.routing.index import Listener
from activityctl.domain.routing.listeners import stored_listeners
from activityctl.domain.routing.routing import (
    EventFiring,
    RefusedFiring,
    Routed,
    refused_log_entries,
)
from activityctl.domain.runs.run import Run
from activityctl.domain.runs.waiting import Answer
from activityctl.domain.timing.firing import FiringRequest
from activityctl.domain.timing.window import DaysByCalendar
from activityctl.domain.values import ids
from activityctl.domain.values.ids import EventId, SubscriptionId, canonical_json
from activityctl.ports import Routing, WaitsVersion, Work


class MemoryRouting:
    """Implements the Routing port, within one transaction."""

    def __init__(self, state: MemoryState, events: list[ArrivedEvent], *, is_last: bool) -> None:
        self._state = state
        self.events = events
        self.is_last = is_last
        self.catalog_version = _version_of(state)
        self.now = state.clock()
        self.saved: list[tuple[Routed, datetime]] = []
        waiting = _open_event_waits(state)
        self.waits_version = WaitsVersion(
            len(waiting), hash(tuple(sorted(row.wait.task_id for row in waiting)))
        )

    async def event_waits(self) -> list[EventWait]:
        """Return every open wait for an event that has no answer."""
        return [
            EventWait(
                row.wait.task_id,
                row.wait.event or {},
                self._state.runs[row.wait.run_id].run.params,
                row.wait.since or row.wait.began_at,
                frozenset(row.wait.own_events),
                row.looks_after,
            )
            for row in _open_event_waits(self._state)
        ]

    async def older_events(self, wait: EventWait, limit: int) -> list[ArrivedEvent]:
        """Return routed events that may end the wait, in the order of arrival."""
        found = [
            row.event
            for row in self._state.events.values()
            if row.event.routed_at is not None
            and row.event.arrived_at >= wait.since
            and row.event.position > (wait.looks_after or 0)
        ]
        return sorted(found, key=lambda event: event.position)[:limit]

    async def listeners(self) -> list[Listener]:
        """Return every event trigger of every subscription that is not deleted, at one moment.

        Sets `catalog_version` to the version of the catalog that they belong to.
        """
        self.catalog_version = _version_of(self._state)
        return read_listeners(self._state, None)

    async def paused(self, subscriptions: Iterable[str]) -> frozenset[str]:
        """Return which of these subscriptions are paused."""
        rows = self._state.catalog.subscriptions
        return frozenset(
            subscription_id
            for subscription_id in subscriptions
            if rows[subscription_id].status is SubscriptionStatus.PAUSED
        )

    async def calendars(self, names: Iterable[str]) -> DaysByCalendar:
        """Return the days of those of these calendars that are live.

        Sets `catalog_version` to the version of the catalog that they belong to.
        """
        self.catalog_version = _version_of(self._state)
        rows = self._state.catalog.calendars
        found = {name: rows[name] for name in names if name in rows}
        return {name: row.calendar.days for name, row in found.items() if row.deleted_at is None}

    async def gatherings(
        self, keys: Iterable[GatheringKey], until: datetime, limit: int
    ) -> list[Gathering]:
        """Return the gatherings with these keys, and up to `limit` that are due by `until`."""
        return gatherings.read_gatherings(self._state, keys, until, limit)

    async def stored_events(self, event_ids: Iterable[EventId]) -> dict[EventId, ArrivedEvent]:
        """Return those of these events that are still stored, by id."""
        rows = self._state.events
        return {event_id: rows[event_id].event for event_id in event_ids if event_id in rows}

    async def save(self, routed: Routed, now: datetime) -> None:
        """Write the results and wake the dispatcher, when the block ends without an exception."""
        self.saved.append((routed, now))


def read_listeners(state: MemoryState, owners: Sequence[str] | None) -> list[Listener]:
    """Return the event triggers of every subscription that is not deleted, or of these owners."""
    tables, found = state.catalog, list[Listener]()
    for subscription in sorted(
        tables.subscriptions.values(), key=lambda subscription: subscription.name
    ):
        is_wanted = owners is None or subscription.id in owners
        if is_wanted and subscription.status is not SubscriptionStatus.DELETED:
            revision = tables.revisions[tables.definitions[subscription.definition].revision_id]
            spec = canonical_json(revision.spec)
            found += stored_listeners(
                subscription.id,
                revision.id,
                spec,
                subscription.params,
                subscription.triggers,
                {
                    trigger: watch
                    for (owner, trigger), watch in state.chain_watches.items()
                    if owner == subscription.id
                },
            )
    return found


@asynccontextmanager
async def open_routing(state: MemoryState, limit: int) -> AsyncIterator[Routing | None]:
    """Hold the router's lock and the oldest unrouted events; None when the lock is taken."""
    if state.router_lock.locked():
        yield None
        return
    async with state.router_lock:
        waiting = [row.event for row in state.events.values() if row.event.routed_at is None]
        waiting.sort(key=lambda event: event.position)
        routing = MemoryRouting(state, waiting[:limit], is_last=len(waiting) < limit)
        yield routing
        for routed, now in routing.saved:
            _write_routed(state, routed, now)


def _version_of(state: MemoryState) -> int:
    """Return how many changes the catalog and the triggers of chains have had."""
    changes = sum(len(entries) for entries in state.catalog.history.values())
    return changes + state.chain_changes


def _write_routed(state: MemoryState, routed: Routed, now: datetime) -> None:
    write_firings(state, routed.firings, now)
    write_verdicts(state, routed.verdicts)
    write_refused(state, routed.refused, now)
    gatherings.write_gatherings(state, routed)
    _write_answers(state, routed, now)
    for event_id in routed.events:
        row = state.events[event_id]
        routed_at = row.event.routed_at or now
        state.events[event_id] = replace(row, event=replace(row.event, routed_at=routed_at))


def _open_event_waits(state: MemoryState) -> list[WaitRow]:
    rows = state.waits.values()
    return [
        row
        for row in rows
        if row.wait.event is not None and row.answer is None and row.ended_at is None
    ]


def _write_answers(state: MemoryState, routed: Routed, now: datetime) -> None:
    for task_id, place in routed.looked:
        state.waits[task_id] = replace(state.waits[task_id], looks_after=place)
    for answer in routed.answers:
        row = state.waits[answer.task_id]
        if row.answer is None and row.ended_at is None:
            output = Answer(dict(state.events[answer.event_id].event.document))
            state.waits[answer.task_id] = replace(row, answer=output, answered_at=now)
            state.wake_workers(Work.WAIT)


def write_firings(state: MemoryState, firings: Iterable[EventFiring], now: datetime) -> None:
    """Insert the firings that are new, in their order, and wake the dispatcher."""
    for firing in firings:
        owner = (SubscriptionId(firing.subscription_id), firing.trigger, firing.firing_key)
        row = FiringRow(
            FiringRequest(*owner, firing.due_at),
            now,
            fires_at=firing.fires_at,
            event_ids=firing.event_ids,
            order_key=firing.order_key,
            priority=firing.priority,
            revision_id=firing.revision_id,
            params=stored_json(dict(firing.params)),
        )
        state.firings.setdefault(ids.firing_id(*owner), row)
        state.wake_workers(Work.FIRING)


def write_refused(state: MemoryState, refused: Sequence[RefusedFiring], now: datetime) -> None:
    """Insert an ended run for each refused firing, and write it to the log."""
    for firing in refused:
        run = _run_of(state, firing, now)
        state.runs.setdefault(run.id, RunRow(run, ids.NO_WORKFLOW))
    state.write_log_entries(refused_log_entries(refused, now))


def write_verdicts(state: MemoryState, verdicts: Iterable[Verdict]) -> None:
    """Insert the verdicts that are new; an event and a trigger keep their first verdict."""
    for verdict in verdicts:
        key = (verdict.event_id, verdict.subscription_id, verdict.trigger, verdict.replay)
        state.verdicts.setdefault(key, verdict)


def _run_of(state: MemoryState, firing: RefusedFiring, now: datetime) -> Run:
    tables = state.catalog
    subscription = tables.subscriptions[firing.subscription_id]
    revision = tables.revisions[firing.revision_id or state.frozen_of(subscription)[0]]
    return Run(
        id=firing.run_id,
        subscription_id=subscription.id,
        subscription=subscription.name,
        definition=revision.definition,
        revision_id=revision.id,
        trigger=firing.trigger,
        firing_key=firing.firing_key,
        due_at=firing.due_at,
        status=firing.status,
        created_at=now,
        params=firing.params,
        events=tuple(state.events[event_id].event.document for event_id in firing.event_ids),
        reason=firing.reason,
        ended_at=now,
    )
