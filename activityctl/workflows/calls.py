"""Signatures of the steps that workflows may call; the bodies are in `steps/`.

Arguments and results are only ids, states and deadlines: no payloads, secrets or customer data.
"""

from dataclasses import dataclass, field
from typing import Final

from temporalio import activity, workflow

with workflow.unsafe.imports_passed_through():
    from activityctl.domain.timing.firing import FiringRef, Ringing

TASK_QUEUE: Final = "activityctl"
"""The task queue of every worker. One Temporal namespace serves one database."""
CONTEXT_QUEUE: Final = "activityctl-context"
"""The task queue of `look_up`, so that slow sources take no places from tasks."""


@dataclass(frozen=True)
class TaskOrder:
    """A task instance to execute, with the limits of one attempt and of all together."""

    subscription_id: str
    run_id: str
    task_id: str
    max_attempts: int
    start_to_close_seconds: float
    schedule_to_start_seconds: float | None = None
    takes_next: bool = False
    """Whether the call goes on with further instances of its forEach; see `domain.runs.lanes`."""
    heartbeat_seconds: float | None = None
    total_seconds: float | None = None
    max_age_seconds: float | None = None
    is_guarded: bool = False
    """Whether a breaker or a limit may hold up the attempts."""
    is_limited: bool = False
    """Whether a limit may."""
    not_before: str | None = None
    """When it may begin, in ISO 8601; None if it need not wait. For rounds with a delay."""
    is_group: bool = False
    """Whether no worker executes it: when its time has come, `record` begins what is in it."""
    strategy: str | None = None
    """The strategy of a `python` task; a worker that lacks it leaves the task to others."""


@dataclass(frozen=True)
class Orders:
    """What the workflow of a run does next. Orders that it already carries out may be repeated."""

    run_id: str
    is_over: bool
    start: list[TaskOrder] = field(default_factory=list)
    deadline_seconds: float = 0.0
    """How long the whole run may take from its admission; only `admit` sets it."""
    is_cancelling: bool = False
    """Whether the run waits for its tasks to stop."""
    has_waiting: bool = False
    """Whether tasks of the run wait for something from outside, or for a time."""
    settle_in_seconds: float | None = None
    """When the wait of one of them ends by itself; None if none does."""
    look_up_seconds: float | None = None
    """How long `look_up` may take, which comes next; None if it does not. Only `admit` sets it."""
    lifts_deadline: bool = False
    """Whether the run has no time limit any more, because its effects are being undone."""
    ended_as: str | None = None
    """The status with which the run ended; None if it is not over, or if that is not known."""
    subscription: str = ""
    """The name of the subscription; only from `admit`, and if the firing does not have it."""
    definition: str = ""
    """Likewise."""
    has_attributes: bool = False
    """Whether Temporal has search attributes for these names."""
    done: list[str] = field(default_factory=list)
    """The ids of the tasks that the call of `execute` has carried out after its own; see
    `domain.runs.chains`."""


@dataclass(frozen=True)
class CallEnd:
    """How a call for several tasks has ended for one of them."""

    task_id: str
    orders: Orders | None = None
    """None if the task needs a call of its own, as for another attempt."""
    again_seconds: float = 0.0
    """How long the workflow waits before that call."""


@dataclass(frozen=True)
class StopOrder:
    """The end of a task (without `task_id`: of the run) that came from outside of its executor."""

    run_id: str
    status: str
    """A TaskStatus with `task_id`, else a RunStatus. A task that is `running` does not end: it is a
    group whose time to begin has come."""
    reason: str
    task_id: str | None = None
    waits: bool = False
    """Whether the run may wait until its tasks have stopped. If not, it ends at once."""


@dataclass(frozen=True)
class Rung:
    """What became of the due times of an alarm."""

    is_complete: bool
    """False if more of them are to be decided; then ask again."""
    firings: list[FiringRef] = field(default_factory=list)
    """The firings that the workflow of the alarm runs itself; the dispatcher starts all others."""
    has_attributes: bool = False
    """Whether Temporal has the search attributes of runs."""


@activity.defn(name="ring")
async def ring(ringing: Ringing) -> Rung:
    """Decide what is due of the triggers that share an alarm."""
    raise NotImplementedError(ringing)


@activity.defn(name="admit")
async def admit(firings: list[FiringRef]) -> list[Orders]:
    """Open the run of each firing, or find it open; return one answer for each, in order."""
    raise NotImplementedError(firings)


@activity.defn(name="admit_many")
async def admit_many(firings: list[FiringRef]) -> list[Orders | None]:
    """Do as `admit` for each, at the same time; None for those to be admitted by themselves."""
    raise NotImplementedError(firings)


@activity.defn(name="look_up")
async def look_up(firing: FiringRef) -> Orders:
    """Look up the context of a run that was let in, and begin the run."""
    raise NotImplementedError(firing)


@activity.defn(name="execute")
async def execute(order: TaskOrder) -> Orders:
    """Run one attempt of a task and record it; raise a failure that is to be retried."""
    raise NotImplementedError(order)


@activity.defn(name="execute_many")
async def execute_many(orders: list[TaskOrder]) -> list[CallEnd]:
    """Run one attempt of each task, as `execute` does, and tell how each has ended."""
    raise NotImplementedError(orders)


@activity.defn(name="settle")
async def settle(run_id: str) -> Orders:
    """End the waiting tasks of a run that were answered or whose time is over."""
    raise NotImplementedError(run_id)


@activity.defn(name="record")
async def record(stop: StopOrder) -> Orders:
    """Record an end that came from outside: a timeout, a cancellation, a lost worker."""
    raise NotImplementedError(stop)


def is_plain(order: TaskOrder) -> bool:
    """Return whether the order has nothing that only the workflow and Temporal can keep."""
    return not (
        order.is_guarded
        or order.is_group
        or order.takes_next
        or order.strategy
        or order.not_before
        or order.schedule_to_start_seconds
        or order.total_seconds
    )
