"""The `runs` context source: earlier runs of the subscription and their outputs."""

from typing import Annotated, ClassVar, Final

from pydantic import AfterValidator, BaseModel, Field, ValidationInfo

from activityctl.domain.runs.run import Run, RunStatus, TaskInstance
from activityctl.domain.values.model import JsonValue, Manifest, is_written
from activityctl.ports import RunStore, SourceCall

_OPEN: Final = frozenset({RunStatus.QUEUED, RunStatus.RUNNING})


def _has_ended(status: RunStatus | None, info: ValidationInfo) -> RunStatus | None:
    if status in _OPEN and is_written(info):
        raise ValueError(f"finds nothing: a run that is {status} has not ended")
    return status


class RunsBody(Manifest):
    """The fields of a `runs` context: which earlier runs to return."""

    limit: int = Field(
        default=10, ge=1, le=100, description="How many runs, newest first.", examples=[5]
    )
    status: Annotated[RunStatus | None, AfterValidator(_has_ended)] = Field(
        default=None, description="Only runs that ended with this status.", examples=["succeeded"]
    )


class RunsSource:
    """Returns a list of runs, newest first, each with the outputs of its tasks by name."""

    kind: ClassVar[str] = "runs"
    body: ClassVar[type[BaseModel]] = RunsBody

    def __init__(self, runs: RunStore) -> None:
        self._runs = runs

    async def resolve(self, body: RunsBody, call: SourceCall) -> JsonValue:
        """Return the latest ended runs of the subscription, without the run of the call."""
        run = call.run
        ended = await self._runs.recent(
            run.subscription_id, limit=body.limit, status=body.status, excluding=run.id
        )
        return [_to_json(earlier, tasks) for earlier, tasks in ended]


def _to_json(run: Run, tasks: list[TaskInstance]) -> JsonValue:
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
        "dueAt": _utc(run.due_at.isoformat()),
        "startedAt": _utc(run.started_at.isoformat()) if run.started_at else None,
        "endedAt": _utc(run.ended_at.isoformat()) if run.ended_at else None,
        "tasks": outputs,
    }


def _utc(text: str) -> str:
    return text.replace("+00:00", "Z")
