"""Port for the runs that are stuck, because the code of their workflow cannot go on."""

from datetime import datetime, timedelta
from typing import Protocol

from activityctl.domain.values.ids import RunId, SubscriptionId
from activityctl.frozen_dataclass import frozen_dataclass


@frozen_dataclass
class StuckSummary:
    """How many runs are stuck."""

    count: int
    """A workflow that has not opened a run counts as one."""
    since: datetime
    """Since when the first of them."""
    last_reason: str


@frozen_dataclass
class StuckWorkflow:
    """A workflow that cannot go on, while none of its tasks is at work."""

    id: str
    since: datetime
    """Since when it, or the last of its runs, is stuck."""
    began_at: datetime
    """When the first of its runs was recorded; without a run, when it was found stuck first."""


@frozen_dataclass
class QuietWorkflow:
    """A workflow of which nothing is at work; it may wait for something, or be told of nothing."""

    id: str
    run_id: RunId
    """One of its open runs."""
    began_at: datetime
    """When the first of its open runs was recorded."""


class StuckRuns(Protocol):
    """Marks the open runs whose workflow cannot go on, and workflows without an open run."""

    async def mark_stuck(
        self, workflow_id: str, reason: str, now: datetime
    ) -> list[tuple[RunId, SubscriptionId]]:
        """Mark the open runs of the workflow; return those that were not marked before.

        A workflow without an open run is marked itself: its firings have not been admitted, or
        its runs have ended.
        """
        ...

    async def clear_stuck(
        self, workflow_id: str, *, is_replaced: bool = False
    ) -> list[tuple[RunId, SubscriptionId]]:
        """Unmark the workflow and its runs; return those that were marked and are open.

        If it is replaced and gets stuck again, its `began_at` is still the first time.
        """
        ...

    async def stuck_workflows(self) -> list[str]:
        """Return the ids of the workflows that are stuck, with and without runs."""
        ...

    async def idle(self) -> list[StuckWorkflow]:
        """Return the stuck workflows that have no attempt at work in a living worker."""
        ...

    async def forsaken(self) -> list[QuietWorkflow]:
        """Return the workflows that have open attempts, all of them lost with their workers.

        A workflow is one until the next attempt begins, which a breaker, a limit or busy workers
        may hold up; and for ever if it does not hear of the loss.
        """
        ...

    async def quiet(self, within: timedelta, limit: int) -> list[QuietWorkflow]:
        """Return the workflows without open attempts of which something was at work within a time.

        The last that were at work come first. A run in a queue has no workflow yet.
        """
        ...

    async def summary(self) -> StuckSummary | None:
        """Return how many runs are stuck; None if there are none."""
        ...
