"""The SQL before and after the dump: what is replaced, what is checked, what is recorded.

Everything is one transaction, which psql commits with the last statement. If the dump ends early,
because a program was killed, nothing is committed.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, LiteralString

import psycopg
from psycopg import sql

from activityctl.adapters.postgres.backups.contents import CONTENT
from activityctl.adapters.postgres.rights import FUNCTIONS
from activityctl.domain.runs.worker import COUNTS_AS_ALIVE
from activityctl.domain.values.backup import TableContent

_UNKNOWN_SETTING: Final = re.compile(rb"^SET transaction_timeout = 0;\n", re.MULTILINE)
"""pg_restore of version 17 and later sets it; older servers refuse it."""
_KNOWS_TRANSACTION_TIMEOUT: Final = 17
_STEADY: LiteralString = """
SET client_min_messages = warning; SET statement_timeout = 0; SET lock_timeout = '60s';
SET idle_in_transaction_session_timeout = 0;
SET TimeZone = 'UTC'; SET DateStyle = 'ISO'; SET IntervalStyle = 'iso_8601';
SET bytea_output = 'hex'; SET extra_float_digits = 1;
"""
# A worker that starts may hold a lock of one table while it reads another, and neither would ever
# come to its end. So what is had already is let go after a short time, and taken again.
_TAKE: LiteralString = """
DO $restore$ DECLARE ends_at timestamptz := clock_timestamp() + interval '60 s'; BEGIN
    LOOP
        BEGIN
            PERFORM set_config('lock_timeout', '2s', true);
            LOCK TABLE {tables} IN ACCESS EXCLUSIVE MODE;
            RETURN;
        EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
            IF clock_timestamp() > ends_at THEN
                RAISE;
            END IF;
        END;
        PERFORM pg_sleep(0.5);
    END LOOP;
END $restore$;
"""
WORKER_STARTED: Final = "a worker has started meanwhile"
_REFUSE_WORKERS: LiteralString = """
DO $restore$ BEGIN
    IF EXISTS (SELECT FROM {workers} WHERE seen_at >= clock_timestamp() - {alive}::interval) THEN
        RAISE EXCEPTION {reason};
    END IF;
END $restore$;
"""
_CHECK: LiteralString = """
DO $restore$ DECLARE found record; BEGIN
    {content};
    IF (found.rows, found.content) IS DISTINCT FROM ({rows}::bigint, {hash}::text) THEN
        RAISE EXCEPTION 'the table % is not as it was backed up: % rows', {name}, found.rows;
    END IF;
END $restore$;
"""
# The order of log lines is that of the transactions of one server. On another server, whose
# numbers are lower, the restored lines would be taken for the future. A log begins at 0: lines that
# would come before get this number, and keep their order by their ids.
_LOG_ORDER: LiteralString = """
DO $restore$ DECLARE highest bigint; ours bigint := (pg_current_xact_id()::text)::bigint; BEGIN
    SELECT max(transaction) INTO highest FROM {log_entries};
    IF highest >= ours THEN
        UPDATE {log_entries} SET transaction = greatest(transaction - (highest - ours + 1), 0);
    END IF;
END $restore$;
"""
RESTORES: LiteralString = """
CREATE TABLE IF NOT EXISTS {restores} (
    id text NOT NULL CONSTRAINT restores_pkey PRIMARY KEY,
    fenced_until timestamptz,
    taken_at timestamptz NOT NULL,
    restored_at timestamptz,
    settled_at timestamptz,
    ended jsonb
);
"""
_RECORD: LiteralString = """
DELETE FROM {restores} WHERE restored_at IS NULL;
INSERT INTO {restores} (id, taken_at, restored_at) VALUES ({id}, {taken_at}, clock_timestamp());
"""


def opening(
    schema: str, present: Sequence[str], server_major: int, *, connection: psycopg.Connection[Any]
) -> bytes:
    """Return what comes before the dump: our tables and functions are dropped."""
    parts: list[sql.Composable] = [sql.SQL(_STEADY)]
    if server_major >= _KNOWS_TRANSACTION_TIMEOUT:
        parts.append(sql.SQL("SET transaction_timeout = 0;\n"))
    parts.append(sql.SQL("BEGIN;\n"))
    tables = sql.SQL(", ").join(sql.Identifier(schema, table) for table in present)
    if present:
        parts.append(sql.SQL(_TAKE).format(tables=tables))
    if "workers" in present:
        parts.append(
            sql.SQL(_REFUSE_WORKERS).format(
                workers=sql.Identifier(schema, "workers"),
                alive=sql.Literal(str(COUNTS_AS_ALIVE)),
                reason=sql.Literal(WORKER_STARTED),
            )
        )
    if present:
        parts.append(sql.SQL("DROP TABLE {};\n").format(tables))
    parts += [_dropped(name) for name in _functions(schema)]
    return sql.Composed(parts).as_bytes(connection)


def closing(
    schema: str,
    tables: Mapping[str, TableContent],
    restore: tuple[str, datetime],
    *,
    connection: psycopg.Connection[Any],
) -> bytes:
    """Return what comes after the dump: it is checked, recorded and committed."""
    parts: list[sql.Composable] = [sql.SQL(_STEADY)]
    for name, content in tables.items():
        parts.append(_check(schema, name, content))
    if "log_entries" in tables:
        table = sql.Identifier(schema, "log_entries")
        parts.append(sql.SQL(_LOG_ORDER).format(log_entries=table))
    parts += [_for_nobody(name) for name in _functions(schema)]
    key, taken_at = restore
    restores = sql.Identifier(schema, "restores")
    parts.append(sql.SQL(RESTORES).format(restores=restores))
    parts.append(
        sql.SQL(_RECORD).format(
            restores=restores, id=sql.Literal(key), taken_at=sql.Literal(taken_at.isoformat())
        )
    )
    parts.append(sql.SQL("COMMIT;\n"))
    return sql.Composed(parts).as_bytes(connection)


def for_older_server(parts: Iterator[bytes], server_major: int) -> Iterator[bytes]:
    """Yield the script of pg_restore without what an older server does not know."""
    first = next(parts, b"")
    if server_major < _KNOWS_TRANSACTION_TIMEOUT:
        first = _UNKNOWN_SETTING.sub(b"", first, count=1)
    yield first
    yield from parts


def _check(schema: str, name: str, content: TableContent) -> sql.Composable:
    query = sql.SQL(CONTENT).format(sql.Identifier(schema, name))
    return sql.SQL(_CHECK).format(
        content=sql.SQL("SELECT * INTO found FROM ({}) AS content").format(query),
        rows=sql.Literal(content.rows),
        hash=sql.Literal(content.content),
        name=sql.Literal(name),
    )


def _dropped(function: str) -> sql.Composable:
    query: Any = f"DROP FUNCTION IF EXISTS {function};\n"
    return sql.SQL(query)


def _for_nobody(function: str) -> sql.Composable:
    """Take a function from everybody: a new function may be called by any login.

    An older backup may not have it.
    """
    return sql.SQL(
        "DO $restore$ BEGIN IF to_regprocedure({name}) IS NOT NULL THEN "
        "EXECUTE 'REVOKE ALL ON FUNCTION ' || {name} || ' FROM PUBLIC'; END IF; END $restore$;\n"
    ).format(name=sql.Literal(function))


def _functions(schema: str) -> list[str]:
    return [f"{sql.Identifier(schema).as_string()}.{signature}" for signature in FUNCTIONS]
