"""The phases of a run: its main tasks, then the tasks that its definition has for their end."""

from collections.abc import Iterable, Mapping
from typing import Final

from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.manifests.task_template import TaskTemplate
from activityctl.domain.runs.run import Phase, RunStatus, TaskInstance, TaskStatus
from activityctl.domain.runs.scope import task_label

_AFTER: Final[Mapping[RunStatus, Phase]] = {
    RunStatus.SUCCEEDED: "onSuccess",
    RunStatus.FAILED: "onFailure",
    RunStatus.TIMED_OUT: "onFailure",
}


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


def has_left_main(tasks: Iterable[TaskInstance]) -> bool:
    """Return whether the tasks for the end of the run have begun to exist."""
    return any(task.phase != "main" for task in tasks)


def end_reason(reason: str | None, tasks: Iterable[TaskInstance]) -> str | None:
    """Return why a run ends so, and which task of its last phase failed.

    The first failure comes first. What fails after it is added and never replaces it.
    """
    for task in tasks:
        if task.phase != "main" and task.status is TaskStatus.FAILED:
            failure = f"{task.phase} task {task_label(task)} failed: {task.error}"
            return f"{reason}; {failure}" if reason else failure
    return reason
