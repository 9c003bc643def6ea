"""The tables of events, verdicts and gatherings."""

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Identity,
    Index,
    Text,
    UniqueConstraint,
    text,
)
from sqlmodel import Field, SQLModel

from activityctl.adapters.postgres.schema.columns import (
    json_column,
    moment_column,
    text_column,
)


class EventTable(SQLModel, table=True):
    """A stored event with its whole document; `place` is the order of arrival."""

    __tablename__: ClassVar[Any] = "events"
    __table_args__ = (
        Index("events_unrouted_index", "place", postgresql_where=text("routed_at IS NULL")),
        Index(None, "arrived_at"),
        Index(None, "type", "arrived_at"),
        Index(None, "event_id"),
    )
    id: str = text_column(key=True)
    place: int = Field(
        sa_column=Column(BigInteger, Identity(always=True), nullable=False, unique=True)
    )
    source: str = text_column()
    event_id: str = text_column()
    type: str = text_column()
    subject: str | None = text_column(nullable=True)
    occurred_at: datetime | None = moment_column(nullable=True)
    arrived_at: datetime = moment_column()
    digest: str = text_column()
    document: dict[str, Any] = json_column()
    routed_at: datetime | None = moment_column(nullable=True)


class VerdictTable(SQLModel, table=True):
    """The verdict on an event at a trigger, with its reason; `feed` is the replay, or empty."""

    __tablename__: ClassVar[Any] = "verdicts"
    __table_args__ = (
        Index(None, "subscription_id", "created_at"),
        Index("verdicts_errors_index", "created_at", postgresql_where=text("outcome = 'error'")),
    )
    event_id: str = Field(
        sa_column=Column(Text, ForeignKey("events.id", ondelete="CASCADE"), primary_key=True)
    )
    subscription_id: str = text_column(ForeignKey("subscriptions.id"), key=True)
    trigger: str = text_column(key=True)
    feed: str = Field(sa_column=Column(Text, primary_key=True, server_default=text("''")))
    outcome: str = text_column()
    reason: str | None = text_column(nullable=True)
    firing_key: str | None = text_column(nullable=True)
    created_at: datetime = moment_column()


class GatheringTable(SQLModel, table=True):
    """The events that a trigger has gathered under a key and that wait for others."""

    __tablename__: ClassVar[Any] = "gatherings"
    __table_args__ = (
        UniqueConstraint("subscription_id", "trigger", "key"),
        Index("gatherings_due_at_index", "due_at"),
    )
    id: str = text_column(key=True)
    subscription_id: str = text_column(ForeignKey("subscriptions.id"))
    trigger: str = text_column()
    key: str = text_column()
    state: dict[str, Any] = json_column()
    due_at: datetime | None = moment_column(nullable=True)
    opened_at: datetime = moment_column()
    updated_at: datetime = moment_column()
