"""Checks of the tasks that the engine carries out: fields without effect, waits that are too long.

The kinds' own fields are checked by their models.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from pydantic import ValidationError

from activityctl.domain.cel.expression import has_expression
from activityctl.domain.cel.static_type import StaticType
from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.manifests.params import check_params, check_schema
from activityctl.domain.manifests.task_template import TaskTemplate
from activityctl.domain.tasks.engine_kinds import ENGINE_KINDS, longest_wait
from activityctl.domain.tasks.manual import MANUAL
from activityctl.domain.tasks.wait import WAIT
from activityctl.domain.tasks.wait_for import WAIT_FOR, check_wait_for
from activityctl.domain.values.duration import format_duration
from activityctl.domain.values.finding import Finding, Path
from activityctl.domain.values.model import JsonValue

_OF_ATTEMPTS: Final = ("retry", "timeout", "breaker", "limit")
"""The fields that are about attempts of an executor."""


def check_engine_task(task: TaskTemplate, params: StaticType) -> Iterator[Finding]:
    """Yield what is wrong with a task that no executor attempts, besides its fields' shapes.

    `params` is the result of `params_type`.
    """
    if len(task.kinds) != 1 or task.kind not in ENGINE_KINDS:
        return
    for name in _OF_ATTEMPTS:
        if name in task.model_fields_set:
            yield Finding((name,), f"has no effect on {task.kind}: it has no attempts", at_key=True)
    if task.kind == WAIT_FOR:
        yield from (finding.under(WAIT_FOR) for finding in check_wait_for(task.body, params))
    if task.kind == MANUAL and isinstance(task.body, Mapping):
        yield from (finding.under(MANUAL) for finding in _check_form(task.body))


def _check_form(body: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield what is wrong with the form of a manual task, and with its default output."""
    form = body.get("form", {})
    if not isinstance(form, Mapping):
        return
    findings = [_about_form(finding).under("form") for finding in check_schema(form)]
    yield from findings
    on_timeout = body.get("onTimeout")
    if findings or not form or not isinstance(on_timeout, Mapping) or "output" not in on_timeout:
        return
    for finding in check_params(form, on_timeout["output"]):
        if not _has_template(on_timeout["output"]):
            yield finding.under("onTimeout", "output")


def _about_form(finding: Finding) -> Finding:
    """Return a finding about a schema in the words of forms."""
    reason = finding.reason.replace("because params are an object", "because a form has fields")
    return replace(finding, reason=reason)


def _has_template(value: JsonValue) -> bool:
    return has_expression(json.dumps(value))


def check_waits(spec: DefinitionSpec) -> list[Finding]:
    """Return the waits that the run's timeout cuts off; waits in a row count together.

    Only waits that are written without a template are known. Groups and choices are looked into.
    A person or an event can come early, so their limit may be longer than a timeout that the
    author has written; it may not be longer than the default, which the author may not know.
    """
    found: list[Finding] = []
    _latest_end(spec.tasks, ("tasks",), timedelta(), spec, found)
    return found


def _latest_end(
    templates: Sequence[TaskTemplate],
    path: Path,
    begins: timedelta,
    spec: DefinitionSpec,
    found: list[Finding],
) -> timedelta:
    """Return when the last of these tasks may end that begin then; add what is wrong to `found`."""
    places = {task.name: index for index, task in enumerate(templates)}
    ends: dict[str, timedelta] = {}

    def end_of(task: TaskTemplate) -> timedelta:
        if task.name in ends:
            return ends[task.name]
        ends[task.name] = begins  # circles are another finding
        needs = [end_of(templates[places[need]]) for need in task.needs if need in places]
        start = max(needs, default=begins)
        place = (*path, places[task.name])
        end = start
        if (written := _written_wait(task)) is not None:
            field, wait = written
            end = start + wait
            is_cut_off = task.kind == WAIT or "timeout" not in spec.model_fields_set
            if is_cut_off and start < spec.timeout <= end:
                found.append(Finding((*place, task.kind, field), _reason(wait, end, spec)))
        for inner_path, inner in _inner_lists(task):
            end = max(end, _latest_end(inner, (*place, *inner_path), start, spec, found))
        ends[task.name] = end
        return end

    return max(map(end_of, templates), default=begins)


def _inner_lists(task: TaskTemplate) -> Iterator[tuple[Path, Sequence[TaskTemplate]]]:
    """Yield the lists of tasks in a group or choice, with their paths."""
    if task.tasks is not None:
        yield ("tasks",), task.tasks
    if task.switch is not None:
        for number, case in enumerate(task.switch.cases):
            yield ("switch", "cases", number, "tasks"), case.tasks
        yield ("switch", "default"), task.switch.default


def _written_wait(task: TaskTemplate) -> tuple[str, timedelta] | None:
    """Return the field that says how long the task may wait, and its value."""
    if len(task.kinds) != 1 or task.kind not in ENGINE_KINDS:
        return None
    try:
        body = ENGINE_KINDS[task.kind].model_validate_json(json.dumps(task.body))
    except ValidationError:
        return None
    return longest_wait(body)


def _reason(wait: timedelta, total: timedelta, spec: DefinitionSpec) -> str:
    timeout = "the run's timeout" if "timeout" in spec.model_fields_set else "the default timeout"
    limit = f"{timeout} of {format_duration(spec.timeout)}"
    if total > wait:
        waits = f"with the waits before it, this is {format_duration(total)}: not shorter than"
    else:
        waits = f"{format_duration(wait)} is not shorter than"
    more = format_duration(total)
    return f"{waits} {limit}, so the run would end first; set spec.timeout to more than {more}"
