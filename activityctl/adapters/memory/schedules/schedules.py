"""The register of schedules in memory: what Temporal must hold, and what it was seen to hold."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime

from activityctl.adapters.memory.state import MemorySchedule, MemoryState, stored_text
from activityctl.domain.gitops.drift import StoredSchedule
from activityctl.domain.manifests.subscription import Subscription, SubscriptionStatus
from activityctl.domain.timing.silent_schedules import SILENT_AFTER, has_no_clock_change
from activityctl.domain.values.ids import ScheduleId, SubscriptionId, parts_of_schedule
from activityctl.domain.values.selection import Selection
from activityctl.ports import ListedSchedule, UnsyncedSchedule


class MemoryScheduleRegister:
    """Implements the ScheduleRegister port; `MemorySchedule` explains the wanted hash."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    async def schedules(self, selection: Selection) -> list[ListedSchedule]:
        """Return the wanted schedules, by subscription and trigger."""
        tables = self._state.catalog
        rows = [
            _listed_schedule(schedule, tables.subscriptions[schedule.wanted.subscription_id])
            for schedule in tables.schedules.values()
            if schedule.wanted_hash is not None
            and selection.subscription_id in (None, schedule.wanted.subscription_id)
        ]
        rows.sort(key=lambda row: (row.subscription, row.wanted.trigger))
        return rows[: selection.limit]

    async def next_times(self, subscription_ids: Sequence[str]) -> dict[str, datetime]:
        """Return the next nominal time of each of these active subscriptions, by its id."""
        tables = self._state.catalog
        found: dict[str, datetime] = {}
        for schedule in tables.schedules.values():
            owner = tables.subscriptions[schedule.wanted.subscription_id]
            is_wanted = owner.id in subscription_ids and schedule.wanted_hash is not None
            if is_wanted and owner.status is SubscriptionStatus.ACTIVE and schedule.next_at:
                found[owner.id] = min(schedule.next_at, found.get(owner.id, schedule.next_at))
        return found

    async def unsynced(self, limit: int) -> list[UnsyncedSchedule]:
        """Return schedules that Temporal does not hold as wanted, or that it must delete."""
        return [
            UnsyncedSchedule(
                key,
                schedule.wanted if schedule.wanted_hash else None,
                (schedule.wanted_hash or "").endswith(":paused"),
                schedule.wanted_hash,
            )
            for key, schedule in sorted(self._state.catalog.schedules.items())
            if schedule.wanted_hash is None or schedule.wanted_hash != schedule.observed_hash
        ][:limit]

    async def mark_synced(self, drifts: Sequence[UnsyncedSchedule], now: datetime) -> None:
        """Record that Temporal holds these schedules; delete the rows that are no longer wanted."""
        for drift in drifts:
            self._observe(drift, now)

    def _observe(self, drift: UnsyncedSchedule, now: datetime) -> None:
        schedules = self._state.catalog.schedules
        present = schedules.get(drift.id)
        if present is None:
            return
        if drift.wanted is not None:
            schedules[drift.id] = replace(
                present, observed_hash=drift.wanted_hash, observed_at=now, error=None
            )
        elif present.wanted_hash is None:
            del schedules[drift.id]

    async def mark_failed(self, drift: UnsyncedSchedule, error: str) -> None:
        """Record why the schedule could not be created, updated or deleted in Temporal."""
        schedules = self._state.catalog.schedules
        if drift.id in schedules:
            schedules[drift.id] = replace(schedules[drift.id], error=stored_text(error))

    async def unsynced_errors(self, subscriptions: Sequence[str]) -> list[tuple[str, str | None]]:
        """Return (schedule id, last error) of the unsynced schedules of these subscriptions."""
        return [
            (key, schedule.error)
            for key, schedule in sorted(self._state.catalog.schedules.items())
            if (schedule.wanted_hash is None or schedule.wanted_hash != schedule.observed_hash)
            and schedule.wanted.subscription_id in subscriptions
        ]

    async def stored(self, ids: Sequence[str]) -> Mapping[str, StoredSchedule]:
        """Return what is recorded about these schedules, by id.

        Schedules of unknown subscriptions are absent.
        """
        tables = self._state.catalog
        parts_by_id = {schedule_id: parts_of_schedule(schedule_id) for schedule_id in ids}
        return {
            schedule_id: _stored_schedule(schedule_id, *parts, tables.schedules.get(schedule_id))
            for schedule_id, parts in parts_by_id.items()
            if parts is not None and parts[0] in tables.subscriptions
        }

    async def synced_ids(self, *, after: str, limit: int) -> list[ScheduleId]:
        """Return the ids, in order, of schedules that Temporal was seen to hold as wanted."""
        return [
            ScheduleId(key)
            for key, schedule in sorted(self._state.catalog.schedules.items())
            if key > after
            and schedule.wanted_hash
            and schedule.wanted_hash == schedule.observed_hash
        ][:limit]

    async def silent(self) -> list[StoredSchedule]:
        """Return schedules that Temporal seems to hold but that have stopped waking us.

        Around a clock change Temporal leaves out times; such a schedule is not silent.
        """
        now = self._state.clock()
        silent = [
            key
            for key, schedule in sorted(self._state.catalog.schedules.items())
            if schedule.wakes >= SILENT_AFTER
            and schedule.wanted_hash == schedule.observed_hash
            and schedule.wanted_hash is not None
            and schedule.wanted_hash.endswith(":active")
            and has_no_clock_change(schedule.wanted.value, now)
        ]
        return list((await self.stored(silent)).values())

    async def mark_restarted(self, schedule_id: ScheduleId, now: datetime) -> None:
        """Record that a silent schedule was created again."""
        schedule = self._state.catalog.schedules[schedule_id]
        self._state.catalog.schedules[schedule_id] = replace(
            schedule, wakes=0, restarts=schedule.restarts + 1, restarted_at=now
        )

    @asynccontextmanager
    async def drift_lock(self) -> AsyncIterator[bool]:
        """Hold the lock of the drift detector; yield False when it is taken."""
        async with _try_lock(self._state.auditor_lock) as is_held:
            yield is_held

    @asynccontextmanager
    async def reconcile_lock(self) -> AsyncIterator[bool]:
        """Hold the lock of the reconciler; yield False when it is taken."""
        async with _try_lock(self._state.reconciler_lock) as is_held:
            yield is_held


@asynccontextmanager
async def _try_lock(lock: asyncio.Lock) -> AsyncIterator[bool]:
    if lock.locked():
        yield False
        return
    async with lock:
        yield True


def _stored_schedule(
    key: str, subscription: SubscriptionId, trigger: str, schedule: MemorySchedule | None
) -> StoredSchedule:
    names = (ScheduleId(key), subscription, trigger)
    if schedule is None:
        return StoredSchedule(*names, None)
    return StoredSchedule(
        *names,
        schedule.wanted if schedule.wanted_hash else None,
        (schedule.wanted_hash or "").endswith(":paused"),
        schedule.wanted_hash,
        schedule.wanted_hash is not None and schedule.wanted_hash == schedule.observed_hash,
    )


def _listed_schedule(schedule: MemorySchedule, subscription: Subscription) -> ListedSchedule:
    if schedule.wanted_hash == schedule.observed_hash:
        status = subscription.status.value
    else:
        status = "error" if schedule.error else "pending"
    name = subscription.name
    return ListedSchedule(
        schedule.wanted, name, status, schedule.error, schedule.observed_at, schedule.fired
    )
