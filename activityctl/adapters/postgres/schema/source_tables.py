"""The tables of event sources: their manifests, and what came to them."""

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import BigInteger, Column, Identity, Index, text
from sqlmodel import Field, SQLModel

from activityctl.adapters.postgres.schema.columns import (
    json_column,
    moment_column,
    number_column,
    text_column,
)


def _count() -> Any:
    return Field(sa_column=Column(BigInteger, nullable=False, server_default=text("0")))


class EventSourceTable(SQLModel, table=True):
    """An address whose web hooks become events."""

    __tablename__: ClassVar[Any] = "event_sources"
    name: str = text_column(key=True)
    spec: dict[str, Any] = json_column()
    labels: dict[str, Any] = json_column()
    annotations: dict[str, Any] = json_column()
    created_at: datetime = moment_column()
    updated_at: datetime = moment_column()
    deleted_at: datetime | None = moment_column(nullable=True)
    applyset: str | None = text_column(nullable=True)


class SourceTrafficTable(SQLModel, table=True):
    """How many requests and events came to an event source."""

    __tablename__: ClassVar[Any] = "source_traffic"
    source: str = text_column(key=True)
    accepted: int = _count()
    duplicates: int = _count()
    challenges: int = _count()
    ignored: int = _count()
    refused: int = _count()
    last_accepted_at: datetime | None = moment_column(nullable=True)
    last_refused_at: datetime | None = moment_column(nullable=True)


class RefusedRequestTable(SQLModel, table=True):
    """One of the last requests that an event source refused; without its content."""

    __tablename__: ClassVar[Any] = "refused_requests"
    __table_args__ = (Index(None, "source", "id"), Index(None, "at"))
    id: int = Field(sa_column=Column(BigInteger, Identity(always=True), primary_key=True))
    source: str = text_column()
    at: datetime = moment_column()
    code: str = text_column()
    reason: str = text_column()
    status: int = number_column()
    method: str = text_column()
    content_type: str = text_column()
    size: int = number_column()
    sha256: str = text_column()
    sender: str | None = text_column(nullable=True)
