"""Decides what a run does next: which tasks to create and start, and whether the run is over.

The functions are pure: the same state gives the same decision. After a decision was applied,
deciding again gives nothing new.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from activityctl.domain.cel.expression import render
from activityctl.domain.runs import auto_pause
from activityctl.domain.runs.phases import after_phase, end_reason, has_left_main
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
from activityctl.domain.values.model import JsonValue
from activityctl.errors import ExpressionError


def advance(state: RunState, now: datetime) -> Decision:
    """Decide what the run does next.

    A task starts when every task that it needs has succeeded. A forEach without items counts as
    succeeded. A task is skipped when one that it needs failed or was skipped. When a task fails,
    tasks that do not need it continue. A run with a failed task runs its onFailure tasks, then
    ends `failed`; any other runs its onSuccess tasks, then ends `succeeded`, also if one of them
    fails. A run that is cancelling waits until its tasks have stopped; after a timeout its
    onFailure tasks run then. Nothing happens in a queued run, whose context is not known yet.
    """
    if state.run.has_ended or state.run.status is RunStatus.QUEUED:
        return Decision()
    if state.run.status is RunStatus.CANCELLING and (waiting := _after_tasks(state)) is not None:
        return waiting
    if state.run.ending is not None:
        return _last_phase(state, state.run.ending, Decision(), now)
    main = spawn(state, "main", now)
    if not main.is_over:
        return main.decision
    end, kept = _end_of_main(state, main.tasks, now)
    is_failure = end.status is not RunStatus.SUCCEEDED
    pauses = is_failure and auto_pause.would_pause(state.run, state.spec)
    run = replace(state.run, reason=end.reason, pauses=pauses)
    decision = replace(main.decision, keep_state=kept)
    return _last_phase(replace(state, run=run, tasks=main.tasks), end.status, decision, now)


def _last_phase(state: RunState, ending: RunStatus, before: Decision, now: datetime) -> Decision:
    """Decide about the tasks that run when the others are over; end the run when they are too.

    `before` has what was decided about the others. A run without such tasks ends at once.
    """
    phase, reason = after_phase(ending), state.run.reason
    if phase is None:
        return replace(before, end=RunEnd(ending, reason))
    after = spawn(replace(state, run=replace(state.run, ending=ending)), phase, now)
    decision = replace(
        before,
        create=before.create + after.decision.create,
        start=after.decision.start,
        wait=after.decision.wait,
        ending=ending,
        reason=reason,
        pauses=state.run.pauses,
    )
    if after.is_over:
        return replace(decision, end=RunEnd(ending, end_reason(reason, after.tasks)))
    return decision


def _after_tasks(state: RunState) -> Decision | None:
    """Return what a run that is cancelling does next; None if its onFailure tasks are next."""
    run = state.run
    if run.ending is None or not all(task.has_ended for task in state.tasks):
        return Decision()
    if run.ending is RunStatus.TIMED_OUT and not has_left_main(state.tasks):
        return None
    return Decision(end=RunEnd(run.ending, end_reason(run.reason, state.tasks)))


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


def _end_of_main(
    state: RunState, tasks: tuple[TaskInstance, ...], now: datetime
) -> tuple[RunEnd, Mapping[str, JsonValue] | None]:
    """Return how the main tasks have ended, and the state to store."""
    for task in tasks:
        if task.phase == "main" and task.status is TaskStatus.FAILED:
            failure = f"task {task_label(task)} failed: {task.error}"
            return RunEnd(RunStatus.FAILED, failure), None
    if not state.spec.state:
        return RunEnd(RunStatus.SUCCEEDED), None
    scope = {**run_scope(state.run, now), "tasks": outcomes(tasks, {})}
    try:
        return RunEnd(RunStatus.SUCCEEDED), render(state.spec.state, scope)
    except ExpressionError as error:
        return RunEnd(RunStatus.FAILED, f"state: {error}"), None
