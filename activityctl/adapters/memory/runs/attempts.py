"""The records of attempts in memory."""

from dataclasses import replace
from datetime import datetime

from activityctl.adapters.memory.state import MemoryState, stored_text
from activityctl.domain.runs.run import TaskInstance, TaskStatus
from activityctl.domain.tasks.attempt import Attempt, AttemptOutcome


def begin_attempt(state: MemoryState, task: TaskInstance, now: datetime) -> None:
    """Record that an attempt has begun."""
    state.attempts[task.id, task.attempts] = Attempt(task.id, task.attempts, task.worker, now)


def end_attempt(
    state: MemoryState,
    task_id: str,
    outcome: AttemptOutcome,
    now: datetime | None,
    error: str | None = None,
    code: str | None = None,
) -> None:
    """Record the end of the attempt of the task that is at work, if there is one."""
    for key, attempt in state.attempts.items():
        if attempt.task_id == task_id and attempt.ended_at is None:
            state.attempts[key] = replace(
                attempt,
                outcome=outcome,
                ended_at=now,
                error=stored_text(error),
                code=stored_text(code),
            )


def outcome_of(status: TaskStatus) -> AttemptOutcome:
    """Return how the last attempt of a task ended that has ended with this status."""
    if status in {TaskStatus.SUCCEEDED, TaskStatus.FAILED}:
        return AttemptOutcome(status.value)
    return AttemptOutcome.STOPPED
