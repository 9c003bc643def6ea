"""Run and TaskInstance, their statuses, and which changes of status are allowed."""

from collections.abc import Mapping
from dataclasses import field
from datetime import datetime
from enum import StrEnum
from typing import Final, Literal

from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.tasks.guard import Guard
from activityctl.domain.values.ids import BACKFILL_PREFIX, RevisionId, RunId, SubscriptionId, TaskId
from activityctl.domain.values.model import JsonValue
from activityctl.frozen_dataclass import frozen_dataclass


class RunStatus(StrEnum):
    """The statuses of a run; the allowed changes are in RUN_TRANSITIONS."""

    QUEUED = "queued"
    RUNNING = "running"
    CANCELLING = "cancelling"
    """It was cancelled or reached its timeout, and waits until its tasks have stopped."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"
    MISSED = "missed"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"


class TaskStatus(StrEnum):
    """The statuses of a task instance; the allowed changes are in TASK_TRANSITIONS."""

    PENDING = "pending"
    RUNNING = "running"
    WAITING = "waiting"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"


RUN_TRANSITIONS: Final[Mapping[RunStatus, frozenset[RunStatus]]] = {
    RunStatus.QUEUED: frozenset(
        {
            RunStatus.RUNNING,
            RunStatus.FAILED,
            RunStatus.SKIPPED,
            RunStatus.MISSED,
            RunStatus.CANCELLED,
            RunStatus.TIMED_OUT,
        }
    ),
    RunStatus.RUNNING: frozenset(
        {
            RunStatus.CANCELLING,
            RunStatus.SUCCEEDED,
            RunStatus.FAILED,
            RunStatus.SKIPPED,
            RunStatus.CANCELLED,
            RunStatus.TIMED_OUT,
        }
    ),
    # Back to running for the onFailure tasks after a timeout.
    RunStatus.CANCELLING: frozenset(
        {
            RunStatus.RUNNING,
            RunStatus.SUCCEEDED,
            RunStatus.FAILED,
            RunStatus.SKIPPED,
            RunStatus.CANCELLED,
            RunStatus.TIMED_OUT,
        }
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
    TaskStatus.RUNNING: frozenset(
        {TaskStatus.SUCCEEDED, TaskStatus.FAILED, TaskStatus.SKIPPED, TaskStatus.CANCELLED}
    ),
    TaskStatus.WAITING: frozenset({TaskStatus.SUCCEEDED, TaskStatus.FAILED, TaskStatus.CANCELLED}),
    TaskStatus.SUCCEEDED: frozenset(),
    TaskStatus.FAILED: frozenset(),
    TaskStatus.SKIPPED: frozenset(),
    TaskStatus.CANCELLED: frozenset(),
}
ENDED_RUNS: Final = frozenset(status for status, after in RUN_TRANSITIONS.items() if not after)
ENDED_TASKS: Final = frozenset(status for status, after in TASK_TRANSITIONS.items() if not after)

FAILURES: Final = frozenset({RunStatus.FAILED, RunStatus.TIMED_OUT})

Phase = Literal["main", "onFailure", "onSuccess", "onSkip", "undo"]
"""Which list of the definition a task comes from; `main` is `tasks`."""

CONTAINER_KINDS: Final = frozenset({"tasks", "switch", "repeat", "retry"})
"""The kinds of rows that hold other tasks: groups, choices, and tasks with rounds."""


@frozen_dataclass
class Run:
    """The answer to one firing, with the revision and params that were frozen at admission."""

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
    """The subscription's state when this run began, kept by the last run that succeeded."""
    payload: Mapping[str, JsonValue] = field(default_factory=dict)
    """The payload of a firing by hand; expressions see it as `trigger.payload`."""
    events: tuple[Mapping[str, JsonValue], ...] = ()
    """The events of the firing, in the order of arrival. Expressions see the last one as `event`
    and all of them as `trigger.events`."""
    reason: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    ending: RunStatus | None = None
    """The status that it will end with; set while its tasks have to stop or the tasks of its last
    phase, such as onFailure, have to run."""
    concurrency_key: str | None = None
    """The rendered concurrency key; None when the number of open runs is not limited."""
    throttle_key: str | None = None
    """The rendered throttle key; None without a throttle."""
    priority: int = 0
    """Of queued runs, the one with the higher priority is let in first."""
    is_cancel_requested: bool = False
    """Whether a person, or a run that replaces it, requested its cancellation."""
    cancel_reason: str | None = None
    """Why its cancellation was requested; None when a person requested it."""
    failures_before: int = 0
    """How many runs of the subscription had failed in a row when the run was read."""
    owner_is_active: bool = True
    """Whether the subscription was active when the run was read."""
    pauses: bool = False
    """Whether this run's failure paused the subscription, and it has not been resumed since."""
    stuck_since: datetime | None = None
    """Since when the code of its workflow cannot go on; None if it can."""
    stuck_reason: str | None = None
    replay_of: RunId | None = None
    """The run that this one is a retry or a replay of; None for the first run of a firing."""
    key_run: RunId | None = None
    """The run whose task ids are the idempotency keys; None for its own."""
    fresh_keys: Mapping[str, str] = field(default_factory=dict)
    """For tasks that a replay calls again on purpose: the run whose task ids, with a prefix, are
    their idempotency keys, by the name of the task; `*` for all tasks."""
    first_key: str | None = None
    """The firing key of the first run of the firing; None if this is the first one."""

    @property
    def has_ended(self) -> bool:
        """Whether the run has ended; nothing in it changes any more."""
        return self.status in ENDED_RUNS

    @property
    def has_entered_gates(self) -> bool:
        """Whether it has the keys of its gates; then it is stored already."""
        return self.concurrency_key is not None or self.throttle_key is not None

    @property
    def is_stuck(self) -> bool:
        """Whether it is open and the code of its workflow cannot go on."""
        return self.stuck_since is not None and not self.has_ended

    @property
    def is_backfill(self) -> bool:
        """Whether a backfill started it for a nominal time of the past."""
        return self.firing_key.startswith(BACKFILL_PREFIX)


