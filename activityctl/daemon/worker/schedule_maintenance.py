"""What those who put schedules in order share; what each finds out of order is its own affair."""

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
    """One a process, for its reconciler, auditor and watchdog, of which one at a time places."""

    register: ScheduleRegister
    schedule_client: ScheduleClient
    logbook: Logbook
    clock: Callable[[], datetime]
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    @asynccontextmanager
    async def exclusive(self) -> AsyncIterator[bool]:
        """Hold the right to place schedules; False when another process holds it."""
        async with self._turn, self.register.reconcile_lock() as is_ours:
            yield is_ours

    async def warn(self, recorded: StoredSchedule, message: str, **metadata: Any) -> None:
        """Warn of a schedule in our own log and in its subscription's."""
        fields = {"schedule": recorded.id, "subscription": recorded.subscription_id}
        _LOG.warning(message, extra=fields)
        said = {"schedule": recorded.id, **metadata}
        owner, now = recorded.subscription_id, self.clock()
        await self.logbook.append([LogEntry(owner, None, message, "warning", now, said)])
