"""Decides what a run does next: which tasks to create and start, and whether the run is over.

The functions are pure: the same state gives the same decision. After a decision was applied,
deciding again gives nothing new.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from activityctl.domain.bodies.command_choices import refuse_choices, trusted_names
from activityctl.domain.bodies.scripts import COMMAND, render_command
from activityctl.domain.cel.expression import evaluate_condition, render
from activityctl.domain.manifests.definition import MAX_FOR_EACH_ITEMS, TaskTemplate
from activityctl.domain.runs import auto_pause
from activityctl.domain.runs.run import (
    Decision,
    Phase,
    Run,
    RunEnd,
    RunState,
    RunStatus,
    TaskInstance,
    TaskStatus,
)
from activityctl.domain.values import ids
from activityctl.domain.values.model import JsonValue
from activityctl.errors import ExpressionError

_SATISFIED: Final = "succeeded"
_END_VERBS: Final = {
    "failed": "failed",
    "cancelled": "was cancelled",
    "skipped": "was skipped",
}


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
        main = _spawn(state, "main", now)
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
    after = _spawn(failing, "onFailure", now)
    decision = Decision(create=created + after.decision.create, ending=ending, pauses=pauses)
    if after.is_over:
        return replace(decision, end=RunEnd(ending, reason))
    return replace(decision, start=after.decision.start, reason=reason)


def _after_tasks(state: RunState) -> Decision | None:
    """Return what a run that is cancelling does next; None if its onFailure tasks are next."""
    run = state.run
    if run.ending is None or not all(task.has_ended for task in state.tasks):
        return Decision()
    has_reached_on_failure = any(task.phase == "onFailure" for task in state.tasks)
    if run.ending is RunStatus.TIMED_OUT and not has_reached_on_failure:
        return None
    return Decision(end=RunEnd(run.ending, run.reason))


def run_scope(run: Run, now: datetime) -> dict[str, Any]:
    """Return the variables of expressions, before any task exists."""
    return {
        "params": run.params,
        "trigger": {
            "name": run.trigger,
            "firingKey": run.firing_key,
            "dueAt": _format_utc(run.due_at),
            "payload": run.payload,
            "events": list(run.events),
        },
        "event": run.events[-1] if run.events else None,
        "context": run.context,
        "tasks": {},
        "run": {
            "id": run.id,
            "subscription": run.subscription,
            "definition": run.definition,
            "revision": run.revision_id,
            "startedAt": _format_utc(run.started_at),
            "error": run.reason,
            "pauses": run.pauses,
        },
        "state": run.state,
        "item": None,
        "now": now,
    }


def _format_utc(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat().replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class _SpawnResult:
    decision: Decision
    tasks: tuple[TaskInstance, ...]
    is_over: bool


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


def _spawn(state: RunState, phase: Phase, now: datetime) -> _SpawnResult:
    templates = state.spec.tasks if phase == "main" else state.spec.on_failure
    groups = _by_name(task for task in state.tasks if task.phase == phase)
    created: list[TaskInstance] = []
    for template in _in_order(templates):
        if template.name in groups:
            continue
        if not all(_is_over(groups.get(need)) for need in template.needs):
            continue
        instances = _instances(state, phase, template, groups, now)
        groups[template.name] = instances
        created.extend(instances)
    start = tuple(
        task
        for template in templates
        for task in _startable(template, groups.get(template.name, []))
    )
    is_over = all(_is_over(groups.get(template.name)) for template in templates)
    return _SpawnResult(
        Decision(create=tuple(created), start=start),
        state.tasks + tuple(created),
        is_over,
    )


def _by_name(tasks: Iterable[TaskInstance]) -> dict[str, list[TaskInstance]]:
    groups: dict[str, list[TaskInstance]] = {}
    for task in sorted(tasks, key=lambda task: task.index):
        groups.setdefault(task.name, []).append(task)
    return groups


def _in_order(templates: Sequence[TaskTemplate]) -> Iterator[TaskTemplate]:
    """Yield each task after those that it needs; the manifest checks have refused circles."""
    waiting, seen = list(templates), set[str]()
    while waiting:
        ready = [template for template in waiting if seen.issuperset(template.needs)]
        if not ready:
            return
        yield from ready
        seen.update(template.name for template in ready)
        waiting = [template for template in waiting if template.name not in seen]


def _startable(template: TaskTemplate, group: list[TaskInstance]) -> list[TaskInstance]:
    """Return the pending ones among the first `maxParallel` instances that have not ended."""
    waiting = [task for task in group if not task.has_ended]
    return [task for task in waiting[: template.max_parallel] if task.status is TaskStatus.PENDING]


def _is_over(group: list[TaskInstance] | None) -> bool:
    return group is not None and all(task.has_ended for task in group)


def _group_status(group: list[TaskInstance]) -> str:
    if group[0].of == 0:
        return _SATISFIED
    for status in (TaskStatus.FAILED, TaskStatus.CANCELLED, TaskStatus.SKIPPED):
        if any(task.status is status for task in group):
            return status.value
    return _SATISFIED


def _instances(
    state: RunState,
    phase: Phase,
    template: TaskTemplate,
    groups: Mapping[str, list[TaskInstance]],
    now: datetime,
) -> list[TaskInstance]:
    blank = TaskInstance(
        id=ids.task_id(state.run.id, template.name, 0),
        run_id=state.run.id,
        name=template.name,
        index=0,
        phase=phase,
        kind=template.kind,
        status=TaskStatus.PENDING,
        created_at=now,
    )
    for need in template.needs:
        if (status := _group_status(groups[need])) != _SATISFIED:
            return [_skipped(blank, f"needs {need}, which {_END_VERBS[status]}", now)]
    scope = {**run_scope(state.run, now), "tasks": _outcomes(state.tasks, groups)}
    try:
        if template.when is not None and not evaluate_condition(template.when, scope):
            return [_skipped(blank, f"when is false: {template.when}", now)]
        if template.for_each is None:
            return [_rendered(blank, template, scope)]
        items = _items(template.for_each, scope)
    except ExpressionError as error:
        return [_failed(blank, str(error), now)]
    if not items:
        return [_skipped(replace(blank, of=0), "forEach has no items", now)]
    return [
        _rendered(
            replace(
                blank,
                id=ids.task_id(state.run.id, template.name, index),
                index=index,
                of=len(items),
            ),
            template,
            {**scope, "item": item},
        )
        for index, item in enumerate(items)
    ]


def _items(for_each: JsonValue, scope: Mapping[str, Any]) -> list[JsonValue]:
    items = render(for_each, scope)
    if not isinstance(items, list):
        raise ExpressionError(f"forEach gave {_value_type_name(items)}, not a list")
    if len(items) > MAX_FOR_EACH_ITEMS:
        raise ExpressionError(f"forEach gave {len(items)} items; the limit is {MAX_FOR_EACH_ITEMS}")
    return items


def _value_type_name(value: JsonValue) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case _:
            return "a map"


def _rendered(task: TaskInstance, template: TaskTemplate, scope: Mapping[str, Any]) -> TaskInstance:
    try:
        if template.kind == COMMAND:
            refuse_choices(template.body, trusted_names(template.for_each))
            return replace(task, input=render_command(template.body, scope))
        return replace(task, input=render(template.body, scope))
    except ExpressionError as error:
        return _failed(task, str(error), task.created_at)


def _skipped(task: TaskInstance, reason: str, now: datetime) -> TaskInstance:
    return replace(task, status=TaskStatus.SKIPPED, reason=reason, ended_at=now)


def _failed(task: TaskInstance, error: str, now: datetime) -> TaskInstance:
    return replace(task, status=TaskStatus.FAILED, error=error, ended_at=now)


def _outcomes(
    tasks: Sequence[TaskInstance], groups: Mapping[str, list[TaskInstance]]
) -> dict[str, JsonValue]:
    """Return the variable `tasks` of expressions: every task that has ended, of both phases."""
    known = {**_by_name(tasks), **groups}
    return {name: _outcome(group) for name, group in known.items() if _is_over(group)}


def _outcome(group: list[TaskInstance]) -> JsonValue:
    first = group[0]
    outputs = [task.output for task in group]
    errors = [task.error for task in group if task.error is not None]
    return {
        "status": _group_status(group),
        "output": first.output if first.of is None else outputs[: first.of],
        "error": errors[0] if errors else None,
        "attempts": sum(task.attempts for task in group),
    }


def _end_of_main(state: RunState, tasks: tuple[TaskInstance, ...], now: datetime) -> RunEnd:
    for task in tasks:
        if task.phase == "main" and task.status is TaskStatus.FAILED:
            return RunEnd(RunStatus.FAILED, f"task {task_label(task)} failed: {task.error}")
    if not state.spec.state:
        return RunEnd(RunStatus.SUCCEEDED)
    scope = {**run_scope(state.run, now), "tasks": _outcomes(tasks, {})}
    try:
        kept = render(state.spec.state, scope)
    except ExpressionError as error:
        return RunEnd(RunStatus.FAILED, f"state: {error}")
    return RunEnd(RunStatus.SUCCEEDED, state=kept)


def task_label(task: TaskInstance) -> str:
    """Return the task's name for people: `notify`, or `notify[2]` for an instance of a forEach."""
    return task.name if not task.of else f"{task.name}[{task.index}]"
