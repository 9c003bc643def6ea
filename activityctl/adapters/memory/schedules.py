"""The register of schedules in memory."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime

from activityctl.adapters.memory.state import MemoryState, ScheduleRecord, kept_text
from activityctl.domain.selection import Selection
from activityctl.domain.subscription import Subscription
from activityctl.ports import ScheduleDrift, ScheduleRow


class MemoryScheduleRegister:
    """The ScheduleRegister port."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    async def schedules(self, selection: Selection) -> list[ScheduleRow]:
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

    async def drifted(self, limit: int) -> list[ScheduleDrift]:
        """Return schedules that are not observed as wanted, or are wanted no more."""
        return [
            ScheduleDrift(
                key,
                record.wanted if record.wanted_hash else None,
                (record.wanted_hash or "").endswith(":paused"),
                record.wanted_hash,
            )
            for key, record in sorted(self._state.catalog.schedules.items())
            if record.wanted_hash is None or record.wanted_hash != record.observed_hash
        ][:limit]

    async def observed(self, drift: ScheduleDrift, now: datetime) -> None:
        """Record that Temporal now holds it; a row that is wanted no more is dropped."""
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

    async def failed(self, drift: ScheduleDrift, error: str) -> None:
        """Record why Temporal could not be made to hold it."""
        schedules = self._state.catalog.schedules
        if drift.id in schedules:
            schedules[drift.id] = replace(schedules[drift.id], error=kept_text(error))

    async def errors(self) -> list[str]:
        """Return why schedules could not be placed, as last tried."""
        return [
            f"{key}: {record.error}"
            for key, record in sorted(self._state.catalog.schedules.items())
            if record.error is not None
        ][:20]

    @asynccontextmanager
    async def reconciling(self) -> AsyncIterator[bool]:
        """Hold the one reconciler's lock; False when another holds it."""
        if self._state.reconciler_lock.locked():
            yield False
            return
        async with self._state.reconciler_lock:
            yield True


def _row(record: ScheduleRecord, subscription: Subscription) -> ScheduleRow:
    if record.wanted_hash == record.observed_hash:
        status = subscription.status.value
    else:
        status = "error" if record.error else "pending"
    return ScheduleRow(record.wanted, subscription.name, status, record.error, record.observed_at)
