"""The tables, declared once; migrations realise them and a test holds that both are equal.

Stores speak SQL to them through psycopg; nothing here is imported by a command that only reads.
"""

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    MetaData,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlmodel import Field, SQLModel

NAMING = {
    "ix": "%(table_name)s_%(column_0_N_name)s_index",
    "uq": "%(table_name)s_%(column_0_N_name)s_key",
    "ck": "%(table_name)s_%(constraint_name)s_check",
    "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
    "pk": "%(table_name)s_pkey",
}
SQLModel.metadata.naming_convention = NAMING
metadata: MetaData = SQLModel.metadata

_NO_JSON = text("'{}'::jsonb")


def _text(*constraints: Any, nullable: bool = False, key: bool = False) -> Any:
    return Field(sa_column=Column(Text, *constraints, nullable=nullable, primary_key=key))


def _moment(*, nullable: bool = False) -> Any:
    return Field(sa_column=Column(DateTime(timezone=True), nullable=nullable))


def _json(*, nullable: bool = False) -> Any:
    default = None if nullable else _NO_JSON
    return Field(sa_column=Column(JSONB, nullable=nullable, server_default=default))


def _number(default: int | None = None) -> Any:
    given = None if default is None else text(str(default))
    return Field(sa_column=Column(Integer, nullable=False, server_default=given))


class Definition(SQLModel, table=True):
    """An ActivityDefinition and its current revision."""

    __tablename__: ClassVar[Any] = "definitions"
    name: str = _text(key=True)
    revision_id: str = _text()
    labels: dict[str, Any] = _json()
    annotations: dict[str, Any] = _json()
    created_at: datetime = _moment()
    updated_at: datetime = _moment()
    deleted_at: datetime | None = _moment(nullable=True)
    applyset: str | None = _text(nullable=True)


class Revision(SQLModel, table=True):
    """An immutable content of a definition."""

    __tablename__: ClassVar[Any] = "revisions"
    __table_args__ = (UniqueConstraint("definition", "number"),)
    id: str = _text(key=True)
    definition: str = _text()
    number: int = _number()
    spec: dict[str, Any] = _json()
    created_at: datetime = _moment()


class Subscription(SQLModel, table=True):
    """A living instance of a definition."""

    __tablename__: ClassVar[Any] = "subscriptions"
    __table_args__ = (
        UniqueConstraint("name"),
        CheckConstraint("status in ('active', 'paused', 'deleted')", name="status"),
        Index(None, "definition"),
    )
    id: str = _text(key=True)
    name: str = _text()
    definition: str = _text(ForeignKey("definitions.name"))
    params: dict[str, Any] = _json()
    triggers: dict[str, Any] = _json()
    labels: dict[str, Any] = _json()
    annotations: dict[str, Any] = _json()
    status: str = _text()
    state: dict[str, Any] = _json()
    created_at: datetime = _moment()
    updated_at: datetime = _moment()
    applyset: str | None = _text(nullable=True)
    failures: int = _number(0)
    pause_reason: str | None = _text(nullable=True)
    paused_at: datetime | None = _moment(nullable=True)
    paused_by_run: str | None = _text(nullable=True)


class Calendar(SQLModel, table=True):
    """Named days on which triggers may refuse to fire."""

    __tablename__: ClassVar[Any] = "calendars"
    name: str = _text(key=True)
    spec: dict[str, Any] = _json()
    days: Any = _json()
    labels: dict[str, Any] = _json()
    annotations: dict[str, Any] = _json()
    created_at: datetime = _moment()
    updated_at: datetime = _moment()
    deleted_at: datetime | None = _moment(nullable=True)
    applyset: str | None = _text(nullable=True)


class Apply(SQLModel, table=True):
    """One command that changed the catalog."""

    __tablename__: ClassVar[Any] = "applies"
    id: int = Field(sa_column=Column(BigInteger, Identity(always=True), primary_key=True))
    command: str = _text()
    actor: str = _text()
    source_commit: str | None = _text(nullable=True)
    applyset: str | None = _text(nullable=True)
    created_at: datetime = _moment()


class ApplyChange(SQLModel, table=True):
    """What one command changed of one object; rollbacks take the document from here."""

    __tablename__: ClassVar[Any] = "apply_changes"
    __table_args__ = (UniqueConstraint("kind", "name", "number"),)
    id: int = Field(sa_column=Column(BigInteger, Identity(always=True), primary_key=True))
    apply_id: int = Field(
        sa_column=Column(BigInteger, ForeignKey("applies.id"), nullable=False, index=True)
    )
    kind: str = _text()
    name: str = _text()
    number: int = _number()
    action: str = _text()
    fields: Any = _json()
    document: Any = _json(nullable=True)
    revision_id: str | None = _text(nullable=True)


