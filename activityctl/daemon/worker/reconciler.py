"""The reconciler: makes Temporal's schedules agree with those that Postgres wants."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from activityctl.daemon.worker.upkeep import Upkeep
from activityctl.errors import ActivityctlError
from activityctl.ports import ScheduleDrift

_LOG = logging.getLogger(__name__)
_BATCH: Final = 1000
_AT_ONCE: Final = 32
_RECORD_EVERY: Final = 0.25
"""Seconds between records of what was placed; what a crash keeps from them is placed again."""


class Reconciler:
    """One of all workers reconciles at a time; what it leaves undone is found again."""

    def __init__(self, upkeep: Upkeep) -> None:
        self._upkeep = upkeep
        self._register = upkeep.register
        self._placer = upkeep.placer
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
        async with self._upkeep.placing() as is_ours:
            if not is_ours:
                return 0, 0
            drifted = await self._register.drifted(_BATCH)
            return len(drifted), await self._heal_all(drifted)

    async def _heal_all(self, drifted: Sequence[ScheduleDrift]) -> int:
        """Return how many were brought to agree; they are recorded many at a time."""
        healed: list[ScheduleDrift] = []
        recorded = 0
        healing = asyncio.gather(*(self._heal(drift, healed) for drift in drifted))
        try:
            while not healing.done():
                await asyncio.wait([healing], timeout=_RECORD_EVERY)
                if newly := healed[recorded:]:
                    await self._register.observed(newly, self._upkeep.clock())
                    recorded += len(newly)
        finally:
            healing.cancel()
            await asyncio.wait([healing])
        await healing
        return recorded

    async def _heal(self, drift: ScheduleDrift, healed: list[ScheduleDrift]) -> None:
        async with self._turns:
            try:
                if drift.wanted is None:
                    await self._placer.remove(drift.id)
                else:
                    await self._placer.place(drift.wanted, paused=drift.paused)
            except ActivityctlError as error:
                _LOG.warning("schedule not placed: %s", error, extra={"schedule": drift.id})
                await self._register.failed(drift, str(error))
            else:
                healed.append(drift)
