"""The task instances of a run by name, as they are after what one decision has changed so far.

A group, a choice and a task with rounds have a row of their own, a container. The rows of what is
in them have names that begin with the address of the container: `payment.charge` in the group
`payment`, `payment[2].charge` in its item 2. Rounds count from 1 and have the address as their
name, so that round 3 of `poll` is `poll[3]`.
"""

from collections.abc import Iterable
from typing import Final

from activityctl.domain.manifests.task_template import TaskTemplate
from activityctl.domain.runs.run import TaskInstance, TaskStatus, address_of

REPEAT: Final = "repeat"
RETRY: Final = "retry"
SATISFIED: Final = "succeeded"
MAX_ROWS: Final = 50_000
"""Maximum number of rows of one run, so that nested loops cannot fill a worker's memory."""
_WORST_FIRST: Final = (TaskStatus.FAILED, TaskStatus.CANCELLED, TaskStatus.SKIPPED)


class TaskRows:
    """The rows of a run, with what was created and changed since they were read."""

    def __init__(self, tasks: Iterable[TaskInstance]) -> None:
        self._before = {task.id: task for task in tasks}
        self._by_name: dict[str, dict[int, TaskInstance]] = {}
        self._open: dict[str, int] = {}
        self._changed: dict[str, TaskInstance] = {}
        self._created: dict[str, TaskInstance] = {}
        for task in sorted(self._before.values(), key=lambda task: task.index):
            self._put(task)

    @property
    def created(self) -> tuple[TaskInstance, ...]:
        """The new rows, in the order of their creation and as they are now."""
        return tuple(self._created.values())

    @property
    def changed(self) -> tuple[TaskInstance, ...]:
        """The rows that existed before and have changed, as they are now."""
        return tuple(self._changed.values())

    @property
    def all(self) -> tuple[TaskInstance, ...]:
        """Every row, as it is now; new ones come last."""
        before = (self._changed.get(key, task) for key, task in self._before.items())
        return (*before, *self._created.values())

    def have_room_for(self, more: int) -> bool:
        """Return whether so many more rows stay below the maximum."""
        return len(self._before) + len(self._created) + more <= MAX_ROWS

    def add(self, tasks: Iterable[TaskInstance]) -> None:
        """Add new rows."""
        for task in tasks:
            self._created[task.id] = task
            self._put(task)

    def change(self, task: TaskInstance) -> TaskInstance:
        """Replace a row, and return it."""
        rows = self._created if task.id in self._created else self._changed
        rows[task.id] = task
        self._open[task.name] -= not self._by_name[task.name][task.index].has_ended
        self._put(task)
        return task

    def _put(self, task: TaskInstance) -> None:
        self._by_name.setdefault(task.name, {})[task.index] = task
        self._open[task.name] = self._open.get(task.name, 0) + (not task.has_ended)

    def exists(self, name: str) -> bool:
        """Return whether the task has rows."""
        return name in self._by_name

    def is_over(self, name: str) -> bool:
        """Return whether the task has rows, and all of them have ended."""
        return self._open.get(name, 1) == 0

    def instances(self, template: TaskTemplate, name: str) -> list[TaskInstance]:
        """Return the task's rows without rounds: one, or one for each item of its forEach."""
        rows = self._by_name.get(name, {})
        if template.has_rounds and template.for_each is None:
            return [rows[0]] if rows else []
        return list(rows.values())

    def rounds(self, container: TaskInstance) -> list[TaskInstance]:
        """Return the rounds of a container so far, in their order."""
        rows = self._by_name.get(address_of(container), {})
        return [row for row in rows.values() if row.id != container.id]


def container_kind(template: TaskTemplate) -> str:
    """Return the kind of the task's rows: that of its body, or `repeat` if it has rounds."""
    if not template.has_rounds:
        return template.kind
    return RETRY if template.repeat is None else REPEAT


def status_of(instances: list[TaskInstance]) -> str:
    """Return the status of a task from its instances; a forEach without items has succeeded."""
    if instances[0].of == 0:
        return SATISFIED
    statuses = {task.status for task in instances}
    return next((status.value for status in _WORST_FIRST if status in statuses), SATISFIED)


def failed_instance(instances: Iterable[TaskInstance]) -> TaskInstance | None:
    """Return the first instance that failed."""
    return next((task for task in instances if task.status is TaskStatus.FAILED), None)
