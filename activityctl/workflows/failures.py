"""Says in words why an activity of a workflow has no result, without the text of its error."""

from temporalio import workflow
from temporalio.exceptions import (
    ActivityError,
    TimeoutError,  # noqa: A004  # Temporal's own name
    TimeoutType,
)

with workflow.unsafe.imports_passed_through():
    from activityctl.domain.runs.stopping import LOST


def loss(error: BaseException) -> str:
    """Return why nobody knows how a task ended that was to stop; "" if it did stop."""
    if isinstance(error, ActivityError) and isinstance(error.cause, TimeoutError):
        return LOST
    return ""


def failure_reason(error: ActivityError) -> str:
    """Return why an attempt ended without a result."""
    match error.cause:
        case TimeoutError(type=TimeoutType.SCHEDULE_TO_START):
            return "no worker was free within timeout.scheduleToStart"
        case TimeoutError(type=TimeoutType.SCHEDULE_TO_CLOSE):
            return "the task took longer than timeout.total"
        case TimeoutError():
            return "the worker was lost or did not stop the task in time"
        case cause:
            return f"the attempt ended without a result: {type(cause).__name__}"
