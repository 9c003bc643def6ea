"""Creates the instances of one task: skipped, failed, once, or one for each item of a forEach."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from activityctl.domain.bodies.command_choices import refuse_choices, trusted_names
from activityctl.domain.bodies.scripts import COMMAND, render_command
from activityctl.domain.bodies.secret_choices import refuse_chosen_secrets
from activityctl.domain.bodies.verbatim import render_body
from activityctl.domain.cel.expression import evaluate_condition, render
from activityctl.domain.manifests.task_template import MAX_FOR_EACH_ITEMS, TaskTemplate
from activityctl.domain.runs import lanes
from activityctl.domain.runs.run import Phase, RunState, TaskInstance, TaskStatus
from activityctl.domain.runs.scope import SATISFIED, group_status, outcomes, run_scope
from activityctl.domain.runs.waiting import prepare
from activityctl.domain.values import ids
from activityctl.domain.values.model import JsonValue
from activityctl.errors import ExpressionError

_END_VERBS: Final = {
    "failed": "failed",
    "cancelled": "was cancelled",
    "skipped": "was skipped",
}


def instances(
    state: RunState,
    phase: Phase,
    template: TaskTemplate,
    groups: Mapping[str, list[TaskInstance]],
    now: datetime,
) -> list[TaskInstance]:
    """Return the instances of a task whose needs are over, each pending or in its end."""
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
        if (status := group_status(groups[need])) != SATISFIED:
            return [_skipped(blank, f"needs {need}, which {_END_VERBS[status]}", now)]
    scope = {**run_scope(state.run, now), "tasks": outcomes(state.tasks, groups)}
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
    found = [
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
    return lanes.with_lanes(template, found)


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
            rendered = render_command(template.body, scope)
        else:
            rendered = render_body(template.kind, template.body, scope)
        refuse_chosen_secrets(template.body, rendered)
        return prepare(replace(task, input=rendered), task.created_at)
    except ExpressionError as error:
        return _failed(task, str(error), task.created_at)


def _skipped(task: TaskInstance, reason: str, now: datetime) -> TaskInstance:
    return replace(task, status=TaskStatus.SKIPPED, reason=reason, ended_at=now)


def _failed(task: TaskInstance, error: str, now: datetime) -> TaskInstance:
    return replace(task, status=TaskStatus.FAILED, error=error, ended_at=now)
