"""The outcomes of a run and of its replay side by side."""

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from activityctl.domain.manifests.document import field_view, value_differences
from activityctl.domain.runs.run import Run, RunState, TaskInstance, address_of
from activityctl.domain.values.credentials import mask_credentials
from activityctl.domain.values.json_form import View
from activityctl.ports import RunStore


async def outcome_diff(runs: RunStore, before: str, after: str) -> View:
    """Return the JSON view of both runs and their tasks; both runs exist."""
    then, now = await asyncio.gather(runs.load(before), runs.load(after))
    if then is None or now is None:
        return {}
    return outcomes_view(then, now)


def outcomes_view(then: RunState, now: RunState) -> View:
    """Return the JSON view of both runs and their tasks, in the order of the new run."""
    old, new = _by_name(then), _by_name(now)
    names = [*new, *(name for name in old if name not in new)]
    return {
        "then": _run_view(then.run),
        "now": _run_view(now.run),
        "tasks": [_pair(name, old.get(name), new.get(name)) for name in names],
    }


def _by_name(state: RunState) -> Mapping[str, TaskInstance]:
    return {address_of(task): task for task in state.tasks if not task.is_container}


def _run_view(run: Run) -> View:
    return {
        "run": run.id,
        "revision": run.revision_id,
        "status": run.status.value,
        "reason": run.reason,
        "durationMs": _duration(run.started_at, run.ended_at),
    }


def _pair(name: str, then: TaskInstance | None, now: TaskInstance | None) -> View:
    outputs = [None if task is None else mask_credentials(task.output) for task in (then, now)]
    is_kept = now is not None and (now.reason or "").startswith("kept from run")
    return {
        "name": name,
        "isKept": is_kept,
        "then": None if then is None else _task_view(then),
        "now": None if now is None else _task_view(now),
        "bothHaveOutput": None not in outputs,
        "outputChanges": [field_view(change) for change in value_differences("", *outputs)],
    }


def _task_view(task: TaskInstance) -> dict[str, Any]:
    return {
        "status": task.status.value,
        "attempts": task.attempts,
        "durationMs": _duration(task.started_at, task.ended_at),
        "error": task.error,
    }


def _duration(start: datetime | None, end: datetime | None) -> int | None:
    return None if start is None or end is None else round((end - start).total_seconds() * 1000)
