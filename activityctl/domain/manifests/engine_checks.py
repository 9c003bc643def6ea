"""Checks of the tasks that the engine carries out: fields without effect, and forms.

The kinds' own fields are checked by their models.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from activityctl.domain.cel.expression import has_expression
from activityctl.domain.cel.static_type import StaticType
from activityctl.domain.manifests.params import check_params, check_schema
from activityctl.domain.manifests.task_template import TaskTemplate
from activityctl.domain.tasks.engine_kinds import ENGINE_KINDS
from activityctl.domain.tasks.manual import MANUAL
from activityctl.domain.tasks.wait_for import WAIT_FOR, check_wait_for
from activityctl.domain.values.finding import Finding
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
