"""Who may be at work at once: overlap, throttles and queues."""

from datetime import timedelta
from typing import Final, Protocol

from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.runs.concurrency import GateResult
from activityctl.domain.runs.run import Run
from activityctl.domain.timing.firing import FiringRef

BEGINS_WITHIN: Final = timedelta(seconds=5)
"""A run that was let in and has not begun by then may have lost its workflow."""


class Gates(Protocol):
    """Who may be at work at once and how many may start in a time, by Postgres' clock.

    Every call is one transaction for each subscription under locks, so that simultaneous
    calls decide one after the other.
    """

    async def enter(self, run: Run, spec: DefinitionSpec, workflow_id: str) -> GateResult:
        """Insert the run, with its keys and Postgres' time, as its gates decide.

        Let in and queued runs are `queued`, a refused one is `skipped`, with its reason in the
        log. A queued run will be carried by the workflow `ids.let_in_workflow_id`. Those it
        replaces end when they queue, and are asked to cancel when they are at work. A run
        that exists is left as it is: let in for the workflow that carries it, else queued, or
        skipped when it has ended. Raises ExpressionError when a key cannot be rendered.
        """
        ...

    async def let_in(
        self, limit: int = 100, *, again_after: timedelta = BEGINS_WITHIN
    ) -> list[FiringRef]:
        """Let in the queued runs whose turn has come, by priority, then the oldest.

        Returns at most `limit` whose workflows are to be started: those let in now, then
        those that were let in `again_after` ago and have not begun. The queue of a paused
        subscription stays; that of a deleted one ends.
        """
        ...

    async def seconds_to_release(self) -> float | None:
        """Return how long until a throttle lets a queued run in; None when none waits for it."""
        ...
