"""Lanes: how one call of a step carries out many instances of a large forEach, one by one.

With a call for each instance, ten thousand instances would be more than a workflow can record. So
a large forEach has lanes, at most `maxParallel`. The workflow starts the first instance of each
lane; the worker that ends an instance takes the next one that no lane has. Each instance names its
lane by the id of the instance with which its call began.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from activityctl.domain.manifests.task_template import TaskTemplate
from activityctl.domain.runs.run import TaskInstance, TaskStatus
from activityctl.domain.tasks.engine_kinds import ENGINE_KINDS

LANES_FROM: Final = 100
"""From this many instances on, a forEach has lanes."""
INSTANCES_PER_CALL: Final = 100
"""After so many instances, a lane goes on in a new call, maybe of another worker."""


def with_lanes(template: TaskTemplate, instances: list[TaskInstance]) -> list[TaskInstance]:
    """Return the new instances of a forEach, the first of each lane marked, if it has lanes."""
    waiting = [task for task in instances if task.status is TaskStatus.PENDING]
    most = template.most_parallel
    if template.kind in ENGINE_KINDS or most is None or len(waiting) < max(LANES_FROM, most + 1):
        return instances
    first = {task.id for task in waiting[:most]}
    return [replace(task, lane=task.id) if task.id in first else task for task in instances]


def leads(task: TaskInstance) -> bool:
    """Return whether the instance is the first of a lane."""
    return task.lane == task.id


def may_be_ordered(task: TaskInstance) -> bool:
    """Return whether the workflow has to start the pending instance: it is the first of a lane."""
    return task.status is TaskStatus.PENDING and leads(task)


def goes_on(template: TaskTemplate, task: TaskInstance) -> bool:
    """Return whether a call for the instance goes on with others of its forEach."""
    return task.lane is not None and template.for_each is not None and (task.of or 0) >= LANES_FROM


def carried_by(tasks: Iterable[TaskInstance], task_id: str) -> TaskInstance | None:
    """Return the task that a call for this task carries out now: the open one of its lane.

    Tasks that follow one another in one call have a lane too; see `chains`.
    """
    found = [task for task in tasks if task_id in (task.id, task.lane)]
    return next((task for task in found if not task.has_ended), found[0] if found else None)


def task_by_id(tasks: Iterable[TaskInstance], task_id: str) -> TaskInstance | None:
    """Return just that task: an attempt of it has ended, maybe after its lane has gone on."""
    return next((task for task in tasks if task.id == task_id), None)
