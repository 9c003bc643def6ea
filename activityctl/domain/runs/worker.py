"""WorkerBeat: the heartbeat of a worker process."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

BEAT_EVERY: Final = timedelta(seconds=2)
COUNTS_AS_ALIVE: Final = timedelta(seconds=10)
"""A worker counts as alive for this long after its last heartbeat."""


@dataclass(frozen=True, slots=True)
class WorkerBeat:
    """What a worker reports of itself. The time of the heartbeat is the database's clock."""

    id: str
    host: str
    pid: int
    version: str
    started_at: datetime
    """When the worker started, by its own clock."""
