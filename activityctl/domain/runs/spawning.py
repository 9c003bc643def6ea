"""Decides which tasks of one phase exist now, which of them may start, and whether all are over."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from activityctl.domain.manifests.task_template import TaskTemplate
from activityctl.domain.runs import lanes
from activityctl.domain.runs.instances import instances
from activityctl.domain.runs.phases import templates_of
from activityctl.domain.runs.run import Decision, Phase, RunState, TaskInstance, TaskStatus
from activityctl.domain.runs.scope import by_name, is_over
from activityctl.domain.runs.waiting import begin_wait, waits_by_itself


@dataclass(frozen=True, slots=True)
class SpawnResult:
    """What happens to the tasks of one phase."""

    decision: Decision
    tasks: tuple[TaskInstance, ...]
    """All tasks of the run, with those that are created now."""
    is_over: bool
    """Whether every task of the phase has ended."""


def spawn(state: RunState, phase: Phase, now: datetime) -> SpawnResult:
    """Decide which tasks of the phase to create and to start now."""
    templates = templates_of(state.spec, phase)
    groups = by_name(task for task in state.tasks if task.phase == phase)
    created: list[TaskInstance] = []
    for template in _in_order(templates):
        if template.name in groups:
            continue
        if not all(is_over(groups.get(need)) for need in template.needs):
            continue
        new = instances(state, phase, template, groups, now)
        groups[template.name] = new
        created.extend(new)
    start = tuple(
        task
        for template in templates
        for task in _startable(template, groups.get(template.name, []))
    )
    waits = {task.id: begin_wait(task, now) for task in start if waits_by_itself(task)}
    new_tasks = tuple(waits.get(task.id, task) for task in created)
    new_ids = {task.id for task in created}
    return SpawnResult(
        Decision(
            create=new_tasks,
            wait=tuple(task for task in waits.values() if task.id not in new_ids),
            start=tuple(task for task in start if task.id not in waits),
        ),
        tuple(waits.get(task.id, task) for task in state.tasks) + new_tasks,
        all(is_over(groups.get(template.name)) for template in templates),
    )


def _in_order(templates: Sequence[TaskTemplate]) -> Iterator[TaskTemplate]:
    """Yield each task after those that it needs; the manifest checks have refused circles."""
    waiting, seen = list(templates), set[str]()
    while waiting:
        ready = [template for template in waiting if seen.issuperset(template.needs)]
        if not ready:
            return
        yield from ready
        seen.update(template.name for template in ready)
        waiting = [template for template in waiting if template.name not in seen]


def _startable(template: TaskTemplate, group: list[TaskInstance]) -> list[TaskInstance]:
    """Return the pending ones among the first instances that have not ended.

    These are as many as may run at the same time. In a forEach with lanes it is the first of each
    lane, because a worker takes the others by itself.
    """
    if any(task.lane for task in group):
        return [task for task in group if lanes.may_be_ordered(task)]
    waiting = [task for task in group if not task.has_ended]
    first = waiting[: lanes.most_parallel(template)]
    return [task for task in first if task.status is TaskStatus.PENDING]