class Schedule(SQLModel, table=True):
    """The schedule that Temporal shall hold, what it was last made to hold, and how far it came.

    Every nominal time up to `cursor` is accounted for; `next_at` is the one after it.
    """

    __tablename__: ClassVar[Any] = "schedules"
    __table_args__ = (
        UniqueConstraint("subscription_id", "trigger"),
        Index("schedules_next_at_index", "next_at", postgresql_where=text("next_at IS NOT NULL")),
    )
    id: str = _text(key=True)
    subscription_id: str = _text(ForeignKey("subscriptions.id"))
    trigger: str = _text()
    kind: str = _text()
    body: dict[str, Any] = _json()
    wanted_hash: str | None = _text(nullable=True)
    observed_hash: str | None = _text(nullable=True)
    observed_at: datetime | None = _moment(nullable=True)
    error: str | None = _text(nullable=True)
    cursor: datetime = Field(
        sa_column=Column(DateTime(timezone=True), nullable=False, server_default=text("now()"))
    )
    next_at: datetime | None = _moment(nullable=True)
    fired: int = _number(0)
    wakes: int = _number(0)
    restarts: int = _number(0)
    restarted_at: datetime | None = _moment(nullable=True)


class Backfill(SQLModel, table=True):
    """A request to make up for a stretch of the past, a few runs at a time."""

    __tablename__: ClassVar[Any] = "backfills"
    id: str = _text(key=True)
    subscription_id: str = _text(ForeignKey("subscriptions.id"))
    trigger: str = _text()
    from_at: datetime = _moment()
    to_at: datetime = _moment()
    max_parallel: int = _number()
    created_at: datetime = _moment()
    cancelled_at: datetime | None = _moment(nullable=True)


class Firing(SQLModel, table=True):
    """The outbox: firings that were decided on, and which the dispatcher starts at `fires_at`.

    One without `fires_at` is held back until it is released.
    """

    __tablename__: ClassVar[Any] = "firings"
    __table_args__ = (
        Index(
            "firings_waiting_index",
            "fires_at",
            postgresql_where=text("dispatched_at IS NULL"),
        ),
        Index(
            "firings_backfill_id_index",
            "backfill_id",
            "fires_at",
            "due_at",
            postgresql_where=text("backfill_id IS NOT NULL"),
        ),
    )
    id: str = _text(key=True)
    subscription_id: str = _text(ForeignKey("subscriptions.id"))
    trigger: str = _text()
    firing_key: str = _text()
    due_at: datetime = _moment()
    payload: dict[str, Any] = _json()
    created_at: datetime = _moment()
    dispatched_at: datetime | None = _moment(nullable=True)
    fires_at: datetime | None = _moment(nullable=True)
    backfill_id: str | None = _text(ForeignKey("backfills.id"), nullable=True)
    event_ids: list[str] | None = Field(sa_column=Column(ARRAY(Text), nullable=True))
    order_key: str | None = _text(nullable=True)
    priority: int = _number(0)


class Event(SQLModel, table=True):
    """An event as it came, kept whole; `place` is the order of arrival."""

    __tablename__: ClassVar[Any] = "events"
    __table_args__ = (
        Index("events_unrouted_index", "place", postgresql_where=text("routed_at IS NULL")),
        Index(None, "arrived_at"),
        Index(None, "type", "arrived_at"),
    )
    id: str = _text(key=True)
    place: int = Field(
        sa_column=Column(BigInteger, Identity(always=True), nullable=False, unique=True)
    )
    source: str = _text()
    event_id: str = _text()
    type: str = _text()
    subject: str | None = _text(nullable=True)
    occurred_at: datetime | None = _moment(nullable=True)
    arrived_at: datetime = _moment()
    digest: str = _text()
    document: dict[str, Any] = _json()
    routed_at: datetime | None = _moment(nullable=True)


class Verdict(SQLModel, table=True):
    """What an event meant to a trigger that it woke, or might have woken but for a reason."""

    __tablename__: ClassVar[Any] = "verdicts"
    __table_args__ = (Index(None, "subscription_id", "created_at"),)
    event_id: str = Field(
        sa_column=Column(Text, ForeignKey("events.id", ondelete="CASCADE"), primary_key=True)
    )
    subscription_id: str = _text(ForeignKey("subscriptions.id"), key=True)
    trigger: str = _text(key=True)
    feed: str = Field(sa_column=Column(Text, primary_key=True, server_default=text("''")))
    outcome: str = _text()
    reason: str | None = _text(nullable=True)
    firing_key: str | None = _text(nullable=True)
    created_at: datetime = _moment()


