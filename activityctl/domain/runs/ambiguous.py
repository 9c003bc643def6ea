"""Which runs, tasks or dead letters an ambiguous beginning of an id may mean."""

from collections.abc import Sequence

from activityctl.domain.runs.dead_letter import DeadLetter
from activityctl.domain.runs.run import Run, TaskInstance, address_of
from activityctl.domain.values.ids import distinct_beginnings
from activityctl.errors import AmbiguousError


def ambiguous_run(reference: str, found: Sequence[Run]) -> AmbiguousError:
    """Return the error that names the runs, each with its subscription and status."""
    told = [f"{run.subscription}, {run.status}" for run in found]
    return _ambiguous(reference, "runs", [run.id for run in found], told)


def ambiguous_task(reference: str, found: Sequence[TaskInstance]) -> AmbiguousError:
    """Return the error that names the tasks, each with its name and status."""
    told = [f"{address_of(task)}, {task.status}" for task in found]
    return _ambiguous(reference, "tasks", [task.id for task in found], told)


def ambiguous_letter(reference: str, found: Sequence[DeadLetter]) -> AmbiguousError:
    """Return the error that names the dead letters, each with its subscription."""
    told = [letter.subscription for letter in found]
    return _ambiguous(reference, "deadletters", [letter.id for letter in found], told)


def _ambiguous(
    reference: str, kind: str, ids: Sequence[str], told: Sequence[str]
) -> AmbiguousError:
    starts = distinct_beginnings(ids, max(len(reference), 8))
    shown = [f"{start} ({what})" for start, what in zip(starts, told, strict=True)]
    return AmbiguousError(reference, kind, shown)
