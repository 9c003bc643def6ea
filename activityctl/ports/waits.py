"""Port for the tasks that wait: which runs have to look at theirs again."""

from datetime import datetime, timedelta
from typing import Protocol

from activityctl.domain.runs.announcements import Announcement
from activityctl.domain.runs.children import ChildRequest
from activityctl.domain.runs.waiting import Answer
from activityctl.domain.values.ids import RunId, TaskId
from activityctl.frozen_dataclass import frozen_dataclass


@frozen_dataclass
class GivenAnswer:
    """The answer of a waiting task that is on record."""

    answer: Answer
    at: datetime
    is_new: bool
    """Whether this call recorded it."""


class Waits(Protocol):
    """The waits of tasks, one row for each, beside the rows of the tasks."""

    async def answer(self, task_id: TaskId, answer: Answer) -> GivenAnswer | None:
        """Record the answer if the task waits and has none; wake the workers.

        Return the answer that is on record; None if the task does not wait and has no answer. Of
        several calls at once, one records its answer.
        """
        ...

    async def to_settle(self, overdue: timedelta) -> list[tuple[RunId, str]]:
        """Return (run id, workflow id) of the runs whose workflow has to be woken.

        They are open and have a waiting task that was answered, or whose time has been over for
        longer than `overdue`, by Postgres' clock.
        """
        ...

    async def children_to_start(self, limit: int) -> list[ChildRequest]:
        """Return waiting tasks that want to start a run and have not, in order."""
        ...

    async def child_started(self, task_id: TaskId, run_id: RunId) -> None:
        """Record the run that the task has started."""
        ...

    async def ended_children(self, limit: int) -> list[tuple[TaskId, RunId]]:
        """Return waiting tasks without an answer whose run has ended, with that run."""
        ...

    async def unwanted_children(self, limit: int) -> list[RunId]:
        """Return open runs whose task waited for them and has ended without their answer.

        Those whose cancellation was requested are left out.
        """
        ...

    async def announcements(self, limit: int) -> list[Announcement]:
        """Return what is to be announced by now, the earliest first, by Postgres' clock."""
        ...

    async def announced(self, task_id: TaskId, following: datetime | None) -> None:
        """Record when something is to be announced of the task next; None for never."""
        ...

    async def seconds_to_announcement(self) -> float | None:
        """Return the seconds until the next announcement; None if there is none."""
        ...
