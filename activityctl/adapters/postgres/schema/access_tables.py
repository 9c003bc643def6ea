"""The tables of the tokens of the HTTP API, and of the record of changes."""

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import Index, UniqueConstraint, text
from sqlmodel import SQLModel

from activityctl.adapters.postgres.schema.columns import json_column, moment_column, text_column


class ApiTokenTable(SQLModel, table=True):
    """One token; its text is not kept."""

    __tablename__: ClassVar[Any] = "api_tokens"
    __table_args__ = (UniqueConstraint("name"),)
    id: str = text_column(key=True)
    name: str = text_column()
    digest: str = text_column()
    scopes: Any = json_column()
    created_at: datetime = moment_column()
    created_by: str = text_column()
    expires_at: datetime | None = moment_column(nullable=True)
    revoked_at: datetime | None = moment_column(nullable=True)
    last_used_at: datetime | None = moment_column(nullable=True)
    last_used_from: str | None = text_column(nullable=True)


class AuditEntryTable(SQLModel, table=True):
    """Who changed what, when and from where."""

    __tablename__: ClassVar[Any] = "audit_entries"
    __table_args__ = (
        Index(None, "at"),
        Index(None, "closes", postgresql_where=text("closes IS NOT NULL")),
    )
    id: str = text_column(key=True)
    at: datetime = moment_column()
    actor: str = text_column()
    action: str = text_column()
    target: str = text_column()
    outcome: str = text_column()
    address: str | None = text_column(nullable=True)
    request_id: str | None = text_column(nullable=True)
    details: Any = json_column()
    closes: str | None = text_column(nullable=True)
