"""Routing in memory: unrouted events, who listens to them, and what they led to."""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime

from activityctl.adapters.memory.events import gatherings
from activityctl.adapters.memory.state import FiringRow, MemoryState, RunRow
from activityctl.domain.events.gathering import Gathering, GatheringKey
from activityctl.domain.events.stored_event import ArrivedEvent, Verdict
from activityctl.domain.manifests.subscription import SubscriptionStatus
from activityctl.domain.routing.index import Listener
from activityctl.domain.routing.listeners import stored_listeners
from activityctl.domain.routing.routing import (
    EventFiring,
    RefusedFiring,
    Routed,
    refused_log_entries,
)
from activityctl.domain.runs.run import Run
from activityctl.domain.timing.firing import FiringRequest
from activityctl.domain.timing.window import DaysByCalendar
from activityctl.domain.values import ids
from activityctl.domain.values.ids import EventId, SubscriptionId, canonical_json
from activityctl.ports import Routing, Work


class MemoryRouting:
    """The Routing port; what it saves is kept when its block ends well."""

    def __init__(self, state: MemoryState, events: list[ArrivedEvent], *, is_last: bool) -> None:
        self._state = state
        self.events = events
        self.is_last = is_last
        self.catalog_version = _version_of(state)
        self.now = state.clock()
        self.saved: list[tuple[Routed, datetime]] = []

    async def listeners(self) -> list[Listener]:
        """Return every event trigger of every subscription that is not deleted."""
        self.catalog_version = _version_of(self._state)
        return read_listeners(self._state, None)

    async def paused(self, subscriptions: Iterable[str]) -> frozenset[str]:
        """Return which of these subscriptions are paused."""
        rows = self._state.catalog.subscriptions
        return frozenset(
            one for one in subscriptions if rows[one].status is SubscriptionStatus.PAUSED
        )

    async def calendars(self, names: Iterable[str]) -> DaysByCalendar:
        """Return the days of those of these calendars that live."""
        rows = self._state.catalog.calendars
        alive = {name: rows[name] for name in names if name in rows}
        return {name: row.calendar.days for name, row in alive.items() if row.deleted_at is None}

    async def gatherings(
        self, keys: Iterable[GatheringKey], until: datetime, limit: int
    ) -> list[Gathering]:
        """Return those of these keys, and as many more that time changes until then, if any."""
        return gatherings.read_gatherings(self._state, keys, until, limit)

    async def stored_events(self, event_ids: Iterable[EventId]) -> dict[EventId, ArrivedEvent]:
        """Return those of the events that are still kept."""
        rows = self._state.events
        return {one: rows[one].event for one in event_ids if one in rows}

    async def save(self, routed: Routed, now: datetime) -> None:
        """Write it and wake the dispatcher; committed when the block ends well."""
        self.saved.append((routed, now))


def read_listeners(state: MemoryState, owners: Sequence[str] | None) -> list[Listener]:
    """Return every event trigger of what lives, or of these owners."""
    tables, found = state.catalog, list[Listener]()
    for one in sorted(tables.subscriptions.values(), key=lambda one: one.name):
        is_wanted = owners is None or one.id in owners
        if is_wanted and one.status is not SubscriptionStatus.DELETED:
            revision = tables.revisions[tables.definitions[one.definition].revision_id]
            spec = canonical_json(revision.spec)
            found += stored_listeners(one.id, spec, one.params, one.triggers)
    return found


@asynccontextmanager
async def open_routing(state: MemoryState, limit: int) -> AsyncIterator[Routing | None]:
    """Hold the one router's lock and the oldest unrouted events; None when others hold it."""
    if state.router_lock.locked():
        yield None
        return
    async with state.router_lock:
        waiting = [row.event for row in state.events.values() if row.event.routed_at is None]
        waiting.sort(key=lambda one: one.position)
        routing = MemoryRouting(state, waiting[:limit], is_last=len(waiting) < limit)
        yield routing
        for routed, now in routing.saved:
            _write(state, routed, now)


def _version_of(state: MemoryState) -> int:
    """Return how many changes the catalog has seen."""
    return sum(len(entries) for entries in state.catalog.history.values())


def _write(state: MemoryState, routed: Routed, now: datetime) -> None:
    write_firings(state, routed.firings, now)
    write_verdicts(state, routed.verdicts)
    write_refused(state, routed.refused, now)
    gatherings.write_gatherings(state, routed)
    for event_id in routed.events:
        row = state.events[event_id]
        routed_at = row.event.routed_at or now
        state.events[event_id] = replace(row, event=replace(row.event, routed_at=routed_at))


def write_firings(state: MemoryState, firings: Iterable[EventFiring], now: datetime) -> None:
    """Insert those of the firings that are new, in their order, and wake the dispatcher."""
    for one in firings:
        owner = (SubscriptionId(one.subscription_id), one.trigger, one.firing_key)
        row = FiringRow(
            FiringRequest(*owner, one.due_at),
            now,
            fires_at=one.fires_at,
            event_ids=one.event_ids,
            order_key=one.order_key,
            priority=one.priority,
        )
        state.firings.setdefault(ids.firing_id(*owner), row)
        state.wake_workers(Work.FIRING)


def write_refused(state: MemoryState, refused: Sequence[RefusedFiring], now: datetime) -> None:
    """Insert the runs of firings that may not start, which have ended, and tell the log."""
    for one in refused:
        run = _run_of(state, one, now)
        owner = (one.subscription_id, one.trigger, one.firing_key)
        state.runs.setdefault(run.id, RunRow(run, ids.workflow_id(*owner)))
    state.write_log_entries(refused_log_entries(refused, now))


def write_verdicts(state: MemoryState, verdicts: Iterable[Verdict]) -> None:
    """Insert those of the verdicts that are new; the first of an event and trigger stays."""
    for one in verdicts:
        key = (one.event_id, one.subscription_id, one.trigger, one.replay)
        state.verdicts.setdefault(key, one)


def _run_of(state: MemoryState, one: RefusedFiring, now: datetime) -> Run:
    tables = state.catalog
    subscription = tables.subscriptions[one.subscription_id]
    return Run(
        id=one.run_id,
        subscription_id=subscription.id,
        subscription=subscription.name,
        definition=subscription.definition,
        revision_id=tables.revisions[tables.definitions[subscription.definition].revision_id].id,
        trigger=one.trigger,
        firing_key=one.firing_key,
        due_at=one.due_at,
        status=one.status,
        created_at=now,
        params=one.params,
        events=tuple(state.events[event_id].event.document for event_id in one.event_ids),
        reason=one.reason,
        ended_at=now,
    )
