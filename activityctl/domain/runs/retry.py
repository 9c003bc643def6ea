"""A retry of a failed run: a new run that keeps what had succeeded and starts the rest again.

The failed run stays as it is. The new one has the same firing, and its tasks keep the idempotency
keys of the failed run, so that a receiver recognises a call that it had carried out.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.runs.phases import templates_of
from activityctl.domain.runs.run import Phase, Run, TaskInstance, TaskStatus
from activityctl.domain.runs.task_rows import REPEAT, RETRY
from activityctl.domain.runs.waiting import waits_by_itself
from activityctl.domain.values import ids
from activityctl.domain.values.credentials import MASK
from activityctl.domain.values.model import JsonValue

_WITH_ROUNDS: Final = frozenset({REPEAT, RETRY})
_PHASES: Final[tuple[Phase, ...]] = ("main", "onSuccess")
"""The tasks of onFailure belong to the failure; they run again if the retry fails."""


@dataclass(frozen=True, slots=True)
class RetriedRun:
    """The run that is retried, and how."""

    run: Run
    tasks: tuple[TaskInstance, ...]
    new_keys: bool = False

    @property
    def was_undone(self) -> bool:
        """Whether it undid what its tasks had done; then all of them have to run again."""
        return any(task.phase == "undo" for task in self.tasks)

    @property
    def has_begun(self) -> bool:
        """Whether it had tasks; if not, the retry begins like any other run."""
        return any(task.phase == "main" for task in self.tasks)


def as_retry(run: Run, retried: RetriedRun) -> Run:
    """Return the new run as a retry: with the firing of the retried one, and with what it saw."""
    before = retried.run
    has_new_keys = retried.new_keys or retried.was_undone
    key_run = run.id if has_new_keys else before.key_run or before.id
    again = replace(
        run,
        payload=before.payload,
        events=before.events,
        priority=before.priority,
        retry_of=before.id,
        first_key=before.first_key or before.firing_key,
    )
    if not retried.has_begun:
        return again
    return replace(again, state=before.state, context=before.context, key_run=key_run)


def is_same_revision(run: Run, retried: RetriedRun | None) -> bool:
    """Return whether the retry can go on with the context and the inputs of the retried run."""
    return retried is not None and retried.has_begun and retried.run.revision_id == run.revision_id


def kept_tasks(
    run: Run, spec: DefinitionSpec, retried: RetriedRun, now: datetime
) -> tuple[TaskInstance, ...]:
    """Return the tasks with which the retry begins: those kept, and those that start again.

    A task that succeeded is kept with its output, whatever the revision says of it now. Of a
    forEach and of a group, what succeeded is kept. With the same revision the others get the very
    input that they had; if it had credentials, which are not stored, the task is created anew.
    Nothing is kept if tasks were undone.
    """
    if retried.was_undone:
        return ()
    is_same = is_same_revision(run, retried)
    kept: list[TaskInstance] = []
    for phase in _PHASES:
        tasks = [task for task in retried.tasks if task.phase == phase]
        for template in templates_of(spec, phase):
            own = [task for task in tasks if task.name == template.name]
            rows = [*own, *(task for task in tasks if _is_in(task, template.name))]
            has_same_shape = own and (own[0].of is None) == (template.for_each is None)
            is_nested = any(task.is_container for task in own)
            if has_same_shape and (is_same or not is_nested):
                kept += _kept_rows(rows, run, now, restarts=is_same)
    return tuple(kept)


def _is_in(task: TaskInstance, name: str) -> bool:
    """Return whether the row is that of a task in this group, or in an item of it."""
    return task.name.startswith((f"{name}.", f"{name}["))


def _kept_rows(
    rows: list[TaskInstance], run: Run, now: datetime, *, restarts: bool
) -> list[TaskInstance]:
    """Return the rows of one task with which the retry begins.

    A group that did not succeed begins again with what is in it. A task with rounds begins with the
    first one. What is left out is created anew, if no row of its name is kept.
    """
    own = [task for task in rows if task.name == rows[0].name]
    if all(map(_has_succeeded, own)):
        return [_kept(task, run) for task in rows]
    if any(task.kind in _WITH_ROUNDS for task in rows):
        return []
    by_name: dict[str, list[TaskInstance]] = {}
    for task in rows:
        by_name.setdefault(task.name, []).append(task)
    kept: list[TaskInstance] = []
    for group in by_name.values():
        can_restart = restarts and all(
            _has_succeeded(task) or task.is_container or _has_its_input(task) for task in group
        )
        if can_restart or all(map(_has_succeeded, group)):
            kept += [
                _kept(task, run) if _has_succeeded(task) else _restarted(task, run, now)
                for task in group
            ]
    return kept


def _has_succeeded(task: TaskInstance) -> bool:
    return task.status is TaskStatus.SUCCEEDED


def _has_its_input(task: TaskInstance) -> bool:
    """Return whether the task had begun, and its stored input is what an attempt needs."""
    has_begun = task.status in {TaskStatus.FAILED, TaskStatus.CANCELLED}
    is_whole = task.input is not None and not _has_mask(task.input)
    return has_begun and is_whole and not waits_by_itself(task)


def _has_mask(value: JsonValue) -> bool:
    match value:
        case str():
            return MASK in value
        case Mapping():
            return any(map(_has_mask, value.values()))
        case list():
            return any(map(_has_mask, value))
        case _:
            return False


def _kept(task: TaskInstance, run: Run) -> TaskInstance:
    said = f"kept from run {task.run_id}, not run again"
    reason = said if _has_succeeded(task) else task.reason
    moved = replace(task, id=_id(task, run), run_id=run.id, reason=reason, worker=None, lane=None)
    return with_key(run, moved)


def _restarted(task: TaskInstance, run: Run, now: datetime) -> TaskInstance:
    blank = TaskInstance(
        id=_id(task, run),
        run_id=run.id,
        name=task.name,
        index=task.index,
        phase=task.phase,
        kind=task.kind,
        status=TaskStatus.PENDING,
        created_at=now,
        of=task.of,
        input=task.input,
        guard=task.guard,
    )
    return with_key(run, blank)


def _id(task: TaskInstance, run: Run) -> ids.TaskId:
    return ids.task_id(run.id, task.name, task.index)


def with_key(run: Run, task: TaskInstance) -> TaskInstance:
    """Return the task with the idempotency key that it had in the run that is retried.

    A task of onFailure has its own: it tells of another failure.
    """
    if run.key_run is None or task.phase not in _PHASES:
        return task
    return replace(task, idempotency_key=ids.task_id(run.key_run, task.name, task.index))


def with_keys(run: Run, tasks: Iterable[TaskInstance]) -> list[TaskInstance]:
    """Return new tasks with the idempotency keys that they had in the run that is retried."""
    return [with_key(run, task) for task in tasks]
