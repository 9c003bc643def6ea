"""A replay of a run: a new run of the same firing that keeps what had succeeded, unless asked.

A retry of a dead letter is a replay too. The run before stays as it is. Tasks that had not
succeeded keep their idempotency keys, so that a receiver recognises a call that it had carried
out. Tasks that a person lets run again although they had succeeded get new keys, with a prefix
that tells so.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Final

from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.runs.phases import templates_of
from activityctl.domain.runs.replay_request import KEEPS_FINISHED, ContextOf, ReplayOptions
from activityctl.domain.runs.run import Phase, Run, RunStatus, TaskInstance, TaskStatus
from activityctl.domain.runs.task_rows import REPEAT, RETRY
from activityctl.domain.runs.waiting import waits_by_itself
from activityctl.domain.values import ids
from activityctl.domain.values.credentials import MASK
from activityctl.domain.values.model import JsonValue
from activityctl.frozen_dataclass import frozen_dataclass

FRESH_KEY_PREFIX: Final = "replay-"
"""The start of the idempotency key of a task that runs again although it had succeeded."""
ALL_TASKS: Final = "*"
_WITH_ROUNDS: Final = frozenset({REPEAT, RETRY})
_PHASES: Final[tuple[Phase, ...]] = ("main", "onSuccess")
"""The tasks of onFailure belong to the failure; they run again if the replay fails."""
_NEVER_LOOKED: Final = frozenset({RunStatus.MISSED, RunStatus.CANCELLED})
"""A run that ended like this without a task has seen no context and no state."""


@frozen_dataclass
class ReplayedRun:
    """The run that is replayed, and how."""

    run: Run
    tasks: tuple[TaskInstance, ...]
    options: ReplayOptions = KEEPS_FINISHED

    @property
    def was_undone(self) -> bool:
        """Whether it undid what its tasks had done; then all of them have to run again."""
        return any(task.phase == "undo" for task in self.tasks)

    @property
    def keeps_nothing(self) -> bool:
        """Whether every task runs again."""
        return self.was_undone or self.options.all_tasks

    @property
    def has_begun(self) -> bool:
        """Whether it had tasks; if not, there is nothing to go on with."""
        return any(task.phase == "main" for task in self.tasks)


def as_replay(run: Run, spec: DefinitionSpec, replayed: ReplayedRun) -> Run:
    """Return the new run as a replay: with the firing of the one before, and with what it saw."""
    before = replayed.run
    again = replace(
        run,
        payload=before.payload,
        events=before.events,
        priority=before.priority,
        replay_of=before.id,
        first_key=before.first_key or before.firing_key,
    )
    is_fresh = before.status in _NEVER_LOOKED or replayed.options.context is ContextOf.BY_REVISION
    if is_fresh and not replayed.has_begun:
        return again
    return replace(
        again,
        state=before.state,
        context={} if _asks_context(run, replayed) else before.context,
        key_run=before.key_run or before.id,
        fresh_keys=_fresh_keys(run, spec, replayed),
    )


def _asks_context(run: Run, replayed: ReplayedRun) -> bool:
    match replayed.options.context:
        case ContextOf.STORED:
            return False
        case ContextOf.LIVE:
            return True
        case ContextOf.BY_REVISION:
            return not continues(run, replayed)


def _fresh_keys(run: Run, spec: DefinitionSpec, replayed: ReplayedRun) -> Mapping[str, str]:
    if replayed.keeps_nothing or replayed.options.new_keys:
        return {ALL_TASKS: run.id}
    again = tasks_from(spec, replayed.options.from_tasks)
    return {**replayed.run.fresh_keys, **dict.fromkeys(sorted(again), run.id)}


def tasks_from(spec: DefinitionSpec, names: Iterable[str]) -> frozenset[str]:
    """Return the tasks of these names and all that come after one of them.

    Every task of onSuccess comes after the main tasks.
    """
    again = set(names)
    for templates in (spec.tasks, spec.on_success):
        if again and templates is spec.on_success and again & {task.name for task in spec.tasks}:
            again |= {task.name for task in templates}
        while more := {
            task.name
            for task in templates
            if task.name not in again and not again.isdisjoint(task.needs)
        }:
            again |= more
    return frozenset(again)


def continues(run: Run, replayed: ReplayedRun | None) -> bool:
    """Return whether the replay goes on with the context and the inputs of the run before.

    Then its rules have held.
    """
    return (
        replayed is not None
        and replayed.has_begun
        and replayed.run.revision_id == run.revision_id
        and replayed.options.context is not ContextOf.LIVE
    )


def kept_tasks(
    run: Run, spec: DefinitionSpec, replayed: ReplayedRun, now: datetime
) -> tuple[TaskInstance, ...]:
    """Return the tasks with which the replay begins: those kept, and those that start again.

    A task that succeeded is kept with its output, whatever the revision says of it now, unless the
    options let it run again. Of a forEach and of a group, what succeeded is kept. With the same
    revision the others get the very input that they had; if it had credentials, which are not
    stored, the task is created anew. Nothing is kept if tasks were undone.
    """
    if replayed.keeps_nothing:
        return ()
    is_same = continues(run, replayed)
    again = tasks_from(spec, replayed.options.from_tasks)
    kept: list[TaskInstance] = []
    for phase in _PHASES:
        tasks = [task for task in replayed.tasks if task.phase == phase]
        for template in templates_of(spec, phase):
            if template.name in again:
                continue
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
    return replace(
        task,
        id=_id(task, run),
        run_id=run.id,
        reason=said if _has_succeeded(task) else task.reason,
        worker=None,
        lane=None,
        idempotency_key=task.idempotency_key or task.id,
    )


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
    """Return the task with the idempotency key that it has in a replay.

    That is the key of the run before, or a fresh one if the task is called again on purpose. A
    task of onFailure has its own: it tells of another failure.
    """
    if run.key_run is None or task.phase not in _PHASES:
        return task
    name = re.split(r"[.[]", task.name, maxsplit=1)[0]
    fresh = run.fresh_keys.get(name) or run.fresh_keys.get(ALL_TASKS)
    key = ids.task_id(fresh or run.key_run, task.name, task.index)
    return replace(task, idempotency_key=f"{FRESH_KEY_PREFIX}{key}" if fresh else key)


def with_keys(run: Run, tasks: Iterable[TaskInstance]) -> list[TaskInstance]:
    """Return new tasks with the idempotency keys that they have in a replay."""
    return [with_key(run, task) for task in tasks]
