"""The tables of definitions, subscriptions, calendars and their history."""

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    UniqueConstraint,
)
from sqlmodel import Field, SQLModel

from activityctl.adapters.postgres.schema.columns import (
    json_column,
    moment_column,
    number_column,
    text_column,
)


class DefinitionTable(SQLModel, table=True):
    """An ActivityDefinition and its current revision."""

    __tablename__: ClassVar[Any] = "definitions"
    name: str = text_column(key=True)
    revision_id: str = text_column()
    labels: dict[str, Any] = json_column()
    annotations: dict[str, Any] = json_column()
    created_at: datetime = moment_column()
    updated_at: datetime = moment_column()
    deleted_at: datetime | None = moment_column(nullable=True)
    applyset: str | None = text_column(nullable=True)


class RevisionTable(SQLModel, table=True):
    """One immutable content of a definition."""

    __tablename__: ClassVar[Any] = "revisions"
    __table_args__ = (UniqueConstraint("definition", "number"),)
    id: str = text_column(key=True)
    definition: str = text_column()
    number: int = number_column()
    spec: dict[str, Any] = json_column()
    created_at: datetime = moment_column()


class SubscriptionTable(SQLModel, table=True):
    """A subscription to a definition."""

    __tablename__: ClassVar[Any] = "subscriptions"
    __table_args__ = (
        UniqueConstraint("name"),
        CheckConstraint("status in ('active', 'paused', 'deleted')", name="status"),
        Index(None, "definition"),
    )
    id: str = text_column(key=True)
    name: str = text_column()
    definition: str = text_column(ForeignKey("definitions.name"))
    params: dict[str, Any] = json_column()
    triggers: dict[str, Any] = json_column()
    account: Any = json_column(nullable=True)
    labels: dict[str, Any] = json_column()
    annotations: dict[str, Any] = json_column()
    status: str = text_column()
    state: dict[str, Any] = json_column()
    created_at: datetime = moment_column()
    updated_at: datetime = moment_column()
    applyset: str | None = text_column(nullable=True)
    failures: int = number_column(0)
    pause_reason: str | None = text_column(nullable=True)
    paused_at: datetime | None = moment_column(nullable=True)
    paused_by_run: str | None = text_column(nullable=True)


class CalendarTable(SQLModel, table=True):
    """Named days; a trigger can exclude them."""

    __tablename__: ClassVar[Any] = "calendars"
    name: str = text_column(key=True)
    days: Any = json_column()
    labels: dict[str, Any] = json_column()
    annotations: dict[str, Any] = json_column()
    created_at: datetime = moment_column()
    updated_at: datetime = moment_column()
    deleted_at: datetime | None = moment_column(nullable=True)
    applyset: str | None = text_column(nullable=True)


class ApplyTable(SQLModel, table=True):
    """One command that changed the catalog."""

    __tablename__: ClassVar[Any] = "applies"
    id: int = Field(sa_column=Column(BigInteger, Identity(always=True), primary_key=True))
    command: str = text_column()
    actor: str = text_column()
    source_commit: str | None = text_column(nullable=True)
    applyset: str | None = text_column(nullable=True)
    created_at: datetime = moment_column()


class AnsweredRequestTable(SQLModel, table=True):
    """What a request with an idempotency key has changed; kept for a day."""

    __tablename__: ClassVar[Any] = "answered_requests"
    __table_args__ = (Index(None, "at"),)
    actor: str = text_column(key=True)
    key: str = text_column(key=True)
    digest: str = text_column()
    content: Any = json_column()
    at: datetime = moment_column()


class ApplyChangeTable(SQLModel, table=True):
    """The change of one object by one command; a rollback reads its document from here."""

    __tablename__: ClassVar[Any] = "apply_changes"
    __table_args__ = (UniqueConstraint("kind", "name", "number"),)
    id: int = Field(sa_column=Column(BigInteger, Identity(always=True), primary_key=True))
    apply_id: int = Field(
        sa_column=Column(BigInteger, ForeignKey("applies.id"), nullable=False, index=True)
    )
    kind: str = text_column()
    name: str = text_column()
    number: int = number_column()
    action: str = text_column()
    fields: Any = json_column()
    document: Any = json_column(nullable=True)
    revision_id: str | None = text_column(nullable=True)
