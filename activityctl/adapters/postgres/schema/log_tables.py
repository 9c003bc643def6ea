"""The tables of the log, of dead letters, and of what people do with them."""

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from activityctl.adapters.postgres.schema.columns import (
    EMPTY_JSON,
    json_column,
    moment_column,
    text_column,
)


class RestoreTable(SQLModel, table=True):
    """A restore of the database from a backup; the row `fence` keeps workers away meanwhile."""

    __tablename__: ClassVar[Any] = "restores"
    id: str = text_column(key=True)
    fenced_until: datetime | None = moment_column(nullable=True)
    taken_at: datetime = moment_column()
    restored_at: datetime | None = moment_column(nullable=True)
    settled_at: datetime | None = moment_column(nullable=True)
    ended: dict[str, Any] | None = json_column(nullable=True)


class LogEntryTable(SQLModel, table=True):
    """An entry of a subscription's log.

    Readers order by `transaction`, so that they miss no entry of a late commit.
    """

    __tablename__: ClassVar[Any] = "log_entries"
    __table_args__ = (
        Index("log_entries_place_index", "subscription_id", "transaction", "id"),
        Index("log_entries_run_index", "run_id", "transaction", "id"),
        Index("log_entries_time_index", "subscription_id", "created_at"),
        Index(
            "log_entries_trouble_index",
            "subscription_id",
            "transaction",
            "id",
            postgresql_where=text("level IN ('warning', 'error')"),
        ),
    )
    id: int = Field(sa_column=Column(BigInteger, Identity(always=True), primary_key=True))
    transaction: int = Field(
        sa_column=Column(
            BigInteger,
            nullable=False,
            server_default=text("(pg_current_xact_id()::text)::bigint"),
        )
    )
    subscription_id: str = text_column()
    run_id: str | None = text_column(nullable=True)
    level: str = text_column()
    message: str = text_column()
    metadata_: dict[str, Any] = Field(
        sa_column=Column("metadata", JSONB, nullable=False, server_default=EMPTY_JSON)
    )
    created_at: datetime = moment_column()


class DeadLetterTable(SQLModel, table=True):
    """A run that failed and is not tried again; an operator has to look at it."""

    __tablename__: ClassVar[Any] = "dead_letters"
    __table_args__ = (
        Index(None, "created_at"),
        Index("dead_letters_subscription_index", "subscription_id", "created_at"),
        Index(None, "run_id"),
    )
    id: str = text_column(key=True)
    run_id: str = text_column(ForeignKey("runs.id"))
    subscription_id: str = text_column(ForeignKey("subscriptions.id"))
    reason: str = text_column()
    created_at: datetime = moment_column()


class LetterActionTable(SQLModel, table=True):
    """What was done with a dead letter.

    `run_id` is the run of a retry, which comes later, or the replay that has succeeded.
    """

    __tablename__: ClassVar[Any] = "letter_actions"
    __table_args__ = (
        CheckConstraint("action in ('retried', 'discarded', 'replayed')", name="action"),
        Index(
            "letter_actions_run_id_index",
            "run_id",
            unique=True,
            postgresql_where=text("action = 'retried'"),
        ),
    )
    letter_id: str = text_column(ForeignKey("dead_letters.id"), key=True)
    number: int = Field(sa_column=Column(Integer, nullable=False, primary_key=True))
    action: str = text_column()
    actor: str = text_column()
    reason: str | None = text_column(nullable=True)
    run_id: str | None = text_column(nullable=True)
    new_revision: bool = Field(sa_column=Column(Boolean, nullable=False))
    new_keys: bool = Field(sa_column=Column(Boolean, nullable=False))
    created_at: datetime = moment_column()
