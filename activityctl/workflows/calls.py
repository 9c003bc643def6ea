"""Signatures of the steps that a workflow may call; the bodies are in `steps/`.

Only ids, states and deadlines pass here: no payload, no secret, no customer data.
"""

from dataclasses import dataclass, field
from typing import Final

from temporalio import activity, workflow

with workflow.unsafe.imports_passed_through():
    from activityctl.domain.timing.firing import FiringRef

TASK_QUEUE: Final = "activityctl"
"""Where every worker polls; one Temporal namespace serves one database."""


@dataclass(frozen=True)
class TaskOrder:
    """A task instance to be executed, with the limits of one attempt."""

    subscription_id: str
    run_id: str
    task_id: str
    max_attempts: int
    start_to_close_seconds: float
    schedule_to_start_seconds: float | None = None


@dataclass(frozen=True)
class Orders:
    """What a run's workflow does next; orders already being carried out may be repeated."""

    run_id: str
    is_over: bool
    start: list[TaskOrder] = field(default_factory=list)
    deadline_seconds: float = 0.0
    """How long the whole run may take, from its admission; set by `admit`."""


@dataclass(frozen=True)
class StopOrder:
    """Something ended a task (or, without `task_id`, the run) from outside its executor."""

    run_id: str
    status: str
    """A TaskStatus with `task_id`, else a RunStatus."""
    reason: str
    task_id: str | None = None


@activity.defn(name="admit")
async def admit(firings: list[FiringRef]) -> list[Orders]:
    """Open the run of each firing, or find it open; one answer for each, in order."""
    raise NotImplementedError(firings)


@activity.defn(name="execute")
async def execute(order: TaskOrder) -> Orders:
    """Run one attempt of a task and record it; a failure that may be retried is raised."""
    raise NotImplementedError(order)


@activity.defn(name="record")
async def record(stop: StopOrder) -> Orders:
    """Record an end that came from outside: a timeout, a cancellation, a lost worker."""
    raise NotImplementedError(stop)
