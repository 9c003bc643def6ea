"""Port for the gates of runs: concurrency, throttles and queues."""

from datetime import timedelta
from typing import Final, Protocol

from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.runs.concurrency import GateResult
from activityctl.domain.runs.run import Run
from activityctl.domain.timing.firing import FiringRef
from activityctl.domain.values.ids import SubscriptionId

BEGINS_WITHIN: Final = timedelta(seconds=5)
"""If a run that was let in has not begun after this time, its workflow may be lost."""
ADMITTED_WITHIN: Final = timedelta(seconds=5)
"""A run waits at most so long for an earlier firing that was started and has no run yet."""
HELD_PAUSE: Final = 0.05
"""Seconds until a run that waits for an earlier firing is looked at again."""


class Gates(Protocol):
    """Decides which runs may run at the same time and how many may start within a time.

    All times are of Postgres' clock. Every call is one transaction for each subscription, with
    locks, so simultaneous calls decide one after the other.
    """

    async def enter(self, run: Run, spec: DefinitionSpec, workflow_id: str) -> GateResult:
        """Insert the run with its keys and Postgres' time, and return what its gates decide.

        A run that is let in or queued gets the status `queued`. A refused run gets the status
        `skipped`, with the reason in its log. If it has onSkip tasks and a turn to run them, it is
        `queued` and let in instead, without keys; its `ending` is `skipped`. A queued run starts
        later in the workflow `ids.let_in_workflow_id`. Runs that it replaces end if they are
        queued; if they are running, their cancellation is requested.

        A run that already exists is not changed. The result is then let in for the workflow that
        carries the run, skipped if the run has ended, else queued.

        Raises ExpressionError if a key cannot be rendered.
        """
        ...

    async def let_in(
        self, limit: int = 100, *, again_after: timedelta = BEGINS_WITHIN
    ) -> list[FiringRef]:
        """Let in the queued runs whose turn has come: by priority, then by arrival.

        The arrival is that of the firing, so it does not matter in which order firings are
        admitted. A run of a queue without a key waits, for at most ADMITTED_WITHIN, while an
        earlier firing of its subscription is being admitted.

        A run that is skipped now, and that has onSkip tasks and a turn, is let in for these tasks.

        Returns at most `limit` firings whose workflows must be started: of the runs let in now,
        then of runs that were let in `again_after` ago and have not begun. The queue of a paused
        subscription stays as it is. The queued runs of a deleted subscription end.
        """
        ...

    async def take_skip_turn(self, subscription_id: SubscriptionId) -> bool:
        """Return whether a skipped run may run its onSkip tasks now; then the turn is used up.

        `skipping.SKIP_TASKS` says how many turns there are.
        """
        ...

    async def seconds_to_release(self) -> float | None:
        """Return the seconds until a queued run may be let in without a call; None if none waits.

        That is when its throttle opens, or when the firing before it may be admitted.
        """
        ...
