"""The reconciler: makes Temporal's schedules agree with those that Postgres wants."""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime
from typing import Final

from activityctl.errors import ActivityctlError
from activityctl.ports import ScheduleDrift, SchedulePlacer, ScheduleRegister

_LOG = logging.getLogger(__name__)
_BATCH: Final = 500
_AT_ONCE: Final = 16


class Reconciler:
    """One of all workers reconciles at a time; what it leaves undone is found again."""

    def __init__(
        self,
        register: ScheduleRegister,
        placer: SchedulePlacer,
        clock: Callable[[], datetime],
        turn: asyncio.Lock | None = None,
    ) -> None:
        """`turn` is held while schedules are placed; share it with this process's auditor."""
        self._register = register
        self._placer = placer
        self._clock = clock
        self._turn = turn or asyncio.Lock()
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
        async with self._turn, self._register.reconciling() as is_ours:
            if not is_ours:
                return 0, 0
            drifted = await self._register.drifted(_BATCH)
            results = await asyncio.gather(*(self._heal(drift) for drift in drifted))
        return len(drifted), sum(results)

    async def _heal(self, drift: ScheduleDrift) -> bool:
        async with self._turns:
            try:
                if drift.wanted is None:
                    await self._placer.remove(drift.id)
                else:
                    await self._placer.place(drift.wanted, paused=drift.paused)
            except ActivityctlError as error:
                _LOG.warning("schedule not placed: %s", error, extra={"schedule": drift.id})
                await self._register.failed(drift, str(error))
                return False
        await self._register.observed(drift, self._clock())
        return True
