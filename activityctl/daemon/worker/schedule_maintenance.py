"""What the reconciler, the drift detector and the watchdog share."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from activityctl.domain.gitops.drift import StoredSchedule
from activityctl.domain.values.log import LogEntry
from activityctl.ports import Logbook, ScheduleClient, ScheduleRegister

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ScheduleMaintenance:
    """The ports that they use, and the lock that lets one of them change schedules at a time.

    A process has one, shared by its reconciler, drift detector and watchdog.
    """

    register: ScheduleRegister
    schedule_client: ScheduleClient
    logbook: Logbook
    clock: Callable[[], datetime]
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    @asynccontextmanager
    async def exclusive(self) -> AsyncIterator[bool]:
        """Hold the lock for changing schedules; yield False when another process holds it."""
        async with self._turn, self.register.reconcile_lock() as is_ours:
            yield is_ours

    async def warn(self, schedule: StoredSchedule, message: str, **metadata: Any) -> None:
        """Write a warning to the daemon's log and to the log of the subscription."""
        owner, now = schedule.subscription_id, self.clock()
        _LOG.warning(message, extra={"schedule": schedule.id, "subscription": owner})
        details = {"schedule": schedule.id, **metadata}
        await self.logbook.append([LogEntry(owner, None, message, "warning", now, details)])
