"""Ports for the outbox of firings, and for starting and cancelling their runs in Temporal."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from typing import Final, Protocol

from activityctl.domain.runs.admission import ClaimedFacts
from activityctl.domain.timing.firing import FiringRef, FiringRequest, Ringing
from activityctl.domain.values import ids
from activityctl.frozen_dataclass import frozen_dataclass

ORDER_WAITS: Final = timedelta(hours=1)
"""How long a firing waits at most until the firing before it, of the same order key, has a run."""


@frozen_dataclass
class PostponedFiring:
    """A firing that could not be started, and when to try it again."""

    firing: FiringRef
    pause: timedelta
    error: str


@frozen_dataclass
class FailingFirings:
    """The waiting firings that could not be started so far."""

    count: int
    since: datetime
    """When the first of them failed first."""
    last_error: str


class Claim(Protocol):
    """Firings that only this dispatcher may start until the block ends."""

    firings: list[FiringRef]
    attempts: Mapping[ids.RunId, int]
    """How often a firing was tried in vain, by run id; a firing that never failed is absent."""
    revisions: Mapping[ids.RunId, ids.RevisionId]
    """The revision of each firing, by run id."""
    facts: Mapping[ids.RunId, ClaimedFacts]
    """What the admission of a firing needs, by run id, of those that have little data."""

    async def dispatched(self, firings: list[FiringRef], now: datetime) -> None:
        """Mark them as started."""
        ...

    async def settled(self, firing: FiringRef, now: datetime) -> None:
        """Mark a firing that will never start; its key is shortened as its run's key is."""
        ...

    async def postponed(self, firings: Sequence[PostponedFiring], now: datetime) -> None:
        """Count a failed try of each; none is claimed again before its time."""
        ...


@frozen_dataclass
class WaitingFiring:
    """A firing of a cron or interval trigger that is decided and starts later."""

    trigger: str
    due_at: datetime
    """The nominal time."""
    fires_at: datetime
    """When it may start."""


class Outbox(Protocol):
    """Firings that are decided, until the dispatcher has started them."""

    async def add(self, firings: list[FiringRequest], now: datetime) -> int:
        """Store the firings durably; return how many were new."""
        ...

    async def has_other_payload(self, firing: FiringRequest) -> bool:
        """Return whether the firing of this id, or its run, is stored with another payload."""
        ...

    def claimed(self, limit: int) -> AbstractAsyncContextManager[Claim]:
        """Claim due firings: higher priority first, then the earliest.

        Held firings are left out, and those that failed and are to be tried later. Of the firings
        with one order key, only the first decided one can be claimed. After it is started, the
        next one can be claimed when a run exists for it, or after ORDER_WAITS.
        """
        ...

    async def seconds_to_next(self) -> float | None:
        """Return the seconds until the next waiting firing may start; None if none waits."""
        ...

    async def failing(self) -> FailingFirings | None:
        """Return the firings that failed and wait for their next try; None if there are none."""
        ...

    async def waiting(self) -> int:
        """Return how many firings wait to be dispatched, without held ones."""
        ...

    async def waiting_of(self, subscription_id: str, limit: int) -> list[WaitingFiring]:
        """Return the subscription's cron and interval firings that start later.

        The earliest nominal times come first.
        """
        ...

    async def remove(self, age: timedelta, limit: int) -> int:
        """Remove firings that were started longer ago than this age, oldest first.

        Returns how many. The age is by Postgres' clock. These firings are kept: those whose run
        does not exist or has not ended for that long, and those with an event that is still
        stored. The run's row still prevents a second run for the same key.
        """
        ...


class RunStarter(Protocol):
    """Starts and cancels, in Temporal, the workflows that carry runs."""

    async def start(self, *firings: FiringRef) -> None:
        """Start the workflow that all of these firings name.

        A workflow that is open already counts as started; one that has closed is started again.
        Raises RefusedError if Temporal refuses it for good, UnreachableError if another try may
        succeed.
        """
        ...

    async def ring(self, ringing: Ringing) -> None:
        """Start the workflow of an alarm that did not ring itself; raises as `start` does."""
        ...

    async def is_reachable(self) -> bool:
        """Return whether Temporal answers at all."""
        ...

    async def open_workflows(self) -> frozenset[str]:
        """Return the ids of all open workflows that carry runs.

        The listing may be some seconds old. UnreachableError if Temporal does not answer.
        """
        ...

    async def terminate(self, workflow_id: str, reason: str) -> None:
        """End a workflow whose code cannot go on; do nothing if it is not open.

        Raises as `cancel` does.
        """
        ...

    async def wake(self, run_id: str, workflow_id: str) -> bool:
        """Ask the workflow to look at the waiting tasks of this run again.

        Returns and raises as `cancel` does.
        """
        ...

    async def cancel(self, run_id: str, workflow_id: str) -> bool:
        """Ask the workflow to cancel this run only; return False if the workflow is not open.

        Raises RefusedError if Temporal refuses this for good, UnreachableError if it does not
        answer.
        """
        ...
