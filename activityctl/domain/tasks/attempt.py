"""Attempt: the record of one attempt of a task."""

from datetime import datetime
from enum import StrEnum

from activityctl.domain.values.json_form import View, format_timestamp
from activityctl.frozen_dataclass import frozen_dataclass


class AttemptOutcome(StrEnum):
    """How an attempt ended."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    LOST = "lost"
    """Its worker was killed or did not answer any more."""
    INTERRUPTED = "interrupted"
    """Its worker stopped; another attempt follows."""
    STOPPED = "stopped"
    """Its run was cancelled or out of time."""


@frozen_dataclass
class Attempt:
    """One attempt of a task; numbers count from 1."""

    task_id: str
    number: int
    worker: str | None
    """Host and pid of the worker."""
    started_at: datetime
    outcome: AttemptOutcome = AttemptOutcome.RUNNING
    ended_at: datetime | None = None
    error: str | None = None
    code: str | None = None
    """The code of the error, such as `timeout`."""


def attempt_view(attempt: Attempt) -> View:
    """Return the JSON view of an attempt."""
    ended, started = attempt.ended_at, attempt.started_at
    return {
        "number": attempt.number,
        "outcome": attempt.outcome.value,
        "startedAt": format_timestamp(started),
        "durationMs": None if ended is None else round((ended - started).total_seconds() * 1000),
        "worker": attempt.worker,
        "code": attempt.code,
        "error": attempt.error,
    }
