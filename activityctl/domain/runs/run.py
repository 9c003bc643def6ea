"""Run and TaskInstance: their states, and which change of state is allowed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final, Literal

from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.values.ids import BACKFILL_PREFIX, RevisionId, RunId, SubscriptionId, TaskId
from activityctl.domain.values.model import JsonValue


class RunStatus(StrEnum):
    """DESIGN section 1."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"
    MISSED = "missed"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"


class TaskStatus(StrEnum):
    """DESIGN section 1."""

    PENDING = "pending"
    RUNNING = "running"
    WAITING = "waiting"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"


RUN_TRANSITIONS: Final[Mapping[RunStatus, frozenset[RunStatus]]] = {
    RunStatus.QUEUED: frozenset(
        {RunStatus.RUNNING, RunStatus.SKIPPED, RunStatus.MISSED, RunStatus.CANCELLED}
    ),
    RunStatus.RUNNING: frozenset(
        {RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELLED, RunStatus.TIMED_OUT}
    ),
    RunStatus.SUCCEEDED: frozenset(),
    RunStatus.FAILED: frozenset(),
    RunStatus.SKIPPED: frozenset(),
    RunStatus.MISSED: frozenset(),
    RunStatus.CANCELLED: frozenset(),
    RunStatus.TIMED_OUT: frozenset(),
}
TASK_TRANSITIONS: Final[Mapping[TaskStatus, frozenset[TaskStatus]]] = {
    TaskStatus.PENDING: frozenset(
        {TaskStatus.RUNNING, TaskStatus.WAITING, TaskStatus.FAILED, TaskStatus.CANCELLED}
    ),
    TaskStatus.RUNNING: frozenset({TaskStatus.SUCCEEDED, TaskStatus.FAILED, TaskStatus.CANCELLED}),
    TaskStatus.WAITING: frozenset({TaskStatus.SUCCEEDED, TaskStatus.FAILED, TaskStatus.CANCELLED}),
    TaskStatus.SUCCEEDED: frozenset(),
    TaskStatus.FAILED: frozenset(),
    TaskStatus.SKIPPED: frozenset(),
    TaskStatus.CANCELLED: frozenset(),
}
ENDED_RUNS: Final = frozenset(status for status, after in RUN_TRANSITIONS.items() if not after)
ENDED_TASKS: Final = frozenset(status for status, after in TASK_TRANSITIONS.items() if not after)

Phase = Literal["main", "onFailure"]


@dataclass(frozen=True, slots=True)
class Run:
    """The answer to one firing, with the revision and params it froze at admission."""

    id: RunId
    subscription_id: SubscriptionId
    subscription: str
    definition: str
    revision_id: RevisionId
    trigger: str
    firing_key: str
    due_at: datetime
    status: RunStatus
    created_at: datetime
    params: Mapping[str, JsonValue] = field(default_factory=dict)
    context: Mapping[str, JsonValue] = field(default_factory=dict)
    state: Mapping[str, JsonValue] = field(default_factory=dict)
    """What the last succeeded run kept, as this run found it."""
    payload: Mapping[str, JsonValue] = field(default_factory=dict)
    """What a firing by hand brought along; expressions see it as `trigger.payload`."""
    events: tuple[Mapping[str, JsonValue], ...] = ()
    """The events that it answers, in the order of arrival; expressions see the last as `event`
    and all of them as `trigger.events`."""
    reason: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    ending: RunStatus | None = None
    """Set before the end when onFailure tasks still have to run: how it will end."""
    concurrency_key: str | None = None
    """Whose places it takes; None when any number of runs may be at work."""
    throttle_key: str | None = None
    """With whom its start is counted; None without a throttle."""
    priority: int = 0
    """Among the runs that queue with it, the higher is let in first."""
    cancel_reason: str | None = None
    """Why its cancellation was asked for, when not by a person."""
    failures_before: int = 0
    """How many runs of the subscription have failed in a row, as last read."""
    owner_is_active: bool = True
    """Whether the subscription was active, as last read."""
    pauses: bool = False
    """Whether this run's failure paused the subscription, which nobody has resumed since."""

    @property
    def has_ended(self) -> bool:
        """Whether nothing about the run can change any more."""
        return self.status in ENDED_RUNS

    @property
    def is_backfill(self) -> bool:
        """Whether it makes up for a time of the past, on request."""
        return self.firing_key.startswith(BACKFILL_PREFIX)


@dataclass(frozen=True, slots=True)
class TaskInstance:
    """One spawned task of a run."""

    id: TaskId
    run_id: RunId
    name: str
    index: int
    phase: Phase
    kind: str
    status: TaskStatus
    created_at: datetime
    of: int | None = None
    """How many items the task's forEach had; None for a task without forEach."""
    input: JsonValue = None
    output: JsonValue = None
    error: str | None = None
    reason: str | None = None
    """Why it was skipped or cancelled."""
    attempts: int = 0
    started_at: datetime | None = None
    ended_at: datetime | None = None

    @property
    def has_ended(self) -> bool:
        """Whether nothing about the task can change any more."""
        return self.status in ENDED_TASKS


@dataclass(frozen=True, slots=True)
class RunState:
    """Everything that `advance` looks at."""

    run: Run
    spec: DefinitionSpec
    tasks: tuple[TaskInstance, ...]


@dataclass(frozen=True, slots=True)
class RunEnd:
    """How a run ends, and what it keeps for the next one (None: nothing changes)."""

    status: RunStatus
    reason: str | None = None
    state: Mapping[str, JsonValue] | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be done now; applying it twice is as good as once."""

    create: tuple[TaskInstance, ...] = ()
    """New task instances, to be inserted."""
    cancel: tuple[TaskInstance, ...] = ()
    """Task instances as they are after their cancellation."""
    start: tuple[TaskInstance, ...] = ()
    """Pending instances that may be at work now, those already started included."""
    ending: RunStatus | None = None
    """How the run will end once its onFailure tasks have."""
    reason: str | None = None
    """Why it will end so; onFailure tasks see it as `run.error`."""
    end: RunEnd | None = None
    pauses: bool = False
    """Whether the failure decided on pauses the subscription."""
