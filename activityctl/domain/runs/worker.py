"""WorkerBeat: a sign of life of a worker process."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

BEAT_EVERY: Final = timedelta(seconds=2)
COUNTS_AS_ALIVE: Final = timedelta(seconds=10)
"""Without a beat for this long a worker is taken for dead."""


@dataclass(frozen=True, slots=True)
class WorkerBeat:
    """A worker, as it says of itself; when it was heard of is not its to say."""

    id: str
    host: str
    pid: int
    version: str
    started_at: datetime
    """By its own clock."""
