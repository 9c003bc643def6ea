"""The variables of expressions about one run: what it is, and the outcomes of its tasks."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from activityctl.domain.runs.run import FAILURES, Run, TaskInstance, TaskStatus
from activityctl.domain.values.model import JsonValue

SATISFIED: Final = "succeeded"


def run_scope(run: Run, now: datetime) -> dict[str, Any]:
    """Return the variables of expressions, before any task exists."""
    return {
        "params": run.params,
        "trigger": {
            "name": run.trigger,
            "firingKey": run.firing_key,
            "dueAt": _format_utc(run.due_at),
            "payload": run.payload,
            "events": list(run.events),
        },
        "event": run.events[-1] if run.events else None,
        "context": run.context,
        "tasks": {},
        "run": {
            "id": run.id,
            "subscription": run.subscription,
            "definition": run.definition,
            "revision": run.revision_id,
            "startedAt": _format_utc(run.started_at),
            "error": run.reason if run.ending in FAILURES or run.ending is None else None,
            "reason": run.reason,
            "pauses": run.pauses,
        },
        "state": run.state,
        "item": None,
        "now": now,
    }


def _format_utc(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat().replace("+00:00", "Z")


def outcomes(
    tasks: Sequence[TaskInstance], groups: Mapping[str, list[TaskInstance]]
) -> dict[str, JsonValue]:
    """Return the variable `tasks` of expressions: every task that has ended, of all phases."""
    known = {**by_name(tasks), **groups}
    return {name: outcome(group) for name, group in known.items() if is_over(group)}


def outcome(group: list[TaskInstance]) -> JsonValue:
    """Return what expressions see of one task, from its instances."""
    first = group[0]
    outputs = [task.output for task in group]
    errors = [task.error for task in group if task.error is not None]
    return {
        "status": group_status(group),
        "output": first.output if first.of is None else outputs[: first.of],
        "error": errors[0] if errors else None,
        "attempts": sum(task.attempts for task in group),
    }


def by_name(tasks: Iterable[TaskInstance]) -> dict[str, list[TaskInstance]]:
    """Return the instances of each task, in the order of their index."""
    groups: dict[str, list[TaskInstance]] = {}
    for task in sorted(tasks, key=lambda task: task.index):
        groups.setdefault(task.name, []).append(task)
    return groups


def is_over(group: list[TaskInstance] | None) -> bool:
    """Return whether the task has instances, and all of them have ended."""
    return group is not None and all(task.has_ended for task in group)


def group_status(group: list[TaskInstance]) -> str:
    """Return the status of one task, from its instances."""
    if group[0].of == 0:
        return SATISFIED
    for status in (TaskStatus.FAILED, TaskStatus.CANCELLED, TaskStatus.SKIPPED):
        if any(task.status is status for task in group):
            return status.value
    return SATISFIED


def task_label(task: TaskInstance) -> str:
    """Return the task's name for people: `notify`, or `notify[2]` for an instance of a forEach."""
    return task.name if not task.of else f"{task.name}[{task.index}]"
