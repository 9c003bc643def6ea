"""Ports for notifications between processes, and for which workers are alive."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Protocol

from activityctl.domain.runs.worker import COUNTS_AS_ALIVE, WorkerBeat

WORK_CHANNEL: Final = "activityctl_work"
"""Wakes workers; the payload is a `Work`."""


class Work(StrEnum):
    """What a worker has to look at."""

    EVENT = "event"
    """There are events to route."""
    FIRING = "firing"
    """There are firings to start."""
    CANCEL = "cancel"
    """There are requests to cancel runs."""
    QUEUE = "queue"
    """A slot became free, so a queued run may start."""
    SCHEDULES = "schedules"
    """There are unsynced schedules."""
    WAIT = "wait"
    """A task that waits was answered, or something begins that its end depends on."""
    REMIND = "remind"
    """People may have to be reminded of a task."""


LOG_CHANNEL: Final = "activityctl_log"
"""Wakes readers of logs; the payload is the id of a subscription."""


class Signals(Protocol):
    """Notifications between processes. They are hints only: what counts is in the tables."""

    def listening(self, channel: str) -> AbstractAsyncContextManager[AsyncIterator[str]]:
        """Iterate over the payloads of a channel.

        Yields an empty text for every second without a notification.
        """
        ...


class Workers(Protocol):
    """Which workers are alive, by Postgres' clock; the clocks of the processes do not count."""

    async def beat(self, worker: WorkerBeat) -> bool:
        """Record that this worker is alive.

        Return False if it has to end, because the database is being restored or was restored.
        """
        ...

    async def server_time(self) -> datetime:
        """Return the time by Postgres' clock, UTC."""
        ...

    async def require_space(self) -> None:
        """Raise UnreachableError if the disk of Postgres is full: then workers cannot go on."""
        ...

    async def leave(self, worker_id: str) -> None:
        """Record that this worker has stopped."""
        ...

    async def alive(self, within: timedelta = COUNTS_AS_ALIVE) -> list[WorkerBeat]:
        """Return the workers with a beat within this time; the longest running one comes first."""
        ...
