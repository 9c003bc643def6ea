"""Functions that declare columns, and the naming convention of the one MetaData object."""

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

EMPTY_JSON = text("'{}'::jsonb")


def text_column(*constraints: Any, nullable: bool = False, key: bool = False) -> Any:
    """Return a text column; with `key` it is part of the primary key."""
    return Field(sa_column=Column(Text, *constraints, nullable=nullable, primary_key=key))


def moment_column(*, nullable: bool = False) -> Any:
    """Return a column for a point in time, in UTC."""
    return Field(sa_column=Column(DateTime(timezone=True), nullable=nullable))


def json_column(*, nullable: bool = False) -> Any:
    """Return a JSON column; its default is an empty object unless it is nullable."""
    default = None if nullable else EMPTY_JSON
    return Field(sa_column=Column(JSONB, nullable=nullable, server_default=default))


def number_column(default: int | None = None) -> Any:
    """Return an integer column, with a default in the database if one is given."""
    server_default = None if default is None else text(str(default))
    return Field(sa_column=Column(Integer, nullable=False, server_default=server_default))
