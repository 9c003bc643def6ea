"""The tables of EVM chains: what is read of them, and for which triggers."""

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import BigInteger, Column, ForeignKey, Identity, Index
from sqlmodel import Field, SQLModel

from activityctl.adapters.postgres.schema.columns import (
    json_column,
    moment_column,
    number_column,
    text_column,
)


def _block_column(*constraints: Any, nullable: bool = False, key: bool = False) -> Any:
    column = Column(
        BigInteger, *constraints, nullable=nullable, primary_key=key, autoincrement=False
    )
    return Field(sa_column=column)


class ChainTable(SQLModel, table=True):
    """A chain: its last known height, and why it is not known now."""

    __tablename__: ClassVar[Any] = "chains"
    chain_id: int = _block_column(key=True)
    head: int | None = _block_column(nullable=True)
    checked_at: datetime | None = moment_column(nullable=True)
    error: str | None = text_column(nullable=True)
    nodes: list[Any] | None = json_column(nullable=True)
    failing_since: datetime | None = moment_column(nullable=True)


class ChainReadingTable(SQLModel, table=True):
    """How far the logs of a chain are read: the number and the hash of the last block.

    It moves in the transaction that stores the events. A scan ends at `until_block`.
    """

    __tablename__: ClassVar[Any] = "chain_readings"
    __table_args__ = (Index(None, "chain_id"),)
    id: str = text_column(key=True)
    chain_id: int = _block_column()
    confirmations: int = number_column()
    number: int = _block_column()
    hash: str | None = text_column(nullable=True)
    until_block: int | None = _block_column(nullable=True)
    moved_at: datetime = moment_column()


class ChainBlockTable(SQLModel, table=True):
    """A block that was read lately, to find where a reorganisation began."""

    __tablename__: ClassVar[Any] = "chain_blocks"
    reading_id: str = text_column(ForeignKey("chain_readings.id", ondelete="CASCADE"), key=True)
    number: int = _block_column(key=True)
    hash: str = text_column()


class ChainWatchTable(SQLModel, table=True):
    """A trigger that watches a chain; its lane's logs count from the block after `after_block`.

    `place` grows with every change, so that the router reads its triggers again.
    """

    __tablename__: ClassVar[Any] = "chain_watches"
    subscription_id: str = text_column(ForeignKey("subscriptions.id"), key=True)
    trigger: str = text_column(key=True)
    chain_id: int = _block_column()
    confirmations: int = number_column()
    from_block: int | None = _block_column(nullable=True)
    after_block: int = _block_column()
    scan: str | None = text_column(nullable=True)
    place: int = Field(sa_column=Column(BigInteger, Identity(always=True), nullable=False))
    ended_at: datetime | None = moment_column(nullable=True)
