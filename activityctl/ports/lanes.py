"""Port for the lanes of a large forEach: ends an instance and takes the next one, cheaply."""

from typing import Protocol

from activityctl.domain.runs.run import TaskInstance
from activityctl.domain.values.ids import TaskId
from activityctl.domain.values.log import LogEntry
from activityctl.frozen_dataclass import frozen_dataclass


@frozen_dataclass
class LaneEnd:
    """The end of an instance, and what its lane does next."""

    task: TaskInstance
    """The instance as it ends, with the attempt that ended."""
    entry: LogEntry
    lane: TaskId
    """The instance with which the call of the lane began."""
    worker: str
    takes_over: bool
    """Whether the lane begins the next instance at once; False if a new call is to begin it."""


@frozen_dataclass
class LaneTurn:
    """What became of a LaneEnd."""

    has_ended: bool
    """False if nothing was written, because the end needs a decision about the whole run."""
    next: TaskInstance | None = None
    """The instance that the lane has begun; None if it has not."""
    waiting: tuple[TaskId, ...] = ()
    """Without `next`: the pending instances with which calls begin lanes, also those that began."""


class Lanes(Protocol):
    """Lanes; every method is one round trip and does not read the other instances."""

    async def end(self, end: LaneEnd) -> LaneTurn:
        """End the instance and take the next one, if that needs no decision about the run.

        That is while other instances of its forEach are open, and the run goes on. A repeated
        call gets the instance again that the lost answer had. One whose attempt was taken for
        lost changes nothing.
        """
        ...
