"""The register of schedules in memory."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime

from activityctl.adapters.memory.state import MemorySchedule, MemoryState, kept_text
from activityctl.domain.gitops.drift import StoredSchedule
from activityctl.domain.manifests.subscription import Subscription
from activityctl.domain.timing.silent_schedules import SILENT_AFTER, has_no_clock_change
from activityctl.domain.values.ids import ScheduleId, SubscriptionId, parts_of_schedule
from activityctl.domain.values.selection import Selection
from activityctl.ports import ListedSchedule, UnsyncedSchedule


class MemoryScheduleRegister:
    """The ScheduleRegister port."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    async def schedules(self, selection: Selection) -> list[ListedSchedule]:
        """Return the wanted schedules by subscription and trigger."""
        tables = self._state.catalog
        rows = [
            _row(record, tables.subscriptions[record.wanted.subscription_id])
            for record in tables.schedules.values()
            if record.wanted_hash is not None
            and selection.subscription_id in (None, record.wanted.subscription_id)
        ]
        rows.sort(key=lambda row: (row.subscription, row.wanted.trigger))
        return rows[: selection.limit]

    async def unsynced(self, limit: int) -> list[UnsyncedSchedule]:
        """Return schedules that are not observed as wanted, or are wanted no more."""
        return [
            UnsyncedSchedule(
                key,
                record.wanted if record.wanted_hash else None,
                (record.wanted_hash or "").endswith(":paused"),
                record.wanted_hash,
            )
            for key, record in sorted(self._state.catalog.schedules.items())
            if record.wanted_hash is None or record.wanted_hash != record.observed_hash
        ][:limit]

    async def mark_synced(self, drifts: Sequence[UnsyncedSchedule], now: datetime) -> None:
        """Record that Temporal now holds them; rows that are wanted no more are dropped."""
        for drift in drifts:
            self._observe(drift, now)

    def _observe(self, drift: UnsyncedSchedule, now: datetime) -> None:
        schedules = self._state.catalog.schedules
        record = schedules.get(drift.id)
        if record is None:
            return
        if drift.wanted is not None:
            schedules[drift.id] = replace(
                record, observed_hash=drift.wanted_hash, observed_at=now, error=None
            )
        elif record.wanted_hash is None:
            del schedules[drift.id]

    async def mark_failed(self, drift: UnsyncedSchedule, error: str) -> None:
        """Record why Temporal could not be made to hold it."""
        schedules = self._state.catalog.schedules
        if drift.id in schedules:
            schedules[drift.id] = replace(schedules[drift.id], error=kept_text(error))

    async def unsynced_errors(self, subscriptions: Sequence[str]) -> list[tuple[str, str | None]]:
        """Return (schedule id, last error) of those subscriptions' schedules that drift."""
        return [
            (key, record.error)
            for key, record in sorted(self._state.catalog.schedules.items())
            if (record.wanted_hash is None or record.wanted_hash != record.observed_hash)
            and record.wanted.subscription_id in subscriptions
        ]

    async def stored(self, ids: Sequence[str]) -> Mapping[str, StoredSchedule]:
        """Return what is recorded of these schedules; those of unknown subscriptions are absent."""
        tables = self._state.catalog
        named = {one: parts_of_schedule(one) for one in ids}
        return {
            one: _recorded(one, *parts, tables.schedules.get(one))
            for one, parts in named.items()
            if parts is not None and parts[0] in tables.subscriptions
        }

    async def synced_ids(self, *, after: str, limit: int) -> list[ScheduleId]:
        """Return the ids, in their order, of schedules that are observed as wanted."""
        return [
            ScheduleId(key)
            for key, record in sorted(self._state.catalog.schedules.items())
            if key > after and record.wanted_hash and record.wanted_hash == record.observed_hash
        ][:limit]

    async def silent(self) -> list[StoredSchedule]:
        """Return schedules that Temporal seems to hold but which have stopped waking us."""
        now = self._state.clock()
        silent = [
            key
            for key, record in sorted(self._state.catalog.schedules.items())
            if record.wakes >= SILENT_AFTER
            and record.wanted_hash == record.observed_hash
            and record.wanted_hash is not None
            and record.wanted_hash.endswith(":active")
            and has_no_clock_change(record.wanted.value, now)
        ]
        return list((await self.stored(silent)).values())

    async def mark_restarted(self, schedule_id: ScheduleId, now: datetime) -> None:
        """Record that a silent schedule was created again."""
        record = self._state.catalog.schedules[schedule_id]
        self._state.catalog.schedules[schedule_id] = replace(
            record, wakes=0, restarts=record.restarts + 1, restarted_at=now
        )

    @asynccontextmanager
    async def drift_lock(self) -> AsyncIterator[bool]:
        """Hold the one auditor's lock; False when another holds it."""
        async with _holding(self._state.auditor_lock) as is_held:
            yield is_held

    @asynccontextmanager
    async def reconcile_lock(self) -> AsyncIterator[bool]:
        """Hold the one reconciler's lock; False when another holds it."""
        async with _holding(self._state.reconciler_lock) as is_held:
            yield is_held


@asynccontextmanager
async def _holding(lock: asyncio.Lock) -> AsyncIterator[bool]:
    if lock.locked():
        yield False
        return
    async with lock:
        yield True


def _recorded(
    key: str, subscription: SubscriptionId, trigger: str, record: MemorySchedule | None
) -> StoredSchedule:
    named = (ScheduleId(key), subscription, trigger)
    if record is None:
        return StoredSchedule(*named, None)
    return StoredSchedule(
        *named,
        record.wanted if record.wanted_hash else None,
        (record.wanted_hash or "").endswith(":paused"),
        record.wanted_hash,
        record.wanted_hash is not None and record.wanted_hash == record.observed_hash,
    )


def _row(record: MemorySchedule, subscription: Subscription) -> ListedSchedule:
    if record.wanted_hash == record.observed_hash:
        status = subscription.status.value
    else:
        status = "error" if record.error else "pending"
    name = subscription.name
    return ListedSchedule(
        record.wanted, name, status, record.error, record.observed_at, record.fired
    )
