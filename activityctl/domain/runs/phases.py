"""The phases of a run: its main tasks, then the tasks that its definition has for their end."""

from collections.abc import Iterable, Mapping
from typing import Final

from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.manifests.task_template import TaskTemplate
from activityctl.domain.runs.run import (
    Phase,
    RunEnd,
    RunStatus,
    TaskInstance,
    TaskStatus,
    address_of,
)

_AFTER: Final[Mapping[RunStatus, Phase]] = {
    RunStatus.SUCCEEDED: "onSuccess",
    RunStatus.FAILED: "onFailure",
    RunStatus.TIMED_OUT: "onFailure",
    RunStatus.SKIPPED: "onSkip",
}
_SHOWN: Final = 3
"""How many undo tasks a reason names that failed."""


def after_phase(ending: RunStatus) -> Phase | None:
    """Return the phase whose tasks run before a run ends with that status; None if none do."""
    return _AFTER.get(ending)


def templates_of(spec: DefinitionSpec, phase: Phase) -> tuple[TaskTemplate, ...]:
    """Return the tasks that a definition has for a phase."""
    match phase:
        case "main":
            return spec.tasks
        case "onFailure":
            return spec.on_failure
        case "onSuccess":
            return spec.on_success
        case "onSkip":
            return spec.on_skip
        case "undo":  # each task has its own
            return ()


def has_left_main(tasks: Iterable[TaskInstance]) -> bool:
    """Return whether the tasks for the end of the run have begun to exist."""
    return any(task.phase != "main" for task in tasks)


def end_of(ending: RunStatus, reason: str | None, tasks: Iterable[TaskInstance]) -> RunEnd:
    """Return the end of a run whose tasks are all over."""
    text = _end_reason(reason, tasks)
    return RunEnd(ending, text, leaves_letter=ending is RunStatus.SUCCEEDED and text != reason)


def _end_reason(reason: str | None, tasks: Iterable[TaskInstance]) -> str | None:
    """Return why a run ends so, and which tasks of its last phases failed.

    The first failure comes first. What fails after it is added and never replaces it: the undo
    tasks, because their effects remain, and the first of the last phase.
    """
    failed = [
        task
        for task in tasks
        if task.phase != "main" and task.status is TaskStatus.FAILED and not task.is_container
    ]
    undo = [task for task in failed if task.phase == "undo"]
    last = [task for task in failed if task.phase != "undo"]
    more = [f"{len(undo) - _SHOWN} more undo tasks failed"] if len(undo) > _SHOWN else []
    shown = [
        f"{task.phase} task {address_of(task)} failed: {task.error}"
        for task in (*undo[:_SHOWN], *last[:1])
    ]
    return "; ".join([*([reason] if reason else []), *shown, *more]) or None
