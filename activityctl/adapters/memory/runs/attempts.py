"""The records of attempts in memory."""

from dataclasses import replace
from datetime import datetime

from activityctl.adapters.memory.state import MemoryState, stored_text
from activityctl.domain.runs.run import TaskInstance, TaskStatus
from activityctl.domain.tasks.attempt import Attempt, AttemptOutcome
from activityctl.domain.values.ids import TaskId


def begun(task: TaskInstance, now: datetime, worker: str, lane: str | None) -> TaskInstance:
    """Return the task with another attempt that begins now, in this lane if there is one."""
    return replace(
        task,
        status=TaskStatus.RUNNING,
        attempts=task.attempts + 1,
        started_at=task.started_at or now,
        worker=stored_text(worker),
        attempt_at=now,
        reason=None,
        lane=task.lane if lane is None else TaskId(lane),
    )


def begin_attempt(state: MemoryState, task: TaskInstance, now: datetime) -> None:
    """Record that an attempt has begun; one before it that is still open is lost."""
    end_attempt(state, task.id, AttemptOutcome.LOST, now)
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
