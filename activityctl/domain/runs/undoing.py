"""Undoes the effects of a run that does not succeed: the `undo` tasks, the last effect first.

One task is undone after the other, in the reverse order of their ends. A failure of an undo task
keeps no other from being undone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.manifests.task_template import TaskTemplate
from activityctl.domain.runs.instances import items_of
from activityctl.domain.runs.outcomes import Block
from activityctl.domain.runs.run import RunState, RunStatus, TaskInstance, TaskStatus, address_of
from activityctl.domain.runs.spawning import (
    Spawning,
    SpawnResult,
    chosen_tasks,
    in_order,
    main_block,
)
from activityctl.errors import ExpressionError
from activityctl.frozen_dataclass import frozen_dataclass

UNDONE: Final = frozenset({RunStatus.FAILED, RunStatus.TIMED_OUT, RunStatus.CANCELLED})
"""The statuses with which a run ends whose effects are undone."""


@frozen_dataclass
class _Effect:
    """A task that succeeded and can be undone, and where it stands."""

    template: TaskTemplate
    task: TaskInstance
    block: Block


def can_undo(spec: DefinitionSpec) -> bool:
    """Return whether the definition has tasks that undo others."""
    return _have_undo(spec.tasks)


def is_undoing(state: RunState) -> bool:
    """Return whether undo tasks of the run are open. A run is not stopped then."""
    if state.run.status is RunStatus.CANCELLING:
        return False
    return any(task.phase == "undo" and not task.has_ended for task in state.tasks)


def spawn_undo(state: RunState, now: datetime) -> SpawnResult:
    """Decide which undo tasks to create, to start and to end now."""
    spawning = Spawning(state, now)
    effects = list(_effects(spawning, main_block(state)))
    order = sorted(
        range(len(effects)), key=lambda place: (effects[place].task.ended_at, place), reverse=True
    )
    is_over = all(spawning.carry(_undo_block(spawning, effects[place])) for place in order)
    return spawning.result(is_over=is_over)


def _undo_block(spawning: Spawning, effect: _Effect) -> Block:
    template, task = effect.template, effect.task
    own = {template.name: spawning.outcomes.of_single(template, task)}
    prefix = f"{address_of(task)}."
    return replace(
        effect.block,
        templates=template.undo,
        phase="undo",
        prefix=prefix,
        parent=effect.block,
        own=own,
    )


def _have_undo(templates: Sequence[TaskTemplate]) -> bool:
    return any(template.undo or _have_undo(template.children) for template in templates)


def _effects(spawning: Spawning, block: Block) -> Iterator[_Effect]:
    """Yield what can be undone in the block, in the order in which it may have happened."""
    for template in in_order(block.templates):
        if not _have_undo((template,)):
            continue
        items = _items(spawning, template, block)
        for task in spawning.rows.instances(template, block.prefix + template.name):
            item = items[task.index] if task.index < len(items) else block.item
            here = replace(block, item=item)
            for single in spawning.rows.rounds(task) if template.has_rounds else (task,):
                yield from _effects_of_single(spawning, template, single, here)


def _effects_of_single(
    spawning: Spawning, template: TaskTemplate, task: TaskInstance, block: Block
) -> Iterator[_Effect]:
    """Yield what can be undone of a task without rounds or of one round: first what is in it."""
    if template.has_children and task.started_at is not None and _has_begun(template, task):
        yield from _effects(
            spawning,
            replace(
                block,
                templates=chosen_tasks(template, task),
                prefix=f"{address_of(task)}.",
                parent=block,
            ),
        )
    if template.undo and task.status is TaskStatus.SUCCEEDED:
        yield _Effect(template, task, block)


def _has_begun(template: TaskTemplate, task: TaskInstance) -> bool:
    return template.switch is None or "case" in (task.output or {})


def _items(spawning: Spawning, template: TaskTemplate, block: Block) -> list[Any]:
    """Return the items again: a row keeps only the input that they led to."""
    if template.for_each is None:
        return []
    try:
        return items_of(template.for_each, spawning.scope(block))
    except ExpressionError:  # then there was none in the first place
        return []
