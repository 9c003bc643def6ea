"""Decides what a run does next: which tasks to create and start, and whether the run is over.

The functions are pure: the same state gives the same decision. After a decision was applied,
deciding again gives nothing new.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime

from activityctl.domain.cel.expression import render
from activityctl.domain.runs import auto_pause
from activityctl.domain.runs.phases import after_phase, end_of, has_left_main, templates_of
from activityctl.domain.runs.run import (
    Decision,
    Phase,
    RunEnd,
    RunState,
    RunStatus,
    address_of,
)
from activityctl.domain.runs.spawning import SpawnResult, spawn
from activityctl.domain.runs.undoing import UNDONE, can_undo, spawn_undo
from activityctl.domain.values.model import JsonValue
from activityctl.errors import ExpressionError


def advance(state: RunState, now: datetime) -> Decision:
    """Decide what the run does next.

    A task starts when every task that it needs has succeeded. A forEach without items counts as
    succeeded. A task is skipped when one that it needs failed or was skipped. When a task fails,
    tasks that do not need it continue. A run with a failed task runs its onFailure tasks, then
    ends `failed`; any other runs its onSuccess tasks, then ends `succeeded`, also if one of them
    fails. A run that is skipped runs its onSkip tasks, if it has any. A run that is cancelling
    waits until its tasks have stopped; after a timeout its onFailure tasks run then. Nothing
    happens in a queued run, whose context is not known yet.
    """
    if state.run.has_ended or state.run.status is RunStatus.QUEUED:
        return Decision()
    if state.run.status is RunStatus.CANCELLING and (waiting := _after_tasks(state)) is not None:
        return waiting
    if state.run.ending is not None:
        return _last_phases(state, state.run.ending, Decision(), now)
    main = spawn(state, "main", now)
    if main.early_end is not None:
        return _end_early(state, main, main.early_end, now)
    return _end_of_main(state, main, now) if main.is_over else main.decision


def _end_of_main(state: RunState, main: SpawnResult, now: datetime) -> Decision:
    """Decide what follows the main tasks, all of which have ended."""
    end, kept = _outcome_of_main(state, main)
    is_failure = end.status is not RunStatus.SUCCEEDED
    pauses = is_failure and auto_pause.would_pause(state.run, state.spec)
    run = replace(state.run, reason=end.reason, pauses=pauses)
    decision = replace(main.decision, keep_state=kept)
    return _last_phases(replace(state, run=run, tasks=main.tasks), end.status, decision, now)


def _end_early(state: RunState, main: SpawnResult, end: RunEnd, now: datetime) -> Decision:
    """End the run because of a `stop` task, as soon as what is at work has stopped."""
    at_work = tuple(task for task in main.tasks if not task.has_ended)
    is_failure = end.status is RunStatus.FAILED
    pauses = is_failure and auto_pause.would_pause(state.run, state.spec)
    if at_work:
        return replace(
            main.decision,
            start=(),
            ending=end.status,
            reason=end.reason,
            waits_for=at_work,
            pauses=pauses,
        )
    run = replace(state.run, reason=end.reason, pauses=pauses)
    stopped = replace(state, run=run, tasks=main.tasks)
    return _last_phases(stopped, end.status, main.decision, now)


def _last_phases(state: RunState, ending: RunStatus, before: Decision, now: datetime) -> Decision:
    """Decide about the tasks that run when the others are over; end the run when they are too.

    `before` has what was decided about the others. First comes what undoes their effects, then
    what the definition has for such an end. A run without such tasks ends at once.
    """
    phases = list(_phases_of_end(state, ending))
    if not phases:
        return replace(
            before,
            start=(),
            wait=(),
            ending=ending,
            reason=state.run.reason,
            pauses=state.run.pauses,
            end=end_of(ending, state.run.reason, state.tasks),
        )
    state = replace(state, run=replace(state.run, ending=ending))
    before = replace(before, start=(), wait=())
    for phase in phases:
        after = spawn_undo(state, now) if phase == "undo" else spawn(state, phase, now)
        before = replace(
            before,
            create=before.create + after.decision.create,
            change=before.change + after.decision.change,
            start=after.decision.start,
            wait=after.decision.wait,
            ending=ending,
            reason=state.run.reason,
            pauses=state.run.pauses,
        )
        if not after.is_over:
            return before
        state = replace(state, tasks=after.tasks)
    return replace(before, end=end_of(ending, state.run.reason, state.tasks))


def _phases_of_end(state: RunState, ending: RunStatus) -> Iterator[Phase]:
    if ending in UNDONE and can_undo(state.spec):
        yield "undo"
    if (phase := after_phase(ending)) is not None and templates_of(state.spec, phase):
        yield phase


def _after_tasks(state: RunState) -> Decision | None:
    """Return what a run that is cancelling does next; None if the tasks of its end are next."""
    run = state.run
    if run.ending is None or not all(task.has_ended for task in state.tasks):
        return Decision()
    if has_left_main(state.tasks):
        return Decision(end=end_of(run.ending, run.reason, state.tasks))
    return None


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


def _outcome_of_main(
    state: RunState, main: SpawnResult
) -> tuple[RunEnd, Mapping[str, JsonValue] | None]:
    """Return how the main tasks have ended, and the state to store."""
    if main.failure is not None:
        failure = f"task {address_of(main.failure)} failed: {main.failure.error}"
        return RunEnd(RunStatus.FAILED, failure), None
    allowed = main.allowed_failures
    reason = f"continueOnError allowed the failure of {allowed}" if allowed else None
    if not state.spec.state:
        return RunEnd(RunStatus.SUCCEEDED, reason), None
    try:
        return RunEnd(RunStatus.SUCCEEDED, reason), render(state.spec.state, main.scope)
    except ExpressionError as error:
        return RunEnd(RunStatus.FAILED, f"state: {error}"), None
