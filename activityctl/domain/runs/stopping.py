"""Decides how a run is stopped: by a cancellation, a timeout, or because it can never start.

A run must not end before its work has ended. So it is `cancelling` while tasks are at work, and
`advance` ends it, or starts its onFailure tasks, when the last one has stopped.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from activityctl.domain.runs import auto_pause
from activityctl.domain.runs.advance import advance
from activityctl.domain.runs.phases import after_phase, has_left_main
from activityctl.domain.runs.run import (
    Decision,
    Run,
    RunState,
    RunStatus,
    TaskInstance,
    TaskStatus,
    address_of,
)
from activityctl.domain.runs.undoing import is_undoing
from activityctl.domain.values.duration import format_duration
from activityctl.frozen_dataclass import frozen_dataclass

STOPS_WITHIN: Final = timedelta(seconds=30)
"""How long a run waits for its tasks to stop. Then it ends although they may still run."""
LOST: Final = "the worker was lost before it could say that the task had ended"
"""Why nobody knows how an attempt ended."""
_SHOWN_TASKS: Final = 3


@frozen_dataclass
class Stop:
    """A run that is to be stopped, and why."""

    status: RunStatus
    """What it is to end with: `cancelled`, `timed_out` or `failed`."""
    reason: str
    waits: bool = True
    """Whether it waits for tasks at work. False if they would not stop, or nobody can tell."""


def stop(state: RunState, wanted: Stop, now: datetime) -> Decision:
    """Decide what happens when the run is cancelled or reaches its timeout.

    Tasks that no worker has begun are cancelled now, those at work when they have stopped. After a
    timeout the onFailure tasks run. After a cancellation they do not run. While the tasks of the
    last phase run, such as onFailure, the run has its end already: it only stops them.
    """
    run = state.run
    if run.has_ended:
        return Decision()
    if run.status is not RunStatus.CANCELLING and run.ending is wanted.status:
        return advance(state, now)  # a repeated stop: the tasks of its end continue
    if is_undoing(state):
        return advance(state, now)  # effects that are half undone would be the worst end
    ending, reason = wanted.status, wanted.reason
    if run.ending is not None and has_left_main(state.tasks):
        ending, reason = run.ending, _with_stop(run, run.ending, wanted)
    elif run.ending is not None and wanted.status is RunStatus.TIMED_OUT:
        ending, reason = run.ending, run.reason or wanted.reason
    at_work = [task for task in state.tasks if task.is_at_work]
    if not wanted.waits and run.status is RunStatus.CANCELLING and at_work:
        reason = f"{reason}; {_unstopped_text(at_work)}"
    cancelled = tuple(
        replace(task, status=TaskStatus.CANCELLED, reason=reason, ended_at=now, attempt_at=None)
        for task in state.tasks
        if not task.has_ended and not (wanted.waits and task.is_at_work)
    )
    is_new_failure = ending is RunStatus.TIMED_OUT and run.ending is None
    pauses = auto_pause.would_pause(run, state.spec) if is_new_failure else run.pauses
    stopping = replace(
        run, status=RunStatus.CANCELLING, ending=ending, reason=reason, pauses=pauses
    )
    by_id = {task.id: task for task in cancelled}
    tasks = tuple(by_id.get(task.id, task) for task in state.tasks)
    if waits_for := tuple(task for task in tasks if not task.has_ended):
        return Decision(
            cancel=cancelled, ending=ending, reason=reason, waits_for=waits_for, pauses=pauses
        )
    return replace(advance(replace(state, run=stopping, tasks=tasks), now), cancel=cancelled)


def _with_stop(run: Run, ending: RunStatus, wanted: Stop) -> str:
    """Return the first reason, and why the tasks of the last phase were stopped."""
    note = f"{after_phase(ending) or 'its'} tasks were stopped: {wanted.reason}"
    if run.reason is None:
        return note
    if run.reason.endswith(note):
        return run.reason
    return f"{run.reason}; {note}"


def waiting_text(tasks: Iterable[TaskInstance]) -> str:
    """Return what a run that is cancelling waits for: `waiting for task build to end`."""
    at_work = [task for task in tasks if task.is_at_work]
    return f"waiting for {_names(at_work)} to end" if at_work else "waiting for its tasks to end"


def stopped_reason(run: Run, task: TaskInstance, lost: str | None) -> str:
    """Return why a task of a run that is cancelling was cancelled.

    `lost` says why nobody knows how its attempt ended, if one was at work.
    """
    reason = run.reason or "cancelled"
    return f"{reason}; {lost}" if lost and task.attempt_at is not None else reason


def _unstopped_text(tasks: list[TaskInstance]) -> str:
    workers = sorted({task.worker for task in tasks if task.worker})
    where = f" on {', '.join(workers)}" if workers else ""
    within = format_duration(STOPS_WITHIN)
    return f"{_names(tasks)} did not end within {within} and may still run{where}"


def _names(tasks: list[TaskInstance]) -> str:
    labels = [address_of(task) for task in tasks]
    shown = ", ".join(labels[:_SHOWN_TASKS])
    more = f" and {len(labels) - _SHOWN_TASKS} more" if len(labels) > _SHOWN_TASKS else ""
    return f"{'task' if len(labels) == 1 else 'tasks'} {shown}{more}"
