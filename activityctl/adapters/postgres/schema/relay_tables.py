"""The tables of relayed transactions: written down before they are sent."""

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import BigInteger, Column, ForeignKey, Index
from sqlmodel import Field, SQLModel

from activityctl.adapters.postgres.schema.columns import (
    json_column,
    moment_column,
    number_column,
    text_column,
)


def _big_column(*, nullable: bool = False, key: bool = False) -> Any:
    column = Column(BigInteger, nullable=nullable, primary_key=key, autoincrement=False)
    return Field(sa_column=column)


class RelayTransactionTable(SQLModel, table=True):
    """A signed transaction of a trigger; those with a higher number replace the ones before."""

    __tablename__: ClassVar[Any] = "relay_transactions"
    __table_args__ = (Index(None, "chain_id", "sender", "nonce"),)
    hook_key: str = text_column(ForeignKey("hooks.key", ondelete="CASCADE"), key=True)
    number: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    chain_id: int = _big_column()
    relayer: str = text_column()
    sender: str = text_column()
    nonce: int = _big_column()
    target: str = text_column()
    data: str = text_column()
    gas: int = _big_column()
    max_fee_wei: int = _big_column()
    priority_fee_wei: int = _big_column()
    hash: str = text_column()
    raw: str = text_column()
    state: str = text_column()
    signed_at: datetime = moment_column()
    sent_at: datetime | None = moment_column(nullable=True)
    ended_at: datetime | None = moment_column(nullable=True)
    block_number: int | None = _big_column(nullable=True)
    block_hash: str | None = text_column(nullable=True)
    reorgs: int = number_column(0)


class RelayerNonceTable(SQLModel, table=True):
    """The next nonce of a relayer on a chain; its row is locked while a nonce is assigned."""

    __tablename__: ClassVar[Any] = "relayer_nonces"
    chain_id: int = _big_column(key=True)
    sender: str = text_column(key=True)
    next: int = _big_column()


class RelayTaskTable(SQLModel, table=True):
    """A call that was handed to a relay service: its task there, and what it answered last."""

    __tablename__: ClassVar[Any] = "relay_tasks"
    hook_key: str = text_column(ForeignKey("hooks.key", ondelete="CASCADE"), key=True)
    url: str = text_column()
    task_id: str = text_column()
    posted_at: datetime = moment_column()
    response: Any = json_column(nullable=True)
