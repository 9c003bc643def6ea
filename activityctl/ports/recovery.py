"""Port for what Postgres believes to be under way, to compare it with what Temporal knows."""

from datetime import datetime, timedelta
from typing import Protocol

from activityctl.domain.timing.firing import FiringRef
from activityctl.frozen_dataclass import frozen_dataclass


@frozen_dataclass
class StartedFiring:
    """A firing that was started, and has no run yet."""

    firing: FiringRef
    started_at: datetime


class UnfinishedWork(Protocol):
    """The open runs, and the started firings that have no run."""

    async def open_runs(
        self, older_than: timedelta, limit: int, *, after: str = ""
    ) -> list[FiringRef]:
        """Return the firings of runs that have begun and not ended, ordered by run id.

        Each names the workflow that carries it. Queued runs are left out, and runs that began
        less than `older_than` ago.
        """
        ...

    async def firings_without_run(
        self, older_than: timedelta, limit: int, *, since: datetime | None = None
    ) -> list[StartedFiring]:
        """Return firings that were started at least `older_than` ago and have no run.

        Those that were started first come first; none that were started before `since`.
        """
        ...
