"""DatabaseClient: chooses the driver by the URL, keeps the time limit, and explains errors."""

import asyncio
import os
import socket
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from typing import Any, Final, TypeVar

from activityctl.domain.values.untrusted import printable
from activityctl.errors import TaskError
from activityctl.ports import SqlBounds, SqlCommand, SqlResult

STOP_SECONDS: Final = 6.0
"""How long a database may take to end a statement; then the connection is cut."""
_POSTGRES: Final = ("postgresql://", "postgres://")
_TEMPORARY_CLASSES: Final = ("08", "40", "53", "57", "58")
"""Classes of SQLSTATE after which another attempt may succeed: lost connections, deadlocks, …"""
_Result = TypeVar("_Result")


class DatabaseClient:
    """Runs statements in Postgres by psycopg, in other databases by SQLAlchemy."""

    async def run(
        self, url: str, commands: Sequence[SqlCommand], bounds: SqlBounds
    ) -> list[SqlResult]:
        """Run all commands in one transaction. Raises TaskError."""
        if url.startswith(_POSTGRES):
            return await _in_postgres(url, commands, bounds)
        return await _in_thread(url, commands, bounds)


async def _in_postgres(
    url: str, commands: Sequence[SqlCommand], bounds: SqlBounds
) -> list[SqlResult]:
    import psycopg

    from activityctl.adapters.sql import postgres

    connection: psycopg.AsyncConnection[Any] | None = None

    async def work() -> list[SqlResult]:
        nonlocal connection
        connection = await postgres.connect(url, bounds)
        try:
            return await postgres.run(connection, commands, bounds)
        finally:
            await connection.close()

    try:
        return await _bounded(work(), bounds.seconds, lambda: _cut(connection))
    except psycopg.Error as error:
        raise _explained(error, bounds) from error


def _cut(connection: Any) -> None:
    """Shut the socket down, so that a wait for a silent server ends."""
    if connection is not None and not connection.closed:
        with suppress(OSError), socket.socket(fileno=os.dup(connection.fileno())) as copy:
            copy.shutdown(socket.SHUT_RDWR)


async def _in_thread(
    url: str, commands: Sequence[SqlCommand], bounds: SqlBounds
) -> list[SqlResult]:
    try:
        import sqlalchemy as library

        from activityctl.adapters.sql import sqlalchemy
    except ImportError as error:
        message = "this database needs SQLAlchemy: install it on the worker"
        raise TaskError(message, code="not_installed", retryable=False) from error
    interrupts: list[sqlalchemy.Interrupt] = []

    async def work() -> list[SqlResult]:
        thread = asyncio.ensure_future(
            asyncio.to_thread(sqlalchemy.run, url, commands, bounds, interrupts.append)
        )
        try:
            return await asyncio.shield(thread)
        except asyncio.CancelledError:
            for interrupt in interrupts:
                interrupt()
            await asyncio.wait({thread}, timeout=STOP_SECONDS)
            if thread.done() and not thread.cancelled():
                thread.exception()
            raise

    try:
        return await _bounded(work(), bounds.seconds, lambda: None)
    except library.exc.SQLAlchemyError as error:
        origin = getattr(error, "orig", None) or error
        code = getattr(origin, "sqlstate", None)
        message = printable(str(origin)).strip() or type(origin).__name__
        is_temporary = isinstance(error, library.exc.OperationalError)
        if code is not None:
            is_temporary = str(code).startswith(_TEMPORARY_CLASSES)
        raise TaskError(message, code="sql_error", retryable=is_temporary) from error


async def _bounded(work: Awaitable[_Result], seconds: float, cut: Any) -> _Result:
    """Await the work; after the time, or when cancelled, it has STOP_SECONDS to stop."""
    task = asyncio.ensure_future(work)
    try:
        done, _ = await asyncio.wait({task}, timeout=seconds)
        if done:
            return task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=STOP_SECONDS / 2)
            if not task.done():
                cut()
                await asyncio.wait({task}, timeout=STOP_SECONDS / 2)
        if task.done() and not task.cancelled():
            task.exception()
    message = f"the statement did not end within {seconds:g} s; nothing was changed"
    raise TaskError(message, code="timeout")


def _explained(error: Any, bounds: SqlBounds) -> TaskError:
    state = getattr(error, "sqlstate", None)
    primary = getattr(error.diag, "message_primary", None) or str(error)
    detail = getattr(error.diag, "message_detail", None)
    message = printable(primary).strip() + (f" ({printable(detail).strip()})" if detail else "")
    if state is None:
        is_unreachable = type(error).__name__ in {"OperationalError", "ConnectionTimeout"}
        code = "unreachable" if is_unreachable else "sql_error"
        return TaskError(message, code=code, retryable=is_unreachable)
    if state == "57014" and "statement timeout" in primary:
        message = f"the statement did not end within {bounds.seconds:g} s; nothing was changed"
        return TaskError(message, code="timeout")
    is_temporary = state.startswith(_TEMPORARY_CLASSES)
    return TaskError(f"{message} (SQLSTATE {state})", code="sql_error", retryable=is_temporary)
