"""The tables of locks. To lock one of them needs a right to it; an advisory lock needs none."""

from typing import Final

from sqlalchemy import Column, Integer, Table
from sqlmodel import SQLModel

LOCKS: Final = ("catalog", "router", "reconciler", "drift", "backfills", "chains")
"""Each has a table of its own, without rows, which is locked as a whole."""

for _name in LOCKS:
    Table(
        f"{_name}_lock",
        SQLModel.metadata,
        Column("id", Integer, primary_key=True, autoincrement=False),
    )
Table(
    "gate_locks",
    SQLModel.metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
)
