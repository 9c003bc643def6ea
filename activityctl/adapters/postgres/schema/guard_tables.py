"""The tables of breakers and limits, and of the tasks that they hold up."""

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import BigInteger, CheckConstraint, Column, DateTime, Identity, Index, text
from sqlmodel import Field, SQLModel

from activityctl.adapters.postgres.schema.columns import (
    json_column,
    moment_column,
    number_column,
    text_column,
)


class BreakerTable(SQLModel, table=True):
    """The state of a circuit breaker, which all workers share. Without a row, it is closed."""

    __tablename__: ClassVar[Any] = "breakers"
    __table_args__ = (CheckConstraint("status in ('closed', 'open', 'half_open')", name="status"),)
    name: str = text_column(key=True)
    status: str = text_column()
    changed_at: datetime = moment_column()
    reason: str | None = text_column(nullable=True)
    open_until: datetime | None = moment_column(nullable=True)
    probes: dict[str, Any] = json_column()
    succeeded: int = number_column(0)
    openings: int = number_column(0)


class LimitTable(SQLModel, table=True):
    """How far a limit is used up: the theoretical arrival time of GCRA."""

    __tablename__: ClassVar[Any] = "limits"
    name: str = text_column(key=True)
    used_until: datetime | None = moment_column(nullable=True)


class HoldTable(SQLModel, table=True):
    """A task or a lookup that a breaker or a limit holds up, and when it asks again.

    `place` is its place in the order of arrival; `slot_at` is when the rate lets it begin.
    """

    __tablename__: ClassVar[Any] = "holds"
    __table_args__ = (
        Index(
            "holds_limit_index",
            "limit_name",
            "place",
            postgresql_where=text("limit_name IS NOT NULL"),
        ),
    )
    task_id: str = text_column(key=True)
    place: int = Field(sa_column=Column(BigInteger, Identity(always=True), nullable=False))
    breaker: str | None = text_column(nullable=True)
    limit_name: str | None = text_column(nullable=True)
    slot_at: datetime | None = moment_column(nullable=True)
    look_at: datetime = moment_column()
    since: datetime = Field(
        sa_column=Column(
            DateTime(timezone=True), nullable=False, server_default=text("clock_timestamp()")
        )
    )
