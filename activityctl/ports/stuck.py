"""Port for the runs that are stuck, because the code of their workflow cannot go on."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from activityctl.domain.values.ids import RunId, SubscriptionId


@dataclass(frozen=True, slots=True)
class StuckSummary:
    """How many runs are stuck."""

    count: int
    since: datetime
    """Since when the first of them."""
    last_reason: str


@dataclass(frozen=True, slots=True)
class StuckWorkflow:
    """A workflow that cannot go on, while none of its tasks is at work."""

    id: str
    since: datetime
    """Since when the last of its runs is stuck."""
    began_at: datetime
    """When the first of its runs was recorded."""


class StuckRuns(Protocol):
    """Marks the open runs whose workflow cannot go on."""

    async def mark_stuck(
        self, workflow_id: str, reason: str, now: datetime
    ) -> list[tuple[RunId, SubscriptionId]]:
        """Mark the open runs of the workflow; return those that were not marked before."""
        ...

    async def clear_stuck(self, workflow_id: str) -> list[tuple[RunId, SubscriptionId]]:
        """Unmark the runs of the workflow; return those that were marked and are open."""
        ...

    async def stuck_workflows(self) -> list[str]:
        """Return the ids of the workflows of all stuck runs."""
        ...

    async def idle(self) -> list[StuckWorkflow]:
        """Return the workflows of stuck runs that have no attempt at work in a living worker."""
        ...

    async def summary(self) -> StuckSummary | None:
        """Return how many runs are stuck; None if there are none."""
        ...
