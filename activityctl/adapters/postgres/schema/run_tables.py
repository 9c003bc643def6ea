"""The tables of backfills, firings, runs, tasks, attempts and workers."""

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlmodel import Field, SQLModel

from activityctl.adapters.postgres.schema.columns import (
    json_column,
    moment_column,
    number_column,
    text_column,
)


class BackfillTable(SQLModel, table=True):
    """A request to run the due times of a past range, a few at a time."""

    __tablename__: ClassVar[Any] = "backfills"
    id: str = text_column(key=True)
    subscription_id: str = text_column(ForeignKey("subscriptions.id"))
    trigger: str = text_column()
    from_at: datetime = moment_column()
    to_at: datetime = moment_column()
    max_parallel: int = number_column()
    created_at: datetime = moment_column()
    cancelled_at: datetime | None = moment_column(nullable=True)


class FiringTable(SQLModel, table=True):
    """The outbox: firings that were decided; the dispatcher starts each at its `fires_at`.

    A firing without `fires_at` is held until it is released. `place` is the order of decision.
    `attempts` counts the starts that failed; the next is tried after `not_before`. The run of the
    firing has its `revision_id` and `params`; old firings have none and get those of admission.
    `replay` has the options of a replay of a run. `workflow_id` names the workflow of an alarm that
    runs the firing itself.
    """

    __tablename__: ClassVar[Any] = "firings"
    __table_args__ = (
        Index(
            "firings_plain_index",
            text("priority DESC"),
            "fires_at",
            "due_at",
            "place",
            postgresql_where=text(
                "dispatched_at IS NULL AND order_key IS NULL AND fires_at IS NOT NULL"
            ),
        ),
        Index(
            "firings_ordered_index",
            "order_key",
            "place",
            postgresql_where=text("dispatched_at IS NULL AND order_key IS NOT NULL"),
        ),
        Index(None, "subscription_id", "place"),
        Index(
            "firings_order_key_index",
            "order_key",
            "place",
            postgresql_where=text("order_key IS NOT NULL"),
        ),
        Index(
            "firings_waiting_index",
            "fires_at",
            postgresql_where=text("dispatched_at IS NULL"),
        ),
        Index(
            "firings_failing_index",
            "not_before",
            postgresql_where=text("dispatched_at IS NULL AND attempts > 0"),
        ),
        Index(
            "firings_dispatched_index",
            "dispatched_at",
            postgresql_where=text("dispatched_at IS NOT NULL"),
        ),
        Index(
            "firings_backfill_id_index",
            "backfill_id",
            "fires_at",
            "due_at",
            postgresql_where=text("backfill_id IS NOT NULL"),
        ),
        Index(
            "firings_workflow_id_index",
            "workflow_id",
            postgresql_where=text("workflow_id IS NOT NULL"),
        ),
    )
    id: str = text_column(key=True)
    subscription_id: str = text_column(ForeignKey("subscriptions.id"))
    trigger: str = text_column()
    firing_key: str = text_column()
    due_at: datetime = moment_column()
    payload: dict[str, Any] = json_column()
    created_at: datetime = moment_column()
    dispatched_at: datetime | None = moment_column(nullable=True)
    fires_at: datetime | None = moment_column(nullable=True)
    backfill_id: str | None = text_column(ForeignKey("backfills.id"), nullable=True)
    event_ids: list[str] | None = Field(sa_column=Column(ARRAY(Text), nullable=True))
    order_key: str | None = text_column(nullable=True)
    priority: int = number_column(0)
    attempts: int = number_column(0)
    not_before: datetime | None = moment_column(nullable=True)
    failing_since: datetime | None = moment_column(nullable=True)
    error: str | None = text_column(nullable=True)
    place: int = Field(sa_column=Column(BigInteger, Identity(always=True), nullable=False))
    revision_id: str | None = text_column(nullable=True)
    params: Any = json_column(nullable=True)
    replay: Any = json_column(nullable=True)
    workflow_id: str | None = text_column(nullable=True)


