"""Runs statements in other databases, by SQLAlchemy and an installed driver, in a thread."""

import json
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from typing import Any

import sqlalchemy
from sqlalchemy.pool import NullPool

from activityctl.adapters.sql.rows import RowCollector, check_names, result
from activityctl.domain.bodies.sql_text import Parameter, changes_rows, returns_rows, sql_parts
from activityctl.errors import TaskError
from activityctl.ports import SqlBounds, SqlCommand, SqlResult

Interrupt = Callable[[], None]


def run(
    url: str,
    commands: Sequence[SqlCommand],
    bounds: SqlBounds,
    on_connected: Callable[[Interrupt], None],
) -> list[SqlResult]:
    """Run all commands in one transaction, blocking; `on_connected` gets what interrupts it."""
    engine = _engine(url)
    try:
        with engine.connect() as connection:
            driver: Any = connection.connection.dbapi_connection
            on_connected(lambda: _interrupt(driver))
            if bounds.read_only:
                _make_read_only(connection)
            collector = RowCollector(bounds)
            results = [_run(connection, command, collector) for command in commands]
            if bounds.read_only:
                connection.rollback()
            else:
                connection.commit()
            return results
    finally:
        engine.dispose()


def _engine(url: str) -> sqlalchemy.Engine:
    try:
        return sqlalchemy.create_engine(url, poolclass=NullPool)
    except (sqlalchemy.exc.ArgumentError, ValueError) as error:
        message = "the connection is not a URL such as postgresql://USER@HOST/DATABASE"
        raise TaskError(message, code="bad_input", retryable=False) from error
    except ImportError as error:
        name = sqlalchemy.make_url(url).drivername
        message = f"no driver for {name} is installed on the worker ({error})"
        raise TaskError(message, code="not_installed", retryable=False) from error


def _run(
    connection: sqlalchemy.Connection, command: SqlCommand, collector: RowCollector
) -> SqlResult:
    text, values = "", {}
    for part in sql_parts(command.statement):
        if isinstance(part, Parameter):
            text += f":{part.name}"
            values[part.name] = _adapted(command.parameters[part.name])
        else:
            text += part.replace(":", "\\:")
    one_by_one = returns_rows(command.statement) and not changes_rows(command.statement)
    query = sqlalchemy.text(text).execution_options(stream_results=one_by_one)
    with closing(connection.execute(query, values)) as found:
        if not found.returns_rows:
            return result(None, found.rowcount)
        cursor: Any = found.cursor
        names = [str(item[0]) for item in cursor.description or ()]
        check_names(names)
        rows = [collector.named(names, row) for row in found]
    return result(rows, len(rows))


def _adapted(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, dict | list) else value


def _make_read_only(connection: sqlalchemy.Connection) -> None:
    """Let the server refuse changes."""
    statement = {
        "sqlite": "PRAGMA query_only = ON",
        "postgresql": "SET TRANSACTION READ ONLY",
        "mysql": "SET TRANSACTION READ ONLY",
        "mariadb": "SET TRANSACTION READ ONLY",
        "oracle": "SET TRANSACTION READ ONLY",
    }.get(connection.dialect.name)
    if statement is None:
        name = connection.dialect.name
        message = f"a context source cannot be kept read-only in {name}; use a task of kind sql"
        raise TaskError(message, code="bad_input", retryable=False)
    connection.execute(sqlalchemy.text(statement))


def _interrupt(driver: Any) -> None:
    """End the statement that is at work, as far as the driver can."""
    for name in ("interrupt", "cancel"):
        method = getattr(driver, name, None)
        if callable(method):
            with suppress(Exception):
                method()
            return
    with suppress(Exception):
        driver.close()
