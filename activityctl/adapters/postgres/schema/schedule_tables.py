"""The tables of schedules and of the alarms that they share."""

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import Boolean, Column, DateTime, ForeignKey, Index, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from activityctl.adapters.postgres.schema.columns import (
    json_column,
    moment_column,
    number_column,
    text_column,
)


class ScheduleTable(SQLModel, table=True):
    """A trigger of a subscription that follows the clock, and the progress of its times.

    Every nominal time up to `cursor` is decided; `next_at` is the next one. `fired` counts the
    firings of nominal times after `counts_after`. `alarm_id` says which alarm wakes us for it; it
    is NULL if the stored trigger cannot be read. `is_active` follows the subscription.
    """

    __tablename__: ClassVar[Any] = "schedules"
    __table_args__ = (
        UniqueConstraint("subscription_id", "trigger"),
        Index("schedules_next_at_index", "next_at", postgresql_where=text("next_at IS NOT NULL")),
        Index(
            "schedules_alarm_index",
            "alarm_id",
            "next_at",
            postgresql_where=text("is_active AND next_at IS NOT NULL"),
        ),
    )
    id: str = text_column(key=True)
    subscription_id: str = text_column(ForeignKey("subscriptions.id"))
    trigger: str = text_column()
    kind: str = text_column()
    body: dict[str, Any] = json_column()
    alarm_id: str | None = text_column(nullable=True)
    is_active: bool = Field(sa_column=Column(Boolean, nullable=False, server_default=text("true")))
    cursor: datetime = Field(
        sa_column=Column(DateTime(timezone=True), nullable=False, server_default=text("now()"))
    )
    next_at: datetime | None = moment_column(nullable=True)
    fired: int = number_column(0)
    counts_after: datetime | None = moment_column(nullable=True)


class AlarmTable(SQLModel, table=True):
    """A schedule of Temporal's that we have created or are about to; `schedules` say which we want.

    `observed_at` is when Temporal was seen to hold it; NULL while it is to be created or deleted.
    `wakes` counts the times in a row at which it did not ring. Until `rings_until` a call is at
    work on what is due.
    """

    __tablename__: ClassVar[Any] = "alarms"
    id: str = text_column(key=True)
    observed_at: datetime | None = moment_column(nullable=True)
    error: str | None = text_column(nullable=True)
    rings_until: datetime | None = moment_column(nullable=True)
    wakes: int = number_column(0)
    restarts: int = number_column(0)
    restarted_at: datetime | None = moment_column(nullable=True)