class Gathering(SQLModel, table=True):
    """Events that a trigger has seen so far of those it waits for, by key."""

    __tablename__: ClassVar[Any] = "gatherings"
    __table_args__ = (
        UniqueConstraint("subscription_id", "trigger", "key"),
        Index("gatherings_due_at_index", "due_at"),
    )
    id: str = _text(key=True)
    subscription_id: str = _text(ForeignKey("subscriptions.id"))
    trigger: str = _text()
    key: str = _text()
    state: dict[str, Any] = _json()
    due_at: datetime | None = _moment(nullable=True)
    opened_at: datetime = _moment()
    updated_at: datetime = _moment()


class Run(SQLModel, table=True):
    """One run, with what it froze at admission."""

    __tablename__: ClassVar[Any] = "runs"
    __table_args__ = (
        UniqueConstraint("subscription_id", "trigger", "firing_key"),
        CheckConstraint(
            "status in ('queued', 'running', 'succeeded', 'failed', 'skipped', 'missed', "
            "'cancelled', 'timed_out')",
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
            "created_at",
            postgresql_where=text("status = 'queued' AND let_in_at IS NULL AND ended_at IS NULL"),
        ),
        Index(
            "runs_throttle_index",
            "subscription_id",
            "throttle_key",
            "let_in_at",
            postgresql_where=text("throttle_key IS NOT NULL"),
        ),
    )
    id: str = _text(key=True)
    subscription_id: str = _text(ForeignKey("subscriptions.id"))
    definition: str = _text()
    revision_id: str = _text(ForeignKey("revisions.id"))
    trigger: str = _text()
    firing_key: str = _text()
    workflow_id: str = _text()
    due_at: datetime = _moment()
    status: str = _text()
    reason: str | None = _text(nullable=True)
    ending: str | None = _text(nullable=True)
    params: dict[str, Any] = _json()
    context: dict[str, Any] = _json()
    state: dict[str, Any] = _json()
    payload: dict[str, Any] = _json()
    events: Any = _json(nullable=True)
    created_at: datetime = _moment()
    started_at: datetime | None = _moment(nullable=True)
    ended_at: datetime | None = _moment(nullable=True)
    cancel_requested_at: datetime | None = _moment(nullable=True)
    cancel_reason: str | None = _text(nullable=True)
    concurrency_key: str | None = _text(nullable=True)
    throttle_key: str | None = _text(nullable=True)
    let_in_at: datetime | None = _moment(nullable=True)


class Task(SQLModel, table=True):
    """One task instance of a run."""

    __tablename__: ClassVar[Any] = "tasks"
    __table_args__ = (
        UniqueConstraint("run_id", "name", "index"),
        CheckConstraint(
            "status in ('pending', 'running', 'waiting', 'succeeded', 'failed', 'skipped', "
            "'cancelled')",
            name="status",
        ),
    )
    id: str = _text(key=True)
    run_id: str = _text(ForeignKey("runs.id"))
    name: str = _text()
    index: int = _number()
    of: int | None = Field(sa_column=Column(Integer, nullable=True))
    phase: str = _text()
    kind: str = _text()
    status: str = _text()
    attempts: int = _number(0)
    failures: int = _number(0)
    input: Any = _json(nullable=True)
    output: Any = _json(nullable=True)
    error: str | None = _text(nullable=True)
    reason: str | None = _text(nullable=True)
    created_at: datetime = _moment()
    started_at: datetime | None = _moment(nullable=True)
    ended_at: datetime | None = _moment(nullable=True)


class LogEntry(SQLModel, table=True):
    """One line of a subscription's log; `transaction` orders it safely by commit."""

    __tablename__: ClassVar[Any] = "log_entries"
    __table_args__ = (
        Index("log_entries_place_index", "subscription_id", "transaction", "id"),
        Index(None, "run_id"),
    )
    id: int = Field(sa_column=Column(BigInteger, Identity(always=True), primary_key=True))
    transaction: int = Field(
        sa_column=Column(
            BigInteger,
            nullable=False,
            server_default=text("(pg_current_xact_id()::text)::bigint"),
        )
    )
    subscription_id: str = _text()
    run_id: str | None = _text(nullable=True)
    level: str = _text()
    message: str = _text()
    metadata_: dict[str, Any] = Field(
        sa_column=Column("metadata", JSONB, nullable=False, server_default=_NO_JSON)
    )
    created_at: datetime = _moment()


class DeadLetter(SQLModel, table=True):
    """A run that failed for good and waits for a person."""

    __tablename__: ClassVar[Any] = "dead_letters"
    id: str = _text(key=True)
    run_id: str = _text(ForeignKey("runs.id"))
    subscription_id: str = _text(ForeignKey("subscriptions.id"))
    reason: str = _text()
    created_at: datetime = _moment()


class Worker(SQLModel, table=True):
    """A worker process and when it was last heard of."""

    __tablename__: ClassVar[Any] = "workers"
    id: str = _text(key=True)
    host: str = _text()
    pid: int = _number()
    version: str = _text()
    started_at: datetime = _moment()
    seen_at: datetime = _moment()