class RunTable(SQLModel, table=True):
    """A run, with the revision and the params that it froze at admission.

    `arrived_at` and `place` are `fires_at` and `place` of its firing: its place in a queue.
    """

    __tablename__: ClassVar[Any] = "runs"
    __table_args__ = (
        UniqueConstraint("subscription_id", "trigger", "firing_key"),
        CheckConstraint(
            "status in ('queued', 'running', 'cancelling', 'succeeded', 'failed', 'skipped', "
            "'missed', 'cancelled', 'timed_out')",
            name="status",
        ),
        Index(None, "subscription_id", "created_at"),
        Index(None, "created_at"),
        Index("runs_open_index", "created_at", postgresql_where=text("ended_at IS NULL")),
        Index(None, "subscription_id", "trigger", "due_at"),
        Index(
            "runs_places_index",
            "subscription_id",
            "concurrency_key",
            postgresql_where=text("concurrency_key IS NOT NULL AND ended_at IS NULL"),
        ),
        Index(
            "runs_queue_index",
            "subscription_id",
            "arrived_at",
            "place",
            postgresql_where=text("status = 'queued' AND let_in_at IS NULL AND ended_at IS NULL"),
        ),
        Index(
            "runs_slots_index",
            "subscription_id",
            "concurrency_key",
            postgresql_where=text(
                "concurrency_key IS NOT NULL AND ended_at IS NULL "
                "AND (let_in_at IS NOT NULL OR status <> 'queued')"
            ),
        ),
        Index(
            "runs_turns_index",
            "subscription_id",
            text("coalesce('=' || concurrency_key, '')"),
            text("coalesce('=' || throttle_key, '')"),
            text("priority DESC"),
            "arrived_at",
            "place",
            "id",
            postgresql_where=text("status = 'queued' AND let_in_at IS NULL AND ended_at IS NULL"),
        ),
        Index(
            "runs_throttle_index",
            "subscription_id",
            "throttle_key",
            "let_in_at",
            postgresql_where=text("throttle_key IS NOT NULL"),
        ),
        Index("runs_replay_of_index", "replay_of", postgresql_where=text("replay_of IS NOT NULL")),
        Index(
            "runs_failed_time_index",
            "created_at",
            postgresql_where=text("status IN ('failed', 'timed_out')"),
        ),
        Index(
            "runs_failed_index",
            "subscription_id",
            "created_at",
            postgresql_where=text("status IN ('failed', 'timed_out')"),
        ),
    )
    id: str = text_column(key=True)
    subscription_id: str = text_column(ForeignKey("subscriptions.id"))
    definition: str = text_column()
    revision_id: str = text_column(ForeignKey("revisions.id"))
    trigger: str = text_column()
    firing_key: str = text_column()
    workflow_id: str = text_column()
    due_at: datetime = moment_column()
    status: str = text_column()
    reason: str | None = text_column(nullable=True)
    ending: str | None = text_column(nullable=True)
    params: dict[str, Any] = json_column()
    context: dict[str, Any] = json_column()
    state: dict[str, Any] = json_column()
    payload: dict[str, Any] = json_column()
    events: Any = json_column(nullable=True)
    created_at: datetime = moment_column()
    started_at: datetime | None = moment_column(nullable=True)
    ended_at: datetime | None = moment_column(nullable=True)
    cancel_requested_at: datetime | None = moment_column(nullable=True)
    cancel_reason: str | None = text_column(nullable=True)
    concurrency_key: str | None = text_column(nullable=True)
    throttle_key: str | None = text_column(nullable=True)
    priority: int = number_column(0)
    let_in_at: datetime | None = moment_column(nullable=True)
    arrived_at: datetime | None = Field(
        sa_column=Column(
            DateTime(timezone=True), nullable=True, server_default=text("clock_timestamp()")
        )
    )
    place: int = Field(sa_column=Column(BigInteger, nullable=False, server_default=text("0")))
    stuck_since: datetime | None = moment_column(nullable=True)
    stuck_reason: str | None = text_column(nullable=True)
    replay_of: str | None = text_column(nullable=True)
    key_run: str | None = text_column(nullable=True)
    first_key: str | None = text_column(nullable=True)
    fresh_keys: dict[str, Any] = json_column()


