"""Walks a run through its decisions as a worker would, without a store."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.runs.advance import advance
from activityctl.domain.runs.run import Decision, RunState, TaskInstance, TaskStatus, address_of
from activityctl.domain.runs.run_change import change_task, run_change, with_tasks
from support.runs import begun_run_of

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)


def task(name: str, **fields: Any) -> dict[str, Any]:
    """Return a task that says its own name."""
    return {"name": name, "say": {"text": name}, **fields}


THREE = (task("a"), task("b", needs=["a"]), task("c", needs=["b"], say="${ tasks.a.output }"))


def begun(*tasks: dict[str, Any], **fields: Any) -> RunState:
    """Return a run as it is stored after its first decision; `run` has other fields of its row."""
    changes = fields.pop("run", {})
    document = {"tasks": tasks, **fields}
    spec = DefinitionSpec.model_validate_json(json.dumps(document))
    state = RunState(begun_run_of(NOW, **changes), spec, ())
    return applied(state, advance(state, NOW))


def applied(state: RunState, decision: Decision) -> RunState:
    """Return the run after the decision is stored."""
    change = run_change(state.run, decision, NOW)
    state = replace(state, run=change.run, tasks=state.tasks + change.create)
    for changed in change.update:
        state = with_tasks(state, changed)
    return state


def ended(state: RunState, label: str, output: Any = None, error: str | None = None) -> RunState:
    """Return the run after the task has ended; with an error the task has failed."""
    status = TaskStatus.SUCCEEDED if error is None else TaskStatus.FAILED
    started = change_task(task_of(state, label), TaskStatus.RUNNING, attempts=1)
    after = change_task(started, status, output=output, error=error, ended_at=NOW)
    state = with_tasks(state, after)
    return applied(state, advance(state, NOW))


def task_of(state: RunState, label: str) -> TaskInstance:
    """Return the task of that name, or `name[index]`."""
    (found,) = [instance for instance in state.tasks if address_of(instance) == label]
    return found


def startable(state: RunState) -> list[str]:
    """Return the tasks that may start now."""
    return [address_of(instance) for instance in advance(state, NOW).start]


def statuses(state: RunState) -> dict[str, str]:
    """Return the status of each task."""
    return {address_of(instance): instance.status.value for instance in state.tasks}


def failed_at_b() -> RunState:
    """Return a run of THREE whose second task failed."""
    state = begun(*THREE, onFailure=[task("page")])
    state = ended(ended(state, "a", output="one"), "b", error="503")
    return ended(state, "page")


def spec_of(*tasks: dict[str, Any], **fields: Any) -> DefinitionSpec:
    """Return a spec with these tasks."""
    return DefinitionSpec.model_validate_json(json.dumps({"tasks": tasks, **fields}))
