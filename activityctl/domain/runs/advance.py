"""Decides what a run does next: which tasks to create and start, and whether the run is over.

The functions are pure: the same state gives the same decision. After a decision was applied,
deciding again gives nothing new.
"""

from dataclasses import replace
from datetime import datetime

from activityctl.domain.cel.expression import render
from activityctl.domain.runs import auto_pause
from activityctl.domain.runs.run import (
    Decision,
    RunEnd,
    RunState,
    RunStatus,
    TaskInstance,
    TaskStatus,
)
from activityctl.domain.runs.scope import outcomes, run_scope, task_label
from activityctl.domain.runs.spawning import spawn
from activityctl.errors import ExpressionError


def advance(state: RunState, now: datetime) -> Decision:
    """Decide what the run does next.

    A task starts when every task that it needs has succeeded. A forEach without items counts as
    succeeded. A task is skipped when one that it needs failed or was skipped. When a task fails,
    tasks that do not need it continue. A run with a failed task runs its onFailure tasks, then
    ends `failed`. A run that is cancelling waits until its tasks have stopped; after a timeout its
    onFailure tasks run then.
    """
    if state.run.has_ended:
        return Decision()
    if state.run.status is RunStatus.CANCELLING and (waiting := _after_tasks(state)) is not None:
        return waiting
    ending: RunStatus
    if state.run.ending is None:
        main = spawn(state, "main", now)
        if not main.is_over:
            return main.decision
        end = _end_of_main(state, main.tasks, now)
        if end.status is RunStatus.SUCCEEDED:
            return replace(main.decision, end=end)
        ending, reason = end.status, end.reason
        created, tasks = main.decision.create, main.tasks
        pauses = auto_pause.would_pause(state.run, state.spec)
    else:
        ending, reason = state.run.ending, state.run.reason
        created, tasks = (), state.tasks
        pauses = state.run.pauses
    failing = replace(state, run=replace(state.run, reason=reason, pauses=pauses), tasks=tasks)
    after = spawn(failing, "onFailure", now)
    decision = Decision(create=created + after.decision.create, ending=ending, pauses=pauses)
    if after.is_over:
        return replace(decision, end=RunEnd(ending, reason))
    return replace(decision, wait=after.decision.wait, start=after.decision.start, reason=reason)


def _after_tasks(state: RunState) -> Decision | None:
    """Return what a run that is cancelling does next; None if its onFailure tasks are next."""
    run = state.run
    if run.ending is None or not all(task.has_ended for task in state.tasks):
        return Decision()
    has_reached_on_failure = any(task.phase == "onFailure" for task in state.tasks)
    if run.ending is RunStatus.TIMED_OUT and not has_reached_on_failure:
        return None
    return Decision(end=RunEnd(run.ending, run.reason))


def resume(state: RunState, now: datetime) -> Decision:
    """Decide what a run does next that a new workflow carries on.

    As `advance`, and tasks that have begun start again, because their attempts may be lost. A
    worker that still has the attempt joins it or, in another process, ends it.
    """
    decision = advance(state, now)
    if state.run.status is not RunStatus.RUNNING or decision.end is not None:
        return decision
    begun = tuple(task for task in state.tasks if task.is_at_work)
    return replace(decision, start=(*begun, *decision.start))


def _end_of_main(state: RunState, tasks: tuple[TaskInstance, ...], now: datetime) -> RunEnd:
    for task in tasks:
        if task.phase == "main" and task.status is TaskStatus.FAILED:
            return RunEnd(RunStatus.FAILED, f"task {task_label(task)} failed: {task.error}")
    if not state.spec.state:
        return RunEnd(RunStatus.SUCCEEDED)
    scope = {**run_scope(state.run, now), "tasks": outcomes(tasks, {})}
    try:
        kept = render(state.spec.state, scope)
    except ExpressionError as error:
        return RunEnd(RunStatus.FAILED, f"state: {error}")
    return RunEnd(RunStatus.SUCCEEDED, state=kept)
