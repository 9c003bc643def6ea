"""The blocks of tasks in a definition, and what a task of each may read of others.

A block is a list of tasks that need one another: those of the definition, of a group, of a case,
or those that undo a task. `domain.runs.outcomes` builds what this describes.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final, Literal

from activityctl.domain.cel.static_type import StaticType
from activityctl.domain.manifests.outcome_types import outcome_type, single_outcome_type
from activityctl.domain.manifests.task_template import TaskTemplate
from activityctl.frozen_dataclass import frozen_dataclass

_Place = Literal["top", "group", "case", "undo"]
_OTHER_CASE: Final = "is in another case, which never runs together with this one"


@frozen_dataclass
class StaticBlock:
    """A list of tasks, and where it stands in the definition."""

    templates: tuple[TaskTemplate, ...]
    phase: str
    """The field of the definition that it is in: `tasks`, `onFailure` and so on."""
    place: _Place = "top"
    parent: "StaticBlock | None" = None
    within: TaskTemplate | None = None
    """The task of the parent that it belongs to."""
    has_item: bool = False
    """Whether a forEach around it sets `item`."""
    conditions: tuple[str, ...] = ()
    """The conditions around it; all of them hold if it runs."""

    def inside(self, task: TaskTemplate) -> "Iterator[tuple[tuple[str | int, ...], StaticBlock]]":
        """Yield the blocks in one of its tasks, each with its path in the task."""
        own = (task.when,) if task.when is not None else ()
        inner = replace(
            self,
            place="group",
            parent=self,
            within=task,
            has_item=self.has_item or task.for_each is not None,
            conditions=(*self.conditions, *own),
        )
        if task.tasks is not None:
            yield ("tasks",), replace(inner, templates=task.tasks)
        if task.switch is not None:
            for index, case in enumerate(task.switch.cases):
                conditions = (*inner.conditions, case.when)
                block = replace(inner, templates=case.tasks, place="case", conditions=conditions)
                yield ("switch", "cases", index, "tasks"), block
            yield ("switch", "default"), replace(inner, templates=task.switch.default, place="case")
        if task.undo:
            yield ("undo",), replace(inner, templates=task.undo, place="undo")

    def readable(self, task: TaskTemplate, *, in_body: bool) -> dict[str, StaticType]:
        """Return the outcomes that an expression of the task may read, by name.

        `in_body` is about what runs if the task's `when` is true, and once for each item.
        """
        conditions = self.conditions_of(task, in_body=in_body)
        needed = all_needs(self.templates)[task.name]
        found = self.around(conditions)
        for other in self.templates:
            if other.name in needed:
                found[other.name] = outcome_type(other, conditions)
        if in_body and task.has_rounds:
            found[task.name] = single_outcome_type(task, conditions, is_sure=False)
        return found

    def conditions_of(self, task: TaskTemplate, *, in_body: bool) -> tuple[str, ...]:
        """Return the conditions that all hold where an expression of the task is evaluated."""
        own = (task.when,) if in_body and task.when is not None else ()
        return (*self.conditions, *own)

    def around(self, conditions: Sequence[str] = ()) -> dict[str, StaticType]:
        """Return the outcomes that every task of the block may read."""
        if self.parent is None or self.within is None:
            return {}
        found = self.parent.readable(self.within, in_body=True)
        if self.place == "undo":
            found[self.within.name] = single_outcome_type(self.within, conditions, is_sure=True)
        return found

    def absent(self, task: TaskTemplate, readable: Mapping[str, StaticType]) -> dict[str, str]:
        """Return why the outcomes of other tasks around it cannot be read, by name."""
        found = self._absent_around()
        needs = all_needs(self.templates)
        for other in self.templates:
            found[other.name] = _reason(task.name, other.name, needs)
            for child in _descendants(other):
                found.setdefault(child.name, _is_in(child, other))
        return {name: reason for name, reason in found.items() if name not in readable}

    def _absent_around(self) -> dict[str, str]:
        if self.parent is None or self.within is None:
            return {}
        found = self.parent.absent(self.within, {})
        found[self.within.name] = f"tasks.{self.within.name} has not ended: this task is in it"
        if self.place == "case":
            for child in self.within.children:
                found[child.name] = f"tasks.{child.name} {_OTHER_CASE}"
        return found


def _descendants(task: TaskTemplate) -> Iterator[TaskTemplate]:
    for child in task.children:
        yield child
        yield from _descendants(child)


def _is_in(child: TaskTemplate, group: TaskTemplate) -> str:
    path = f"tasks.{group.name}.tasks.{child.name}"
    return f"tasks.{child.name} is a task in {group.name}: need {group.name} and read {path}"


def _reason(reader: str, other: str, needs: Mapping[str, frozenset[str]]) -> str:
    if other == reader:
        return f"tasks.{other} is the task itself, which has not run yet"
    if reader in needs[other]:
        return f"tasks.{other} runs after {reader}, because it needs {reader}"
    return f"tasks.{other} is read but not needed: add {other} to needs"


def all_needs(templates: Sequence[TaskTemplate]) -> dict[str, frozenset[str]]:
    """Return the direct and indirect needs of each task.

    Unknown names are left out, and circles are allowed: other checks report them.
    """
    direct = {task.name: task.needs for task in templates}
    found_all = {}
    for name, needs in direct.items():
        found: set[str] = set()
        waiting = [*needs]
        while waiting:
            need = waiting.pop()
            if need not in found and need in direct:
                found.add(need)
                waiting += direct[need]
        found_all[name] = frozenset(found)
    return found_all
