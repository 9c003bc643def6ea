"""The static types of what expressions read of tasks that have ended.

What has not run, or has failed without an output, has a null output. An expression that reads a
field of it must test it first, in the same expression or in a condition around it. `has` is no such
test: it cannot be asked of null.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from activityctl.domain.cel.static_type import (
    ANY_TYPE,
    StaticType,
    as_compared,
    closed_map,
    type_of_kind,
)
from activityctl.domain.manifests.output_fields import output_type
from activityctl.domain.manifests.task_template import TaskTemplate

_TEXT: Final = type_of_kind("string")
_TEXT_OR_NULL: Final = type_of_kind("string", "null")
_LIST: Final = type_of_kind("list")
_NAME: Final = re.compile(r"[A-Za-z_]\w*")

OUTCOME: Final = closed_map(
    {"status": _TEXT, "output": ANY_TYPE, "error": _TEXT_OR_NULL, "attempts": type_of_kind("int")}
)
OUTCOME_OF_MANY: Final = closed_map(
    {**OUTCOME.fields, "output": type_of_kind("list", "null"), "items": _LIST}
)


def outcome_type(
    task: TaskTemplate, conditions: Sequence[str] = (), *, is_sure: bool = True, at: str = "tasks"
) -> StaticType:
    """Return the type of `tasks.<name>`.

    `conditions` hold where it is read. Without `is_sure`, the task may not have run.
    """
    if task.for_each is not None:
        return OUTCOME_OF_MANY
    is_sure = is_sure and not task.continue_on_error
    return single_outcome_type(task, conditions, is_sure=is_sure, at=at)


def single_outcome_type(
    task: TaskTemplate, conditions: Sequence[str], *, is_sure: bool, at: str = "tasks"
) -> StaticType:
    """Return the type of the outcome of a task without forEach, of one item, or of a round."""
    path = _select(at, task.name)
    rounds = {"rounds": _LIST} if task.has_rounds else {}
    if not task.has_children:
        output = _output_type(task, path, conditions, is_sure=is_sure)
        return closed_map({**OUTCOME.fields, "output": output, **rounds})
    outputs, tasks = {}, {}
    inside = f"{path}.tasks"
    for child in task.children:
        is_child_sure = is_sure and task.switch is None and _is_sure(child, task.children)
        inner = outcome_type(child, conditions, is_sure=is_child_sure, at=inside)
        tasks[child.name] = inner
        outputs[child.name] = inner.fields["output"]
        if outputs[child.name].unsure:
            written = _select(f"{path}.output", child.name)
            guards = (*outputs[child.name].guards, *_tests((written,)))
            outputs[child.name] = replace(outputs[child.name], guards=guards)
    fields = {**OUTCOME.fields, "output": closed_map(outputs), "tasks": closed_map(tasks)}
    return closed_map({**fields, **rounds})


def may_not_run(task: TaskTemplate, siblings: Iterable[TaskTemplate]) -> bool:
    """Return whether the task may have no output although nothing has failed."""
    return not _is_sure(task, tuple(siblings)) or task.continue_on_error


def _is_sure(task: TaskTemplate, siblings: Sequence[TaskTemplate]) -> bool:
    """Return whether the task has run if all has gone well. Circles are reported elsewhere."""
    by_name = {other.name: other for other in siblings}
    seen: set[str] = set()
    waiting = [task.name]
    while waiting:
        name = waiting.pop()
        if name in seen or name not in by_name:
            continue
        seen.add(name)
        other = by_name[name]
        if other.when is not None:
            return False
        waiting += other.needs
    return True


def _output_type(
    task: TaskTemplate, path: str, conditions: Sequence[str], *, is_sure: bool
) -> StaticType:
    output = output_type(task.kind, task.body) if len(task.kinds) == 1 else ANY_TYPE
    guards = (f"{path}.status", *_tests((f"{path}.output",)))
    if is_sure or any(guard in as_compared(text) for guard in guards for text in conditions):
        return output
    reason = f"{task.name} may not have run, or may have failed without an output"
    advice = f"its output is null then: write {path}.output != null ? … : …"
    return replace(output, unsure=f"{reason}; {advice}", guards=guards)


def _tests(paths: Iterable[str]) -> list[str]:
    return [test for path in paths for test in (f"{path}==null", f"{path}!=null")]


def _select(path: str, name: str) -> str:
    return f"{path}.{name}" if _NAME.fullmatch(name) else f"{path}['{name}']"
