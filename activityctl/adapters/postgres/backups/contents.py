"""What is in a database of ours: its tables, their rows, and a hash of each table."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, LiteralString

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from activityctl.adapters.postgres.connection_url import secured
from activityctl.adapters.postgres.database import translate_errors
from activityctl.adapters.postgres.rights import TABLES
from activityctl.adapters.postgres.schema.roles import SELECT_GRANTEES, known_prefixes
from activityctl.adapters.postgres.watched_connection import KEEPALIVE_OPTIONS
from activityctl.domain.values.backup import TableContent

Connection = psycopg.Connection[TupleRow]
LEFT_OUT: Final = ("workers",)
"""Tables whose rows are not backed up: they say which processes run now."""
_STEADY: LiteralString = """
    SET TimeZone = 'UTC'; SET DateStyle = 'ISO'; SET IntervalStyle = 'iso_8601';
    SET bytea_output = 'hex'; SET extra_float_digits = 1; SET statement_timeout = 0;
    SET idle_in_transaction_session_timeout = 0; SET lock_timeout = 0"""
"""Texts of values must not depend on settings of the server or the login."""
_COUNT: LiteralString = "SELECT count(*) FROM {}"
_SCHEMA: LiteralString = "SELECT current_schema()"
_TABLES: LiteralString = """
    SELECT c.relname, c.relname = ANY(%s) FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND n.nspname = current_schema() ORDER BY 1"""
CONTENT: LiteralString = (
    "SELECT count(*) AS rows, "
    "coalesce(sum(('x' || substr(md5(t::text), 1, 15))::bit(60)::bigint), 0)::text AS content "
    "FROM {} AS t"
)
"""The count and the hash; a sum does not depend on the order of the rows."""


@contextmanager
def steady_connection(url: str) -> Iterator[Connection]:
    """Connect in autocommit mode, with settings that do not depend on the server."""
    with (
        translate_errors(),
        psycopg.connect(secured(url), autocommit=True, **KEEPALIVE_OPTIONS) as connection,
    ):
        connection.execute(_STEADY)
        yield connection


def schema_of(connection: Connection) -> str:
    """Return the schema of Postgres in which our tables are."""
    return str(one_row(connection, _SCHEMA)[0])


def server_major(connection: Connection) -> int:
    """Return the major version of the server."""
    return connection.info.server_version // 10_000


def revision_of(connection: Connection) -> str | None:
    """Return the revision of our schema; None if the database has no tables of ours."""
    if "alembic_version" not in our_tables(connection):
        return None
    found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return None if found is None else str(found[0])


def our_tables(connection: Connection) -> list[str]:
    """Return our tables in the schema, sorted."""
    return [name for name, is_ours in _tables(connection) if is_ours]


def tables_of_others(connection: Connection) -> list[str]:
    """Return the tables in the schema that are not ours, sorted."""
    return [name for name, is_ours in _tables(connection) if not is_ours]


def role_prefixes_of(connection: Connection) -> tuple[str, ...]:
    """Return the prefixes of the group roles that have rights in the database."""
    grantees = connection.execute(SELECT_GRANTEES).fetchall()
    return tuple(known_prefixes(str(name) for (name,) in grantees))


def row_counts(connection: Connection) -> dict[str, int]:
    """Return how many rows each of our tables has."""
    return {
        name: int(one_row(connection, sql.SQL(_COUNT).format(sql.Identifier(name)))[0])
        for name in our_tables(connection)
    }


def contents(
    connection: Connection, tell: Callable[[str], None] = lambda _: None
) -> Mapping[str, TableContent]:
    """Return rows and hash of each of our tables that are backed up."""
    found = {}
    for name in our_tables(connection):
        if name in LEFT_OUT:
            continue
        tell(name)
        rows, content = one_row(connection, sql.SQL(CONTENT).format(sql.Identifier(name)))
        found[name] = TableContent(int(rows), str(content))
    return found


def _tables(connection: Connection) -> list[tuple[str, bool]]:
    rows = connection.execute(_TABLES, (list(TABLES),)).fetchall()
    return [(str(name), bool(is_ours)) for name, is_ours in rows]


def one_row(connection: Connection, query: Any) -> TupleRow:
    """Return the row of a query that has always one."""
    (row,) = connection.execute(query).fetchall()
    return row
