"""Which firings of a burst share one workflow; a workflow costs the server more than its tasks.

What a shared workflow does is in `workflows/run_batch.py`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Final

from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.timing.firing import FiringRef
from activityctl.domain.values import ids

BATCH: Final = 20
"""Firings in one workflow; beyond it little is gained, and the workflow holds more memory."""
MOST_TASKS: Final = 10
"""Tasks of a definition whose runs share: together far below the 51,200 events of a history."""

_QUICK_SOURCES: Final = frozenset({"runs"})
"""Looking up others may take seconds, for which all of a workflow would wait."""


def split_into_batches(
    firings: Sequence[FiringRef], specs: Mapping[str, DefinitionSpec]
) -> list[tuple[FiringRef, ...]]:
    """Return the firings by the workflow that carries them, in their order.

    `specs` has the definition of each subscription, by its id. Firings of a batch get its
    workflow's id, which follows from them, so that the same ones ask for the same workflow.
    """
    groups: list[tuple[FiringRef, ...]] = []
    for shares, run in groupby(firings, lambda one: _may_share(one, specs)):
        members = list(run)
        size = BATCH if shares else 1
        parts = [tuple(members[first : first + size]) for first in range(0, len(members), size)]
        groups += [_renamed(part) if len(part) > 1 else part for part in parts]
    return groups


def _may_share(firing: FiringRef, specs: Mapping[str, DefinitionSpec]) -> bool:
    """Whether its run is known to be short; a clock's firing asks first what is due."""
    spec = specs.get(firing.subscription_id)
    if spec is None or firing.is_by_clock:
        return False
    tasks = (*spec.tasks, *spec.on_failure)
    looks_up = {source.kind for source in spec.context} - _QUICK_SOURCES
    is_short = len(tasks) <= MOST_TASKS and all(task.for_each is None for task in tasks)
    return is_short and not looks_up


def _renamed(firings: tuple[FiringRef, ...]) -> tuple[FiringRef, ...]:
    name = ids.batch_workflow_id([firing.run_id for firing in firings])
    return tuple(replace(firing, workflow_id=name) for firing in firings)
