"""WorkerBeat: the heartbeat of a worker process."""

from datetime import datetime, timedelta
from typing import Final

from activityctl.frozen_dataclass import frozen_dataclass

BEAT_EVERY: Final = timedelta(seconds=2)
COUNTS_AS_ALIVE: Final = timedelta(seconds=10)
"""A worker counts as alive for this long after its last heartbeat."""


@frozen_dataclass
class LoopTrouble:
    """A loop of a worker whose last try failed."""

    loop: str
    since: datetime
    """When the first of the failures in a row was, by Postgres' clock."""
    failures: int
    error: str


@frozen_dataclass
class WorkerBeat:
    """What a worker reports of itself. The time of the heartbeat is the database's clock."""

    id: str
    host: str
    pid: int
    version: str
    started_at: datetime
    """When the worker started, by Postgres' clock."""
    troubles: tuple[LoopTrouble, ...] = ()
    """Its loops that fail, as of the heartbeat."""
