"""Port for breakers and limits, whose state all workers share."""

from datetime import datetime, timedelta
from typing import Protocol

from activityctl.domain.runs.run import TaskInstance
from activityctl.domain.tasks.attempt import AttemptOutcome
from activityctl.domain.tasks.breaker import Breaker
from activityctl.domain.tasks.guard import Guard
from activityctl.domain.tasks.held_task import lookup_id
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.ports.runs import BegunAttempt


@frozen_dataclass
class Hold:
    """A breaker or a limit that holds up a task."""

    task: str
    """The name of the task."""
    name: str
    """The name of the breaker or limit."""
    is_breaker: bool
    seconds: float
    """After how long the task should ask again."""
    until: datetime
    """The same as a time, by the clock of the store."""
    is_new: bool
    """Whether nothing has held up the task until now."""
    fails: bool = False
    """Whether the task wants to fail instead of waiting."""
    reason: str | None = None
    """Why the breaker is open."""


@frozen_dataclass
class BreakerChange:
    """A breaker before and after a change of its status."""

    before: Breaker
    after: Breaker


@frozen_dataclass
class GuardedLookup:
    """The lookup of a value of the context that a breaker or a limit may hold up."""

    run_id: str
    name: str
    guard: Guard

    @property
    def id(self) -> str:
        """What names it among the tasks that share its breaker and limit."""
        return lookup_id(self.run_id, self.name)


@frozen_dataclass
class BegunLookup:
    """An attempt of a lookup that has begun; numbers count from 1."""

    number: int
    is_probe: bool = False


@frozen_dataclass
class LookupEnd:
    """How an attempt of a lookup ended."""

    number: int
    is_probe: bool
    outcome: AttemptOutcome
    is_fault: bool | None
    """Whether the neighbour is to blame; None if the attempt was stopped."""
    error: str | None = None
    code: str | None = None


class Guards(Protocol):
    """Breakers and limits; their times are those of the store's clock."""

    async def begin(
        self,
        task_id: str,
        now: datetime,
        worker: str,
        *,
        is_limited: bool,
        lease: timedelta,
        chance: float,
    ) -> BegunAttempt | Hold | None:
        """Begin an attempt as `RunStore.begin_attempt` does, if breaker and limit let it pass.

        Without a limit, and while the breaker is closed, this is one statement. `lease` is how long
        a probe may take, `chance` spreads the tasks that wait.
        """
        ...

    async def settle(self, task: TaskInstance, *, is_fault: bool | None) -> BreakerChange | None:
        """Tell the breaker how the attempt of the task ended, which is recorded already.

        `is_fault` says whether the destination is to blame; None if the attempt was stopped. Return
        the change of the breaker's status, if there was one. An attempt that succeeded need be told
        only if it was a probe.
        """
        ...

    async def forget(self, task_id: str) -> None:
        """Give up the place of a task that waits no longer."""
        ...

    async def begin_lookup(
        self, lookup: GuardedLookup, now: datetime, worker: str, *, lease: timedelta, chance: float
    ) -> BegunLookup | Hold:
        """Begin an attempt of a lookup, if breaker and limit let it pass; as for a task."""
        ...

    async def settle_lookup(
        self, lookup: GuardedLookup, end: LookupEnd, now: datetime
    ) -> BreakerChange | None:
        """Record how an attempt of a lookup ended, and tell the breaker.

        Return the change of the breaker's status, if there was one.
        """
        ...

    async def turn_breaker(self, name: str, *, is_open: bool, reason: str) -> BreakerChange:
        """Open or close a breaker by hand. An open one stays open until a person closes it.

        Raises NotFoundError for a breaker to close that does not exist.
        """
        ...
