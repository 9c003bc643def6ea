"""The tables of the triggers of executors."""

from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar

from sqlalchemy import Column, ForeignKey, Index, Numeric, UniqueConstraint
from sqlmodel import Field, SQLModel

from activityctl.adapters.postgres.schema.columns import (
    json_column,
    moment_column,
    number_column,
    text_column,
)


class HookTable(SQLModel, table=True):
    """One trigger of an executor: what was sent, what came back, and what became of it."""

    __tablename__: ClassVar[Any] = "hooks"
    __table_args__ = (Index(None, "subscription_id", "created_at"), Index(None, "run_id"))
    key: str = text_column(key=True)
    subscription_id: str = text_column(ForeignKey("subscriptions.id"))
    run_id: str = text_column()
    request_id: str = text_column()
    payload: Any = json_column()
    created_at: datetime = moment_column()
    request: str | None = text_column(nullable=True)
    response: str | None = text_column(nullable=True)
    answered_at: datetime | None = moment_column(nullable=True)
    outcome: Any = json_column(nullable=True)
    executed_request: str | None = text_column(nullable=True)
    executed_response: str | None = text_column(nullable=True)
    closed_at: datetime | None = moment_column(nullable=True)


class HookCountTable(SQLModel, table=True):
    """How many triggers of a subscription its executor has answered, and the last of them."""

    __tablename__: ClassVar[Any] = "hook_counts"
    subscription_id: str = text_column(ForeignKey("subscriptions.id"), key=True)
    count: int = number_column()
    last_at: datetime = moment_column()
    last_request_id: str = text_column()


class SpendTable(SQLModel, table=True):
    """What one execution spends of one asset."""

    __tablename__: ClassVar[Any] = "spends"
    __table_args__ = (Index(None, "subscription_id", "asset", "at"),)
    request_id: str = text_column(key=True)
    asset: str = text_column(key=True)
    subscription_id: str = text_column(ForeignKey("subscriptions.id"))
    amount: Decimal = Field(sa_column=Column(Numeric(78, 0), nullable=False))
    at: datetime = moment_column()


class SignedCallTable(SQLModel, table=True):
    """For which trigger the signer has signed; it stays when the trigger is removed."""

    __tablename__: ClassVar[Any] = "signed_calls"
    __table_args__ = (UniqueConstraint("request_id"),)
    hook_key: str = text_column(key=True)
    request_id: str = text_column()
    subscription_id: str = text_column(ForeignKey("subscriptions.id"))
    at: datetime = moment_column()
    signature: str | None = text_column(nullable=True)
    transaction_hash: str | None = text_column(nullable=True)
