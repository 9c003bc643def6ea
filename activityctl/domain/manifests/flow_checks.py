"""Checks of groups, choices, rounds and undo tasks: names, fields without effect, dead branches.

Expressions and the tasks in them are checked as those of other tasks.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from activityctl.domain.cel.expression import evaluate_condition
from activityctl.domain.manifests.task_blocks import StaticBlock
from activityctl.domain.manifests.task_template import TaskTemplate
from activityctl.domain.tasks.engine_kinds import ENGINE_KINDS
from activityctl.domain.tasks.stop import STOP
from activityctl.domain.values.finding import Finding, unknown_field
from activityctl.errors import ExpressionError

_WITHOUT_EFFECT_ON_STOP: Final = {
    "continue_on_error": "continueOnError",
    "for_each": "forEach",
    "repeat": "repeat",
    "undo": "undo",
}
_OF_ATTEMPTS: Final = {
    "jitter": "jitter",
    "max_age": "maxAge",
    "non_retryable": "nonRetryable",
    "retryable": "retryable",
}
"""The fields of `retry` that are about single attempts of an executor."""


def check_flow(task: TaskTemplate, block: StaticBlock) -> Iterator[Finding]:
    """Yield what is wrong with how a task holds other tasks, repeats, or is undone."""
    if task.has_children:
        yield from _check_group_fields(task)
    if task.repeat is not None and task.repeat.delay and ENGINE_KINDS.keys() & set(task.kinds):
        reason = f"has no effect on {task.kind}: repeat a group that has it"
        yield Finding(("repeat", "delay"), reason, at_key=True)
    if task.undo and (block.phase != "tasks" or block.place == "undo"):
        reason = "has no effect here: only what the main tasks have done is undone"
        yield Finding(("undo",), reason, at_key=True)
    if STOP in task.kinds:
        yield from _check_stop(task, block)
    if task.switch is not None:
        yield from _check_cases([case.when for case in task.switch.cases])
        if task.switch.default and any(_constant(case.when) for case in task.switch.cases):
            reason = "never runs: a case above it is always true"
            yield Finding(("switch", "default"), reason, at_key=True)
    yield from _check_names(task, block)


def _check_group_fields(task: TaskTemplate) -> Iterator[Finding]:
    written = task.model_fields_set
    for field in sorted(task.retry.model_fields_set & _OF_ATTEMPTS.keys()):
        reason = "has no effect on a group, which is repeated whatever failed in it"
        yield Finding(("retry", _OF_ATTEMPTS[field]), reason, at_key=True)
    if "timeout" in written:
        reason = "has no effect on a task with tasks in it: write it at these tasks"
        yield Finding(("timeout",), reason, at_key=True)
    if "retry" in written and task.switch is not None:
        reason = "has no effect on a switch: write it at its tasks, or put the switch in a group"
        yield Finding(("retry",), reason, at_key=True)
    elif "retry" in written and task.repeat is not None:
        reason = "a group cannot have both repeat and retry: put one group into another"
        yield Finding(("retry",), reason, at_key=True)


def _check_stop(task: TaskTemplate, block: StaticBlock) -> Iterator[Finding]:
    if block.phase != "tasks" or block.place == "undo":
        yield Finding((STOP,), "has no effect here: the run ends anyway", at_key=True)
    for field, name in _WITHOUT_EFFECT_ON_STOP.items():
        if field in task.model_fields_set:
            yield Finding((name,), "has no effect on stop: it ends the run at once", at_key=True)


def _check_cases(conditions: Sequence[str]) -> Iterator[Finding]:
    """Yield the cases that can never be chosen."""
    seen: dict[str, int] = {}
    always: int | None = None
    for index, when in enumerate(conditions):
        path = ("switch", "cases", index, "when")
        text = " ".join(when.split())
        if always is not None:
            yield Finding(path, f"is never chosen: case {always + 1} above it is always true")
        elif (value := _constant(when)) is False:
            yield Finding(path, "is never chosen: it is always false")
        elif text in seen:
            yield Finding(path, f"is never chosen: case {seen[text] + 1} has the same condition")
        elif value:
            always = index
        seen.setdefault(text, index)


def _constant(condition: str) -> bool | None:
    """Return the value of a condition that reads no variable; None if it reads one."""
    try:
        return evaluate_condition(condition, {})
    except ExpressionError:
        return None


def _check_names(task: TaskTemplate, block: StaticBlock) -> Iterator[Finding]:
    """Yield the names of tasks in the task that are used twice, or that hide one around it."""
    around = {other.name for level in _levels(block) for other in level.templates}
    seen: set[str] = set()
    for path, inner in block.inside(task):
        for index, child in enumerate(inner.templates):
            where = (*path, index, "name")
            if child.name in around:
                reason = f"{child.name!r} is also the name of a task around {task.name}"
                yield Finding(where, f"{reason}; expressions could not tell them apart")
            elif child.name in seen:
                yield Finding(where, f"{child.name!r} is used twice in {task.name}")
            seen.add(child.name)


def _levels(block: StaticBlock) -> Iterator[StaticBlock]:
    yield block
    if block.parent is not None:
        yield from _levels(block.parent)


def check_needs(block: StaticBlock) -> Iterator[Finding]:
    """Yield the needs that name no task or one that ends the run, and circles of needs."""
    templates = block.templates
    known = {task.name: task for task in templates}
    for index, task in enumerate(templates):
        for position, need in enumerate(task.needs):
            if need not in known:
                yield Finding((index, "needs", position), _unknown_need(need, task, block))
            elif STOP in known[need].kinds:
                reason = f"never runs: {need} ends the run"
                yield Finding((index, "needs", position), reason)
    if circle := _circle(templates):
        index = next(i for i, task in enumerate(templates) if task.name in circle)
        names = ", ".join(sorted(circle))
        yield Finding((index, "needs"), f"these tasks wait for one another: {names}")


def _unknown_need(need: str, task: TaskTemplate, block: StaticBlock) -> str:
    for level in _levels(block):
        if level.within is None or level.parent is None:
            continue
        if need == level.within.name:
            return f"{task.name} is in {need}, so it cannot wait for it"
        if any(other.name == need for other in level.parent.templates):
            return f"{need} is outside of {level.within.name}: let {level.within.name} need it"
    for other in block.templates:
        if any(child.name == need for child in other.children):
            return f"{need} is in {other.name}: need {other.name}"
    names = [other.name for other in block.templates]
    return unknown_field(need, names).replace("unknown field", "no such task:")


def _circle(templates: Iterable[TaskTemplate]) -> set[str]:
    """Return the names of the tasks that need one another; none if there is no circle."""
    known = {task.name: set(task.needs) for task in templates}
    done: set[str] = set()
    waiting = {name: needs & known.keys() for name, needs in known.items()}
    while ready := [name for name, needs in waiting.items() if needs <= done]:
        done.update(ready)
        for name in ready:
            del waiting[name]
    # Tasks that wait for a circle, but that no other waiting task needs, are not part of it.
    while outside := waiting.keys() - {need for needs in waiting.values() for need in needs}:
        for name in outside:
            del waiting[name]
    return set(waiting)
