"""Port for the tasks that wait: which runs have to look at theirs again."""

from datetime import timedelta
from typing import Protocol

from activityctl.domain.values.ids import RunId


class Waits(Protocol):
    """The waits of tasks, one row for each, beside the rows of the tasks."""

    async def to_settle(self, overdue: timedelta) -> list[tuple[RunId, str]]:
        """Return (run id, workflow id) of the runs whose workflow has to be woken.

        They are open and have a waiting task that was answered, or whose time has been over for
        longer than `overdue`, by Postgres' clock.
        """
        ...
