"""What expressions read of the tasks that have ended, as `tasks.<name>`.

The shape of an outcome depends on the definition alone, never on which branch ran: what did not
run has the status `skipped` and a null output.
"""

from collections.abc import Iterable, Mapping
from dataclasses import field
from typing import Final

from activityctl.domain.manifests.output_fields import output_as_read
from activityctl.domain.manifests.task_template import TaskTemplate
from activityctl.domain.runs.run import Phase, TaskInstance, address_of
from activityctl.domain.runs.task_rows import TaskRows, status_of
from activityctl.domain.values.ids import TaskId
from activityctl.domain.values.model import JsonValue
from activityctl.frozen_dataclass import frozen_dataclass

Outcome = dict[str, JsonValue]
_NOT_RUN: Final[Outcome] = {"status": "skipped", "output": None, "error": None, "attempts": 0}


@frozen_dataclass
class Block:
    """A list of tasks that need one another, and what encloses it."""

    templates: tuple[TaskTemplate, ...]
    phase: Phase
    prefix: str = ""
    """What the names of its rows begin with."""
    parent: "Block | None" = None
    """The block that encloses it; its tasks can be read too."""
    item: JsonValue = None
    own: Mapping[str, Outcome] = field(default_factory=dict)
    """Outcomes that only this block sees, such as the rounds before this one."""

    @property
    def levels(self) -> "list[Block]":
        """The blocks that enclose it and itself, the outermost first."""
        return [*(self.parent.levels if self.parent else ()), self]


class Outcomes:
    """The outcomes of the tasks of one run; each is built once, when it is read."""

    def __init__(self, rows: TaskRows, *, as_stored: bool = False) -> None:
        """With `as_stored`, outputs do not have the fields of their answers beside their own."""
        self._rows = rows
        self._as_stored = as_stored
        self._known: dict[str, Outcome] = {}
        self._rounds: dict[TaskId, Outcome] = {}

    def visible(self, block: Block) -> Outcome:
        """Return the outcomes of all tasks that have ended and that a task of the block may read.

        A task of an inner block hides none of an outer one: the checks refuse equal names. After
        the main tasks, those of them that never began can be read too: nothing starts them now.
        """
        found: Outcome = {}
        is_after = block.phase not in {"main", "undo"}
        for level in block.levels:
            for template in level.templates:
                name = level.prefix + template.name
                never_began = is_after and level.phase == "main" and not self._rows.exists(name)
                if never_began or self._rows.is_over(name):
                    found[template.name] = self._of_ended(template, name)
            found |= level.own
        return found

    def _of_ended(self, template: TaskTemplate, name: str) -> Outcome:
        if name not in self._known:
            self._known[name] = self.of(template, name)
        return self._known[name]

    def of(self, template: TaskTemplate, name: str) -> Outcome:
        """Return the outcome of a task, also if it never ran."""
        instances = self._rows.instances(template, name)
        if not instances:
            return self._not_run(template)
        if template.for_each is None:
            return self.of_instance(template, instances[0])
        items = [self.of_instance(template, task) for task in instances if task.of]
        errors = (item["error"] for item in items if item["error"] is not None)
        return {
            "status": status_of(instances),
            "output": None if instances[0].of is None else [item["output"] for item in items],
            "error": next(errors, instances[0].error),
            "attempts": sum(item["attempts"] for item in items),
            "items": items,
        }

    def of_instance(self, template: TaskTemplate, task: TaskInstance) -> Outcome:
        """Return the outcome of a task without forEach, or of one item."""
        if template.has_rounds:
            return self.of_rounds(template, task, self._rows.rounds(task))
        return self.of_single(template, task)

    def of_rounds(
        self, template: TaskTemplate, container: TaskInstance, rounds: Iterable[TaskInstance]
    ) -> Outcome:
        """Return the outcome of a task after these rounds: what the last one gave, and each.

        Until the task has ended, its status is that of the last round.
        """
        found = [self._of_round(template, task) for task in rounds]
        last = found[-1] if found else self._not_run_once(template)
        error = container.error if container.has_ended else last["error"]
        return {
            **last,
            "status": last["status"]
            if found and not container.has_ended
            else container.status.value,
            "error": error,
            "attempts": sum(entry["attempts"] for entry in found),
            "rounds": found,
        }

    def _of_round(self, template: TaskTemplate, task: TaskInstance) -> Outcome:
        """Return the outcome of one round; one that has ended is built once, not for each later."""
        if task.id in self._rounds:
            return self._rounds[task.id]
        outcome = self.of_single(template, task)
        if task.has_ended:
            self._rounds[task.id] = outcome
        return outcome

    def of_single(self, template: TaskTemplate, task: TaskInstance) -> Outcome:
        """Return the outcome of a task without rounds, of one item, or of one round."""
        if not template.has_children:
            output = task.output if self._as_stored else output_as_read(task.kind, task.output)
            return {
                "status": task.status.value,
                "output": output,
                "error": task.error,
                "attempts": task.attempts,
            }
        prefix = f"{address_of(task)}."
        tasks = {child.name: self.of(child, prefix + child.name) for child in template.children}
        return _group_outcome(tasks, task.status.value, task.error)

    def _not_run(self, template: TaskTemplate) -> Outcome:
        if template.for_each is not None:
            return {**_NOT_RUN, "items": []}
        once = self._not_run_once(template)
        return {**once, "rounds": []} if template.has_rounds else once

    def _not_run_once(self, template: TaskTemplate) -> Outcome:
        if not template.has_children:
            return _NOT_RUN
        tasks = {child.name: self._not_run(child) for child in template.children}
        return _group_outcome(tasks, "skipped", None)


def _group_outcome(tasks: Mapping[str, Outcome], status: str, error: str | None) -> Outcome:
    return {
        "status": status,
        "output": {name: outcome["output"] for name, outcome in tasks.items()},
        "error": error,
        "attempts": sum(outcome["attempts"] for outcome in tasks.values()),
        "tasks": dict(tasks),
    }
