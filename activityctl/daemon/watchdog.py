"""The watchdog: creates schedules again that Temporal holds but which stopped waking us."""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime

from activityctl.domain.drift import RecordedSchedule
from activityctl.domain.logbook import LogEntry
from activityctl.ports import Logbook, SchedulePlacer, ScheduleRegister

_LOG = logging.getLogger(__name__)


class Watchdog:
    """No firing was lost meanwhile: the timekeeper woke those schedules instead."""

    def __init__(
        self,
        register: ScheduleRegister,
        placer: SchedulePlacer,
        logbook: Logbook,
        clock: Callable[[], datetime],
        turn: asyncio.Lock,
    ) -> None:
        """`turn` is held while schedules are placed; share it with the reconciler."""
        self._register = register
        self._placer = placer
        self._logbook = logbook
        self._clock = clock
        self._turn = turn

    async def restart_silent(self) -> int:
        """Delete and create each silent schedule; return how many there were."""
        async with self._turn, self._register.reconciling() as is_ours:
            if not is_ours:
                return 0
            silent = await self._register.silent()
            for one in silent:
                await self._restart(one)
        return len(silent)

    async def _restart(self, recorded: RecordedSchedule) -> None:
        if recorded.wanted is None:
            return
        await self._placer.remove(recorded.id)
        await self._placer.place(recorded.wanted, paused=recorded.paused)
        now = self._clock()
        await self._register.restarted(recorded.id, now)
        message = f"schedule {recorded.trigger} had stopped silently; created again"
        fields = {"schedule": recorded.id, "subscription": recorded.subscription_id}
        _LOG.warning(message, extra=fields)
        entry = LogEntry(
            recorded.subscription_id, None, message, "warning", now, {"schedule": recorded.id}
        )
        await self._logbook.append([entry])
