"""Runs that a task of another run starts: their keys, their depth, and what their end means."""

from collections.abc import Mapping
from typing import Final

from activityctl.domain.runs.outcomes import Outcomes
from activityctl.domain.runs.run import Run, RunState, RunStatus
from activityctl.domain.runs.spawning import main_block
from activityctl.domain.runs.task_rows import TaskRows
from activityctl.domain.runs.waiting import Answer
from activityctl.domain.values.ids import RunId, TaskId
from activityctl.domain.values.model import JsonValue
from activityctl.frozen_dataclass import frozen_dataclass

TRIGGER: Final = "activity"
"""The trigger name of a run that a task has started."""
_PREFIX: Final = "child/"


@frozen_dataclass
class ChildRequest:
    """A task that wants to start a run."""

    task_id: TaskId
    parent_key: str
    """The firing key of the run of the task."""
    body: Mapping[str, JsonValue]
    """The fields of an ActivityBody, rendered."""


def child_key(request: ChildRequest) -> str:
    """Return the firing key of the run that the task starts: its depth, then the task's id."""
    return f"{_PREFIX}{depth_of(request.parent_key) + 1}/{request.task_id}"


def depth_of(firing_key: str) -> int:
    """Return how many tasks are above the run; 0 if no task has started it."""
    if not firing_key.startswith(_PREFIX):
        return 0
    depth = firing_key.removeprefix(_PREFIX).partition("/")[0]
    return int(depth) if depth.isdecimal() else 0


def is_child(run: Run) -> bool:
    """Return whether a task of another run has started it."""
    return run.firing_key.startswith(_PREFIX)


def started_answer(run_id: RunId) -> Answer:
    """Return the answer to a task that does not wait for the run that it starts."""
    return Answer({"run": run_id})


def ended_answer(state: RunState) -> Answer:
    """Return what the end of the run means for the task that started it."""
    run = state.run
    results = Outcomes(TaskRows(state.tasks), as_stored=True).visible(main_block(state))
    output = {
        "run": run.id,
        "status": run.status.value,
        "reason": run.reason,
        "tasks": {name: result["output"] for name, result in results.items()},
    }
    if run.status is RunStatus.SUCCEEDED:
        return Answer(output)
    reason = f": {run.reason}" if run.reason else ""
    return Answer(output, f"run {run.id[:8]} of {run.subscription} {run.status}{reason}")
