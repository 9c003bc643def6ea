"""What the reconciler, the drift detector and the watchdog share."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import field
from datetime import datetime
from typing import Any, Final

from activityctl.domain.gitops.drift import StoredAlarm
from activityctl.domain.values.ids import SubscriptionId, parts_of_schedule
from activityctl.domain.values.log import LogEntry
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.ports import Logbook, ScheduleClient, ScheduleRegister

_LOG = logging.getLogger(__name__)
_TOLD: Final = 100
"""So many owners of triggers are told at most what happened to a shared alarm."""


@frozen_dataclass
class ScheduleMaintenance:
    """The ports that they use, and the lock that lets one of them change alarms at a time.

    A process has one, shared by its reconciler, drift detector and watchdog.
    """

    register: ScheduleRegister
    schedule_client: ScheduleClient
    logbook: Logbook
    clock: Callable[[], datetime]
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    @asynccontextmanager
    async def exclusive(self) -> AsyncIterator[bool]:
        """Hold the lock for changing alarms; yield False when another process holds it."""
        async with self._turn, self.register.reconcile_lock() as is_ours:
            yield is_ours

    async def warn(self, alarm: StoredAlarm, message: Callable[[str], str], **fields: Any) -> None:
        """Write a warning to the daemon's log, and to the logs of those whom the alarm serves.

        `message` tells it to the owner of a trigger.
        """
        served = await self.served_by(alarm)
        _LOG.warning(message(_one_of(served)), extra={"alarm": alarm.id})
        now, details = self.clock(), {"alarm": alarm.id, **fields}
        await self.logbook.append(
            [
                LogEntry(owner, None, message(trigger), "warning", now, details)
                for owner, trigger in served
            ]
        )

    async def served_by(self, alarm: StoredAlarm) -> list[tuple[SubscriptionId, str]]:
        """Return the subscriptions and triggers that it serves; of many, the first hundred."""
        parts = parts_of_schedule(alarm.id)  # of a single trigger, as schedules were once
        return [parts] if parts is not None else await self.register.serves(alarm.id, _TOLD)


def _one_of(served: Sequence[tuple[SubscriptionId, str]]) -> str:
    triggers = {trigger for _, trigger in served}
    return triggers.pop() if len(triggers) == 1 else f"of {len(served)} triggers"
