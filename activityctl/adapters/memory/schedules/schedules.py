"""The register of schedules in memory: which alarms they want, and which Temporal has."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime

from activityctl.adapters.memory.state import (
    MemoryAlarm,
    MemorySchedule,
    MemoryState,
    stored_text,
)
from activityctl.domain.gitops.drift import StoredAlarm
from activityctl.domain.timing.alarm import Alarm, alarm_of
from activityctl.domain.timing.silent_schedules import SILENT_AFTER, has_no_clock_change
from activityctl.domain.values.ids import AlarmId, SubscriptionId, parts_of_schedule
from activityctl.domain.values.selection import Selection
from activityctl.ports import ListedSchedule, UnsyncedAlarm


class MemoryScheduleRegister:
    """Implements the ScheduleRegister port."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    async def schedules(self, selection: Selection) -> list[ListedSchedule]:
        """Return the schedules, by subscription and trigger."""
        rows = [
            self._listed(schedule)
            for schedule in self._state.catalog.schedules.values()
            if selection.subscription_id in (None, schedule.wanted.subscription_id)
        ]
        rows.sort(key=lambda row: (row.subscription, row.wanted.trigger))
        return rows[: selection.limit]

    async def next_times(self, subscription_ids: Sequence[str]) -> dict[str, datetime]:
        """Return the next nominal time of each of these active subscriptions, by its id."""
        found: dict[str, datetime] = {}
        for schedule in self._state.catalog.schedules.values():
            owner = schedule.wanted.subscription_id
            if owner in subscription_ids and schedule.is_active and schedule.next_at:
                found[owner] = min(schedule.next_at, found.get(owner, schedule.next_at))
        return found

    async def unsynced(self, limit: int) -> list[UnsyncedAlarm]:
        """Return alarms that Temporal lacks, then those that it must delete."""
        wanted, held = self._wanted(), self._state.alarms
        created = [
            UnsyncedAlarm(key, alarm)
            for key, alarm in sorted(wanted.items())
            if key not in held or held[key].observed_at is None
        ]
        deleted = [UnsyncedAlarm(AlarmId(key), None) for key in sorted(held.keys() - wanted.keys())]
        found = [*created, *deleted]
        return sorted(found, key=lambda each: self._error_of(each.id) is not None)[:limit]

    async def announce(self, alarm_ids: Sequence[str]) -> None:
        """Record that these alarms are about to be created."""
        for key in alarm_ids:
            self._state.alarms.setdefault(key, MemoryAlarm())

    async def forsake(self, alarm_ids: Sequence[str]) -> set[str]:
        """Return those that no schedule wants; who wants one from now on waits for a new one."""
        unwanted = set(alarm_ids) & (self._state.alarms.keys() - self._wanted().keys())
        for key in unwanted:
            self._state.alarms[key] = replace(self._state.alarms[key], observed_at=None)
        return unwanted

    async def mark_synced(self, alarms: Sequence[UnsyncedAlarm], now: datetime) -> None:
        """Record that Temporal has these alarms; delete the rows of those that it deleted."""
        for each in alarms:
            if each.wanted is None:
                self._state.alarms.pop(each.id, None)
            else:
                present = self._state.alarms.get(each.id, MemoryAlarm())
                self._state.alarms[each.id] = replace(present, observed_at=now, error=None, wakes=0)

    async def mark_failed(self, alarm: UnsyncedAlarm, error: str) -> None:
        """Record why the alarm could not be created, updated or deleted in Temporal."""
        present = self._state.alarms.get(alarm.id, MemoryAlarm())
        self._state.alarms[alarm.id] = replace(present, error=stored_text(error))

    async def unsynced_errors(self, subscriptions: Sequence[str]) -> list[tuple[str, str | None]]:
        """Return (alarm id, last error) of the unsynced alarms of these subscriptions.

        And of those that nobody wants any more, unless their deletion has failed; none of these
        if no subscriptions are given.
        """
        if not subscriptions:
            return []
        wanted = {
            schedule.wanted.alarm_id
            for schedule in self._state.catalog.schedules.values()
            if schedule.wants_alarm and schedule.wanted.subscription_id in subscriptions
        }
        return sorted(
            (each.id, self._error_of(each.id))
            for each in await self.unsynced(len(self._state.alarms) + len(wanted))
            if each.id in wanted or (each.wanted is None and self._error_of(each.id) is None)
        )

    async def stored(self, ids: Sequence[str]) -> Mapping[str, StoredAlarm]:
        """Return what is recorded about these schedules of Temporal, by id.

        Absent are alarms that we did not create and nobody wants, and schedules of single
        triggers, as they were once, of unknown subscriptions.
        """
        wanted, held = self._wanted(), self._state.alarms
        found = {}
        for key in map(AlarmId, ids):
            parts = parts_of_schedule(key)
            is_old = parts is not None and parts[0] in self._state.catalog.subscriptions
            alarm = wanted.get(key)
            if key in held or alarm is not None or is_old:
                is_observed = key in held and held[key].observed_at is not None
                is_synced = key not in held if alarm is None else is_observed
                found[str(key)] = StoredAlarm(key, alarm, is_synced)
        return found

    async def serves(self, alarm_id: str, limit: int) -> list[tuple[SubscriptionId, str]]:
        """Return the subscriptions and triggers of active schedules of the alarm, in order."""
        return [
            (schedule.wanted.subscription_id, schedule.wanted.trigger)
            for _, schedule in sorted(self._state.catalog.schedules.items())
            if schedule.wants_alarm and schedule.wanted.alarm_id == alarm_id
        ][:limit]

    async def synced_ids(self, *, after: str, limit: int) -> list[AlarmId]:
        """Return the ids, in order, of alarms that Temporal was seen to have as wanted."""
        return [
            key
            for key in sorted(self._wanted())
            if key > after
            and (held := self._state.alarms.get(key)) is not None
            and held.observed_at is not None
        ][:limit]

    async def silent(self) -> list[StoredAlarm]:
        """Return alarms that Temporal seems to have but that have stopped waking us.

        Around a clock change Temporal leaves out times; such an alarm is not silent.
        """
        now = self._state.clock()
        return [
            StoredAlarm(key, alarm)
            for key, alarm in sorted(self._wanted().items())
            if (held := self._state.alarms.get(key)) is not None
            and held.wakes >= SILENT_AFTER
            and held.observed_at is not None
            and has_no_clock_change(alarm, now)
        ]

    async def mark_restarted(self, alarm_id: str, now: datetime) -> None:
        """Record that a silent alarm was created again."""
        alarm = self._state.alarms[alarm_id]
        self._state.alarms[alarm_id] = replace(
            alarm, wakes=0, restarts=alarm.restarts + 1, restarted_at=now
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

    def _wanted(self) -> dict[AlarmId, Alarm]:
        return {
            schedule.wanted.alarm_id: alarm_of(schedule.wanted.value)
            for schedule in self._state.catalog.schedules.values()
            if schedule.wants_alarm
        }

    def _error_of(self, alarm_id: str) -> str | None:
        alarm = self._state.alarms.get(alarm_id)
        return None if alarm is None else alarm.error

    def _listed(self, schedule: MemorySchedule) -> ListedSchedule:
        key = schedule.wanted.alarm_id
        alarm = self._state.alarms.get(key, MemoryAlarm())
        return ListedSchedule(
            schedule.wanted,
            self._state.catalog.subscriptions[schedule.wanted.subscription_id].name,
            status_of(self._state, schedule),
            alarm.error if schedule.is_active else None,
            alarm.observed_at if schedule.is_active else None,
            schedule.fired,
            key if schedule.wants_alarm else None,
        )


def status_of(state: MemoryState, schedule: MemorySchedule) -> str:
    """Return the status of a schedule. What has ended needs no alarm."""
    alarm = state.alarms.get(schedule.wanted.alarm_id, MemoryAlarm())
    if not schedule.is_active:
        return "paused"
    if alarm.observed_at is not None or schedule.next_at is None:
        return "active"
    return "error" if alarm.error else "pending"


@asynccontextmanager
async def _try_lock(lock: asyncio.Lock) -> AsyncIterator[bool]:
    if lock.locked():
        yield False
        return
    async with lock:
        yield True
