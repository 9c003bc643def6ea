"""The `runs` context source: what the subscription's earlier runs were and gave."""

from typing import ClassVar

from pydantic import BaseModel, Field

from activityctl.domain.runs.run import Run, RunStatus, TaskInstance
from activityctl.domain.values.model import JsonValue, Manifest
from activityctl.ports import RunStore


class RunsBody(Manifest):
    """Which earlier runs to look at."""

    limit: int = Field(
        default=10, ge=1, le=100, description="How many, the newest first.", examples=[5]
    )
    status: RunStatus | None = Field(
        default=None, description="Only runs that ended so.", examples=["succeeded"]
    )


class RunsSource:
    """Gives a list of runs, newest first, each with the outputs of its tasks by name."""

    kind: ClassVar[str] = "runs"
    body: ClassVar[type[BaseModel]] = RunsBody

    def __init__(self, runs: RunStore) -> None:
        self._runs = runs

    async def resolve(self, body: RunsBody, run: Run) -> JsonValue:
        """Return the subscription's latest ended runs; the present one is not among them."""
        found = await self._runs.recent(
            run.subscription_id, limit=body.limit, status=body.status, excluding=run.id
        )
        return [_shown(earlier, tasks) for earlier, tasks in found]


def _shown(run: Run, tasks: list[TaskInstance]) -> JsonValue:
    outputs: dict[str, JsonValue] = {}
    for task in sorted(tasks, key=lambda task: task.index):
        if task.of is None:
            outputs[task.name] = task.output
        else:
            outputs.setdefault(task.name, []).append(task.output)
    return {
        "id": run.id,
        "status": run.status.value,
        "reason": run.reason,
        "trigger": run.trigger,
        "dueAt": _stamp(run.due_at.isoformat()),
        "startedAt": _stamp(run.started_at.isoformat()) if run.started_at else None,
        "endedAt": _stamp(run.ended_at.isoformat()) if run.ended_at else None,
        "tasks": outputs,
    }


def _stamp(text: str) -> str:
    return text.replace("+00:00", "Z")