class TaskTable(SQLModel, table=True):
    """A task instance of a run.

    `attempt_at` is when the attempt began that is at work; `worker` has the latest attempt. `lane`
    is the instance of a large forEach with which the call began that carries this one out.
    """

    __tablename__: ClassVar[Any] = "tasks"
    __table_args__ = (
        UniqueConstraint("run_id", "name", "index"),
        CheckConstraint(
            "status in ('pending', 'running', 'waiting', 'succeeded', 'failed', 'skipped', "
            "'cancelled')",
            name="status",
        ),
        Index(
            "tasks_open_index",
            "run_id",
            "name",
            "index",
            postgresql_where=text("ended_at IS NULL"),
        ),
        Index(
            "tasks_lane_index",
            "lane",
            postgresql_where=text("lane IS NOT NULL AND ended_at IS NULL"),
        ),
    )
    id: str = text_column(key=True)
    run_id: str = text_column(ForeignKey("runs.id"))
    name: str = text_column()
    index: int = number_column()
    of: int | None = Field(sa_column=Column(Integer, nullable=True))
    phase: str = text_column()
    kind: str = text_column()
    status: str = text_column()
    attempts: int = number_column(0)
    failures: int = number_column(0)
    input: Any = json_column(nullable=True)
    output: Any = json_column(nullable=True)
    error: str | None = text_column(nullable=True)
    reason: str | None = text_column(nullable=True)
    created_at: datetime = moment_column()
    started_at: datetime | None = moment_column(nullable=True)
    ended_at: datetime | None = moment_column(nullable=True)
    worker: str | None = text_column(nullable=True)
    attempt_at: datetime | None = moment_column(nullable=True)
    idempotency_key: str | None = text_column(nullable=True)
    lane: str | None = text_column(nullable=True)
    waits_until: datetime | None = moment_column(nullable=True)
    completed_by: str | None = text_column(nullable=True)
    code: str | None = text_column(nullable=True)
    guard: Any = json_column(nullable=True)


class AttemptTable(SQLModel, table=True):
    """An attempt of a task, or of a lookup of the context of the run `lookup_of`.

    Numbers count from 1.
    `breaker` and `limit_name` are what it had to pass. `fault` says of a failed attempt whether
    the breaker counts it, as soon as the breaker knows.
    """

    __tablename__: ClassVar[Any] = "attempts"
    __table_args__ = (
        CheckConstraint(
            "outcome in ('running', 'succeeded', 'failed', 'lost', 'interrupted', 'stopped')",
            name="outcome",
        ),
        Index(
            "attempts_breaker_index",
            "breaker",
            "ended_at",
            postgresql_where=text("breaker IS NOT NULL"),
        ),
        Index(
            "attempts_limit_index",
            "limit_name",
            postgresql_where=text("limit_name IS NOT NULL AND ended_at IS NULL"),
        ),
        Index(
            "attempts_lookup_index",
            "lookup_of",
            postgresql_where=text("lookup_of IS NOT NULL"),
        ),
        Index(
            "attempts_open_index",
            "task_id",
            postgresql_where=text("ended_at IS NULL"),
        ),
    )
    task_id: str = text_column(key=True)
    number: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    worker: str | None = text_column(nullable=True)
    started_at: datetime = moment_column()
    outcome: str = Field(sa_column=Column(Text, nullable=False, server_default=text("'running'")))
    ended_at: datetime | None = moment_column(nullable=True)
    error: str | None = text_column(nullable=True)
    code: str | None = text_column(nullable=True)
    breaker: str | None = text_column(nullable=True)
    limit_name: str | None = text_column(nullable=True)
    fault: bool | None = Field(sa_column=Column(Boolean, nullable=True))
    lookup_of: str | None = text_column(nullable=True)


class WorkerTable(SQLModel, table=True):
    """A worker process, the time of its last heartbeat, and its loops that fail."""

    __tablename__: ClassVar[Any] = "workers"
    id: str = text_column(key=True)
    host: str = text_column()
    pid: int = number_column()
    version: str = text_column()
    started_at: datetime = moment_column()
    seen_at: datetime = moment_column()
    troubles: list[Any] = Field(
        sa_column=Column(JSONB, nullable=False, server_default=text("'[]'::jsonb"))
    )
