"""The reconciler: makes Temporal's schedules agree with those that Postgres wants."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from activityctl.daemon.worker.schedule_maintenance import ScheduleMaintenance
from activityctl.errors import ActivityctlError
from activityctl.ports import UnsyncedSchedule

_LOG = logging.getLogger(__name__)
_BATCH: Final = 1000
_AT_ONCE: Final = 32
_RECORD_EVERY: Final = 0.25
"""Seconds between records of what was placed; what a crash keeps from them is placed again."""


class Reconciler:
    """One of all workers reconciles at a time; what it leaves undone is found again."""

    def __init__(self, upkeep: ScheduleMaintenance) -> None:
        self._upkeep = upkeep
        self._register = upkeep.register
        self._schedule_client = upkeep.schedule_client
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def reconcile(self) -> int:
        """Carry out what is wanted; return how many schedules were brought to agree."""
        healed, is_more = 0, True
        while is_more:
            found, brought = await self._reconcile_some()
            healed += brought
            is_more = found == _BATCH and brought > 0
        return healed

    async def _reconcile_some(self) -> tuple[int, int]:
        """Return how many schedules were to be placed or removed, and how many were."""
        async with self._upkeep.exclusive() as is_ours:
            if not is_ours:
                return 0, 0
            drifted = await self._register.unsynced(_BATCH)
            return len(drifted), await self._heal_all(drifted)

    async def _heal_all(self, drifted: Sequence[UnsyncedSchedule]) -> int:
        """Return how many were brought to agree; they are recorded many at a time."""
        healed: list[UnsyncedSchedule] = []
        recorded = 0
        healing = asyncio.gather(*(self._heal(drift, healed) for drift in drifted))
        try:
            while not healing.done():
                await asyncio.wait([healing], timeout=_RECORD_EVERY)
                if newly := healed[recorded:]:
                    await self._register.mark_synced(newly, self._upkeep.clock())
                    recorded += len(newly)
        finally:
            healing.cancel()
            await asyncio.wait([healing])
        await healing
        return recorded

    async def _heal(self, drift: UnsyncedSchedule, healed: list[UnsyncedSchedule]) -> None:
        async with self._turns:
            try:
                if drift.wanted is None:
                    await self._schedule_client.delete(drift.id)
                else:
                    await self._schedule_client.create_or_update(drift.wanted, paused=drift.paused)
            except ActivityctlError as error:
                _LOG.warning("schedule not placed: %s", error, extra={"schedule": drift.id})
                await self._register.mark_failed(drift, str(error))
            else:
                healed.append(drift)
