"""The tables of the waits of tasks, and of runs that are late."""

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Identity, Index, Text, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlmodel import Field, SQLModel

from activityctl.adapters.postgres.schema.columns import json_column, moment_column, text_column


class WaitTable(SQLModel, table=True):
    """The wait of a task, and its answer.

    Until `ended_at`, the task waits: the first answer is written here, and the step `settle` ends
    the task by it, or because `until_at` has passed. A wait for an event has its pattern in
    `event`; it has looked at the routed events up to `looks_after`, or at all of them.
    """

    __tablename__: ClassVar[Any] = "waits"
    __table_args__ = (
        Index("waits_open_index", "run_id", postgresql_where=text("ended_at IS NULL")),
        Index(
            "waits_answered_index",
            "answered_at",
            postgresql_where=text("answered_at IS NOT NULL AND ended_at IS NULL"),
        ),
        Index(
            "waits_until_index",
            "until_at",
            postgresql_where=text("until_at IS NOT NULL AND ended_at IS NULL"),
        ),
        Index(
            "waits_event_index",
            "place",
            postgresql_where=text("event IS NOT NULL AND answered_at IS NULL AND ended_at IS NULL"),
        ),
        Index(
            "waits_child_run_id_index",
            "child_run_id",
            postgresql_where=text("child_run_id IS NOT NULL"),
        ),
        Index(
            "waits_announce_index",
            "announce_at",
            postgresql_where=text("announce_at IS NOT NULL"),
        ),
    )
    task_id: str = text_column(ForeignKey("tasks.id"), key=True)
    run_id: str = text_column(ForeignKey("runs.id"))
    subscription_id: str = text_column(ForeignKey("subscriptions.id"))
    kind: str = text_column()
    began_at: datetime = moment_column()
    until_at: datetime | None = moment_column(nullable=True)
    answered_at: datetime | None = moment_column(nullable=True)
    answered_by: str | None = text_column(nullable=True)
    output: Any = json_column(nullable=True)
    error: str | None = text_column(nullable=True)
    place: int = Field(sa_column=Column(BigInteger, Identity(always=True), nullable=False))
    event: Any = json_column(nullable=True)
    since: datetime | None = moment_column(nullable=True)
    own_events: list[str] | None = Field(sa_column=Column(ARRAY(Text), nullable=True))
    looks_after: int | None = Field(sa_column=Column(BigInteger, nullable=True))
    child_run_id: str | None = text_column(nullable=True)
    announce_at: datetime | None = moment_column(nullable=True)
    ended_at: datetime | None = moment_column(nullable=True)


class LateRunTable(SQLModel, table=True):
    """A deadline that a run has missed; the run may not exist yet."""

    __tablename__: ClassVar[Any] = "late_runs"
    __table_args__ = (
        CheckConstraint("deadline in ('start', 'end')", name="deadline"),
        Index(None, "noticed_at"),
        Index("late_runs_subscription_index", "subscription_id", "noticed_at"),
    )
    run_id: str = text_column(key=True)
    deadline: str = text_column(key=True)
    subscription_id: str = text_column(ForeignKey("subscriptions.id"))
    late_by: datetime = moment_column()
    noticed_at: datetime = moment_column()


class StuckWorkflowTable(SQLModel, table=True):
    """A workflow whose code cannot go on, and that has no open run.

    `began_at` is when it was found first; `since` is None after it was replaced.
    """

    __tablename__: ClassVar[Any] = "stuck_workflows"
    workflow_id: str = text_column(key=True)
    began_at: datetime = moment_column()
    since: datetime | None = moment_column(nullable=True)
    reason: str = text_column()
