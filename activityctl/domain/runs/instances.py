"""Creates the rows of one task: skipped, failed, once, or one for each item of a forEach."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from activityctl.domain.bodies.command_choices import refuse_choices, trusted_names
from activityctl.domain.bodies.scripts import COMMAND, render_command
from activityctl.domain.bodies.secret_choices import refuse_chosen_secrets
from activityctl.domain.bodies.verbatim import render_body
from activityctl.domain.cel.expression import evaluate_condition, render
from activityctl.domain.manifests.task_template import MAX_FOR_EACH_ITEMS, TaskTemplate
from activityctl.domain.runs import lanes
from activityctl.domain.runs.run import TaskInstance, TaskStatus
from activityctl.domain.runs.task_rows import SATISFIED
from activityctl.domain.runs.waiting import prepare
from activityctl.domain.values import ids
from activityctl.domain.values.model import JsonValue
from activityctl.errors import ExpressionError

_END_VERBS: Final = {
    "failed": "failed",
    "cancelled": "was cancelled",
    "skipped": "was skipped",
}


def new_instances(
    template: TaskTemplate,
    blank: TaskInstance,
    statuses: Mapping[str, str],
    scope: Mapping[str, Any],
) -> list[TaskInstance]:
    """Return the rows of a task whose needs are over, each pending or in its end.

    `blank` is the first of them, and `statuses` are those of the tasks that it needs, by name; a
    failure that does not matter counts as a success.
    """
    for need, status in statuses.items():
        if status != SATISFIED:
            return [_skipped(blank, f"needs {need}, which {_END_VERBS[status]}")]
    try:
        if template.when is not None and not evaluate_condition(template.when, scope):
            return [_skipped(blank, f"when is false: {template.when}")]
        if template.for_each is None:
            return [_with_input(blank, template, scope)]
        items = items_of(template.for_each, scope)
    except ExpressionError as error:
        return [failed(blank, str(error))]
    if not items:
        return [_skipped(replace(blank, of=0), "forEach has no items")]
    found = [
        _with_input(numbered(blank, index, len(items)), template, {**scope, "item": item})
        for index, item in enumerate(items)
    ]
    return found if blank.is_container else lanes.with_lanes(template, found)


def numbered(blank: TaskInstance, index: int, of: int) -> TaskInstance:
    """Return the row with another index: an item of a forEach, or a round."""
    task_id = ids.task_id(blank.run_id, blank.name, index)
    return replace(blank, id=task_id, index=index, of=of)


def items_of(for_each: JsonValue, scope: Mapping[str, Any]) -> list[JsonValue]:
    """Return the items of a forEach; raise ExpressionError if it gives none, or too many."""
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


def _with_input(
    task: TaskInstance, template: TaskTemplate, scope: Mapping[str, Any]
) -> TaskInstance:
    """Return the row with what it needs to begin; a container keeps its item for its tasks."""
    if not task.is_container:
        return rendered(task, template, scope)
    return task if template.for_each is None else replace(task, input={"item": scope["item"]})


def rendered(task: TaskInstance, template: TaskTemplate, scope: Mapping[str, Any]) -> TaskInstance:
    """Return the row with its rendered input; it has failed if that is impossible."""
    try:
        if template.kind == COMMAND:
            refuse_choices(template.body, trusted_names(template.for_each))
            body = render_command(template.body, scope)
        else:
            body = render_body(template.kind, template.body, scope)
        refuse_chosen_secrets(template.body, body)
        return prepare(replace(task, input=body), task.created_at)
    except ExpressionError as error:
        return failed(task, str(error))


def _skipped(task: TaskInstance, reason: str) -> TaskInstance:
    return replace(task, status=TaskStatus.SKIPPED, reason=reason, ended_at=task.created_at)


def failed(task: TaskInstance, error: str) -> TaskInstance:
    """Return a new row that has failed before it could begin."""
    return replace(task, status=TaskStatus.FAILED, error=error, ended_at=task.created_at)