@frozen_dataclass
class TaskInstance:
    """One task of a run, or one item of a forEach task."""

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
    worker: str | None = None
    """The worker of the latest attempt: host and pid."""
    attempt_at: datetime | None = None
    """When the attempt began that is at work; None before, between and after attempts."""
    lane: TaskId | None = None
    """The task with which the call began that carries this one out after others; None until a call
    has taken it, and for all other tasks. See `lanes` and `chains`."""
    waits_until: datetime | None = None
    """When the wait of the task ends by itself; None if it does not, or if the task never waits."""
    completed_by: str | None = None
    """The person who completed it; None if no person did."""
    code: str | None = None
    """The code of the error, such as `timeout`; None for an error that no attempt had."""
    guard: Guard | None = None
    """The breaker and the limit of its attempts; None if nothing holds them up."""
    idempotency_key: str | None = None
    """What its calls carry so that a receiver recognises a repeat; None for its id."""

    @property
    def has_ended(self) -> bool:
        """Whether the task has ended; nothing in it changes any more."""
        return self.status in ENDED_TASKS

    @property
    def is_container(self) -> bool:
        """Whether it only holds other tasks, so that no worker carries it out."""
        return self.kind in CONTAINER_KINDS

    @property
    def is_at_work(self) -> bool:
        """Whether a worker has begun it and it has not ended. No worker holds a waiting task."""
        return self.status is TaskStatus.RUNNING and not self.is_container


def address_of(task: TaskInstance) -> str:
    """Return the task's name for people, which is unique in its run.

    `notify`, `notify[2]` for item 2 of a forEach or round 2, `payment.charge` in a group.
    """
    return task.name if not task.of else f"{task.name}[{task.index}]"


@frozen_dataclass
class RunState:
    """The input of `advance`: a run, its spec and its tasks so far."""

    run: Run
    spec: DefinitionSpec
    tasks: tuple[TaskInstance, ...]


@frozen_dataclass
class RunEnd:
    """How a run ends."""

    status: RunStatus
    reason: str | None = None
    leaves_letter: bool = False
    """Whether a task of onSuccess failed: then a dead letter is kept, as for a run that failed."""


@frozen_dataclass
class Decision:
    """What has to be done now in a run. Applying it twice has the same result as once."""

    create: tuple[TaskInstance, ...] = ()
    """New task instances to insert."""
    change: tuple[TaskInstance, ...] = ()
    """Groups and other containers that begin or end, as they are then; new ones are in `create`."""
    cancel: tuple[TaskInstance, ...] = ()
    """Task instances to cancel, as they are after the cancellation."""
    wait: tuple[TaskInstance, ...] = ()
    """Pending instances that begin to wait, as they are then; new ones are in `create`."""
    start: tuple[TaskInstance, ...] = ()
    """Pending instances that may run now, also those whose start was already asked for."""
    ending: RunStatus | None = None
    """The status that the run will have when the tasks of its last phase have ended."""
    reason: str | None = None
    """Why it will end with that status; the last tasks see it as `run.reason`."""
    waits_for: tuple[TaskInstance, ...] = ()
    """The tasks that have to stop before the run, which is cancelling, goes on to `ending`."""
    end: RunEnd | None = None
    keep_state: Mapping[str, JsonValue] | None = None
    """The state to store for the subscription's next run, as soon as the main tasks have
    succeeded; None leaves it as it is."""
    pauses: bool = False
    """Whether the failure of the run pauses the subscription."""
