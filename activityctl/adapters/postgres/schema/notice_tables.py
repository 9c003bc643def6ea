"""The tables of notices: what is to be told of subscriptions, and what they must recover from."""

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Identity, Index
from sqlmodel import Field, SQLModel

from activityctl.adapters.postgres.schema.columns import (
    json_column,
    moment_column,
    number_column,
    text_column,
)


class NoticeTable(SQLModel, table=True):
    """Something to tell of a subscription; it is removed when it is told."""

    __tablename__: ClassVar[Any] = "notices"
    id: int = Field(sa_column=Column(BigInteger, Identity(always=True), primary_key=True))
    subscription_id: str = text_column(ForeignKey("subscriptions.id"))
    kind: str = text_column()
    items: Any = json_column()
    count: int = number_column()
    created_at: datetime = moment_column()
    batch: str | None = text_column(nullable=True)


class TroubleTable(SQLModel, table=True):
    """Failures or misses of a subscription since a run of it succeeded."""

    __tablename__: ClassVar[Any] = "troubles"
    __table_args__ = (
        CheckConstraint("kind in ('failed', 'missed')", name="kind"),
        Index(None, "subscription_id"),
    )
    id: int = Field(sa_column=Column(BigInteger, Identity(always=True), primary_key=True))
    subscription_id: str = text_column(ForeignKey("subscriptions.id"))
    kind: str = text_column()
    count: int = number_column()
    created_at: datetime = moment_column()
