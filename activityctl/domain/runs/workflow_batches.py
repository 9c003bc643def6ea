"""Groups firings into shared workflows, because a workflow costs the server more than its tasks.

The shared workflow itself is in `workflows/run_batch.py`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Final

from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.manifests.task_tree import all_templates
from activityctl.domain.timing.firing import FiringRef
from activityctl.domain.values import ids

BATCH: Final = 20
"""Firings in one workflow; more of them save little, and the workflow needs more memory."""
MOST_TASKS: Final = 10
"""Tasks that a definition may have for its runs to share a workflow.

A full batch then stays far below the 51,200 events that a history may have.
"""


def split_into_batches(
    firings: Sequence[FiringRef], specs: Mapping[ids.RunId, DefinitionSpec]
) -> list[tuple[FiringRef, ...]]:
    """Return the firings in groups, one group for each workflow, in their order.

    `specs` has the definition of each firing, by run id. The firings of a batch get the workflow
    id of the batch. It is computed from them, so the same firings always ask for the same
    workflow.
    """
    groups: list[tuple[FiringRef, ...]] = []
    for shares, group in groupby(firings, lambda firing: _shares(firing, specs)):
        members = list(group)
        size = BATCH if shares else 1
        parts = [tuple(members[first : first + size]) for first in range(0, len(members), size)]
        groups += [_with_batch_id(part) if len(part) > 1 else part for part in parts]
    return groups


def may_share(spec: DefinitionSpec) -> bool:
    """Return whether the runs of the definition are known to be short.

    A slow context makes no difference: it is looked up in a step of its own for each run.
    """
    tasks = list(all_templates(spec.all_tasks))
    is_many = any(task.for_each is not None or task.has_rounds for task in tasks)
    return len(tasks) <= MOST_TASKS and not is_many


def _shares(firing: FiringRef, specs: Mapping[ids.RunId, DefinitionSpec]) -> bool:
    """Return whether the firing may share a workflow."""
    spec = specs.get(firing.run_id)
    return spec is not None and may_share(spec) and not firing.is_undecided


def _with_batch_id(firings: tuple[FiringRef, ...]) -> tuple[FiringRef, ...]:
    workflow_id = ids.batch_workflow_id([firing.run_id for firing in firings])
    return tuple(replace(firing, workflow_id=workflow_id) for firing in firings)
