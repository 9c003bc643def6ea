"""Columns as every table writes them, and the one MetaData that knows the tables."""

from typing import Any

from sqlalchemy import Column, DateTime, Integer, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

NAMING = {
    "ix": "%(table_name)s_%(column_0_N_name)s_index",
    "uq": "%(table_name)s_%(column_0_N_name)s_key",
    "ck": "%(table_name)s_%(constraint_name)s_check",
    "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
    "pk": "%(table_name)s_pkey",
}
SQLModel.metadata.naming_convention = NAMING

NO_JSON = text("'{}'::jsonb")


def text_column(*constraints: Any, nullable: bool = False, key: bool = False) -> Any:
    """A text; part of the primary key with `key`."""
    return Field(sa_column=Column(Text, *constraints, nullable=nullable, primary_key=key))


def moment_column(*, nullable: bool = False) -> Any:
    """A point in time, in UTC."""
    return Field(sa_column=Column(DateTime(timezone=True), nullable=nullable))


def json_column(*, nullable: bool = False) -> Any:
    """JSON; an empty object unless nullable."""
    default = None if nullable else NO_JSON
    return Field(sa_column=Column(JSONB, nullable=nullable, server_default=default))


def number_column(default: int | None = None) -> Any:
    """A whole number, with its default in the database if it has one."""
    given = None if default is None else text(str(default))
    return Field(sa_column=Column(Integer, nullable=False, server_default=given))
