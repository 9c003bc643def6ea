"""The form of a `manual` task that has none: the fields that other expressions read of its output.

A person is asked for them one by one, and an answer without them is refused at once; otherwise
the task that reads them would fail.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from activityctl.domain.cel.program import Fault, compiled
from activityctl.domain.cel.static_type import as_compared
from activityctl.domain.cel.templates import TemplateExpression, template_parts
from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.manifests.task_template import TaskTemplate
from activityctl.domain.runs.run import TaskInstance
from activityctl.domain.tasks.manual import MANUAL
from activityctl.domain.values.model import JsonValue, canonical

_FORM: Final = "form"
_WITHOUT_TASKS: Final = ("params", "triggers", "context", "rules", "limits")
"""Fields of a definition that cannot read outputs."""


def with_form(task: TaskInstance, template: TaskTemplate, spec: DefinitionSpec) -> TaskInstance:
    """Return a new task with the form that it lacks; one that has a form keeps it, also `{}`."""
    if task.kind != MANUAL or template.for_each is not None or not isinstance(task.input, Mapping):
        return task
    if _FORM in task.input or not (fields := _fields_read(spec, template.name)):
        return task
    form = {
        "type": "object",
        "required": [name for name, is_tested in fields.items() if not is_tested],
        "properties": {name: {} for name in fields},
    }
    return replace(task, input={**task.input, _FORM: form})


def _fields_read(spec: DefinitionSpec, name: str) -> dict[str, bool]:
    """Return the fields of the task's output that are read, and whether `has` tests them."""
    found: dict[str, bool] = {}
    document = canonical(spec)
    for source in _sources([document[key] for key in document if key not in _WITHOUT_TASKS]):
        program = compiled(source)
        if isinstance(program, Fault):
            continue
        text = as_compared(source)
        for field in _below(program.shape.paths, ("tasks", name, "output")):
            is_tested = f"has(tasks.{name}.output.{field})" in text
            found[field] = found.get(field, False) or is_tested
    return found


def _sources(value: JsonValue) -> Iterator[str]:
    """Yield what may be an expression about tasks; another text does no harm."""
    match value:
        case str() if "tasks" in value and "${" in value:
            parts = template_parts(value)
            yield from (part.source for part in parts if isinstance(part, TemplateExpression))
        case str() if "tasks" in value:
            yield value
        case Mapping():
            for inner in value.values():
                yield from _sources(inner)
        case list():
            for inner in value:
                yield from _sources(inner)
        case _:
            pass


def _below(paths: Mapping[str, Any], steps: tuple[str, ...]) -> list[str]:
    """Return the fields that are read at the end of the steps; none if the whole value is."""
    inner: Any = paths
    for step in steps:
        inner = inner.get(step) if isinstance(inner, Mapping) else None
    return list(inner) if isinstance(inner, Mapping) else []
