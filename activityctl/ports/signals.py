"""How processes hear of one another: wake-up hints, and which workers live."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from enum import StrEnum
from typing import Final, Protocol

from activityctl.domain.runs.worker import COUNTS_AS_ALIVE, WorkerBeat

WORK_CHANNEL: Final = "activityctl_work"
"""Wakes workers; the payload is a `Work`."""


class Work(StrEnum):
    """What a worker is told to look at."""

    EVENT = "event"
    """Events that no router has seen."""
    FIRING = "firing"
    """Firings that may be started."""
    CANCEL = "cancel"
    """Runs that somebody asked to cancel."""
    QUEUE = "queue"
    """A place that became free for a run that queues."""
    SCHEDULES = "schedules"
    """Schedules that Temporal does not hold as wanted."""


LOG_CHANNEL: Final = "activityctl_log"
"""Wakes readers of logs; the payload is a subscription's id."""


class Signals(Protocol):
    """Wake-up hints between processes; the tables are the truth."""

    def listening(self, channel: str) -> AbstractAsyncContextManager[AsyncIterator[str]]:
        """Iterate over the payloads of a channel; an empty text every second of silence."""
        ...


class Workers(Protocol):
    """Which workers are alive, by Postgres' clock: neither the worker's nor the reader's counts."""

    async def beat(self, worker: WorkerBeat) -> None:
        """Say that this worker lives."""
        ...

    async def leave(self, worker_id: str) -> None:
        """Say that this worker has stopped."""
        ...

    async def alive(self, within: timedelta = COUNTS_AS_ALIVE) -> list[WorkerBeat]:
        """Return the workers heard of within that long, the longest at work first."""
        ...
