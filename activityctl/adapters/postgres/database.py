"""Connections to Postgres: a pool for daemons, one connection for commands.

Errors of psycopg become our own errors.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import Jsonb, set_json_dumps, set_json_loads
from psycopg_pool import AsyncConnectionPool

from activityctl.adapters.postgres.connection_url import secured
from activityctl.adapters.postgres.failures import first_line, is_data_error, is_outage
from activityctl.adapters.postgres.json_numbers import parse_integer, with_fractions
from activityctl.adapters.postgres.kept_open import kept_open
from activityctl.adapters.postgres.refusals import (
    denied_right,
    ended_transaction,
    failed_connection,
    read_only,
)
from activityctl.adapters.postgres.shared_reads import SharedReads
from activityctl.adapters.postgres.watched_connection import (
    CONNECT_SECONDS,
    SOCKET_OPTIONS,
    WatchedConnection,
)
from activityctl.domain.values.ids import canonical_json
from activityctl.domain.values.untrusted import storable
from activityctl.errors import ConflictError, SchemaMismatchError, UnstorableError
from activityctl.secret import malformed_url

_LOG = logging.getLogger(__name__)
# Without a handler, Python prints its warnings among the lines of a command. Every error of it
# comes as an exception too. The log of a daemon has its own handler.
logging.getLogger("psycopg").addHandler(logging.NullHandler())
_RECONNECT_SECONDS: Final = 4.0
"""The pool's pauses between its tries to connect stay short, so that work goes on soon."""

_PREPARE_AT_ONCE: Final = 0
"""A daemon sends the same statements again and again: Postgres reads each once for a connection,
not five times."""

Connection = WatchedConnection


def to_jsonb(value: Any) -> Jsonb | None:
    """Return the value as a jsonb parameter; None stays SQL NULL."""
    return None if value is None else Jsonb(value)


def to_storable_text(value: str | None) -> str | None:
    """Return the text as Postgres can store it: NUL and lone surrogates become U+FFFD."""
    return None if value is None else storable(value)


def dump_storable_json(value: Any) -> str:
    """Return the value as JSON that Postgres can store. Raises UnstorableError."""
    try:
        text = canonical_json(value)
        if "\\u0000" in text or not text.isascii():
            text = canonical_json(_to_storable(value))
    except (TypeError, ValueError, RecursionError) as error:
        raise UnstorableError(f"a value cannot be written as JSON: {error}") from error
    return with_fractions(text)


def _to_storable(value: Any) -> Any:
    match value:
        case str():
            return to_storable_text(value)
        case dict():
            return {to_storable_text(key): _to_storable(child) for key, child in value.items()}
        case list() | tuple():
            return [_to_storable(child) for child in value]
        case _:
            return value


_DECODER: Final = json.JSONDecoder(parse_int=parse_integer)
"""Made once: to make it takes longer than to read the JSON of most columns."""


def _load_json(text: str | bytes) -> Any:
    if text == b"{}":  # the value of most columns
        return {}
    return _DECODER.decode(text if isinstance(text, str) else text.decode())


def prefix_pattern(reference: str) -> str:
    """Return a LIKE pattern for texts that begin with the reference; its % and _ are escaped."""
    escaped = storable(reference).replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"{escaped}%"


def require_readable(url: str) -> None:
    """Raise InvalidInputError, which does not quote the URL as psycopg does, if it is malformed."""
    try:
        conninfo_to_dict(url)
    except psycopg.Error:
        raise malformed_url() from None


class Database:
    """Gives out connections in autocommit mode; their rows are dicts."""

    def __init__(self, url: str, pool: AsyncConnectionPool[Connection] | None = None) -> None:
        self._conninfo = secured(url)
        self._pool = pool
        self._single: Connection | None = None
        self._turn = asyncio.Lock()
        self._shared = SharedReads(self.connection) if pool is None else None

    @classmethod
    async def connect(cls, url: str, *, pool_size: int = 0, must_answer: bool = True) -> "Database":
        """Open the database; with pool_size 0, one connection is opened at its first use.

        Raises UnreachableError within CONNECT_SECONDS when Postgres does not answer; a pool that
        need not answer raises it when a connection is wanted.
        """
        set_json_dumps(dump_storable_json)
        set_json_loads(_load_json)
        if not pool_size:
            return cls(url)
        if must_answer:
            async with await cls(url).dedicated():
                pass  # one attempt gives a clear error at once; a pool would try again and again
        pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            secured(url),
            connection_class=WatchedConnection,
            min_size=1,
            max_size=pool_size,
            kwargs={**_connection_options(), "prepare_threshold": _PREPARE_AT_ONCE},
            open=False,
            timeout=CONNECT_SECONDS,
            reconnect_timeout=_RECONNECT_SECONDS,
            name="activityctl",
        )
        await pool.open()
        return cls(url, pool)

    async def close(self) -> None:
        """Close every connection."""
        if self._pool is not None:
            await self._pool.close()
        if self._single is not None:
            await self._single.close()

    async def dedicated(self) -> Connection:
        """Return a new connection that only the caller uses, for locks and LISTEN."""
        with translate_errors():
            return await WatchedConnection.connect(self._conninfo, **_connection_options())

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Lend a connection; raise UnreachableError when Postgres stops answering."""
        with translate_errors():
            if self._pool is not None:
                async with self._pooled(self._pool) as connection:
                    yield connection
                return
            async with self._turn:
                if self._single is None or self._single.closed:
                    self._single = await self.dedicated()
                async with _closed_if_stuck(self._single):
                    yield self._single

    @asynccontextmanager
    async def _pooled(self, pool: AsyncConnectionPool[Any]) -> AsyncIterator[Connection]:
        """Lend a connection of the pool; one that is lost casts doubt on all others."""
        lent: WatchedConnection | None = None
        try:
            async with pool.connection() as lent, _closed_if_stuck(lent):
                yield lent
        finally:
            if lent is not None and lent.is_abandoned:
                await pool.drain()

    @asynccontextmanager
    async def transaction(self, *, is_long: bool = False) -> AsyncIterator[Connection]:
        """Lend a connection in a transaction, which commits unless the block raises.

        Postgres ends one that lasts over a minute; a long one, over an hour.
        """
        async with self.connection() as connection, connection.begun(is_long=is_long):
            yield connection

    @asynccontextmanager
    async def one_trip(self) -> AsyncIterator[Connection]:
        """Lend a connection whose statements are a transaction and one round trip together.

        Fetch their rows after the block.
        """
        async with self.transaction() as connection, connection.committing():
            yield connection

    @asynccontextmanager
    async def held_transaction(self, *, is_long: bool = False) -> AsyncIterator[Connection]:
        """Lend a connection in a transaction whose block also waits for others than Postgres.

        If the connection is lost, the block is cancelled and UnreachableError is raised.
        """
        async with self.transaction(is_long=is_long) as connection, kept_open(connection):
            yield connection

    async def fetch(self, query: str, **values: Any) -> list[DictRow]:
        """Run one statement and return its rows; values are bound by name.

        Reads of a single connection that are asked for together share one round trip.
        """
        bound = {name: bindable(value) for name, value in values.items()}
        if self._shared is not None and query.lstrip()[:7].upper() == "SELECT ":
            with translate_errors():
                return await self._shared.fetch(query.encode(), bound)
        async with self.connection() as connection:
            cursor = await connection.execute(query.encode(), bound)
            return await cursor.fetchall() if cursor.description else []

    async def fetch_one(self, query: str, **values: Any) -> DictRow | None:
        """Run one statement and return its first row; None when there is none."""
        rows = await self.fetch(query, **values)
        return rows[0] if rows else None


@asynccontextmanager
async def _closed_if_stuck(connection: Connection) -> AsyncIterator[None]:
    """Close the connection after the block if it is still in pipeline mode: nobody must get it.

    psycopg can fail to leave that mode when a block is broken off. The next statements would then
    be sent and never answered: reads without rows, and writes that are lost.
    """
    try:
        yield
    finally:
        if connection.is_in_pipeline:
            _LOG.warning("a connection to Postgres was left in pipeline mode; it is closed")
            await connection.close()


def bindable(value: Any) -> Any:
    """Return the value as Postgres can take it: a word of a user may be no valid UTF-8."""
    match value:
        case str():
            return storable(value)
        case [str(), *_]:
            return [storable(item) if isinstance(item, str) else item for item in value]
        case _:
            return value


def _connection_options() -> dict[str, Any]:
    return {
        "autocommit": True,
        "row_factory": dict_row,
        **SOCKET_OPTIONS,
    }


class translate_errors:  # noqa: N801  # a context manager, named like a function
    """Turns psycopg's errors of connections, rights, locks, data and missing tables into ours."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        match error:
            case psycopg.errors.LockNotAvailable():
                raise ConflictError(
                    "another process is changing this object", hint="try again"
                ) from error
            case (
                psycopg.errors.UndefinedTable()
                | psycopg.errors.UndefinedColumn()
                | psycopg.errors.UndefinedFunction()
            ):
                raise SchemaMismatchError(
                    "the database schema does not match this version of activityctl",
                    hint="activityctl worker --migrate",
                ) from error
            case psycopg.errors.InsufficientPrivilege():
                raise denied_right(error) from error
            case psycopg.errors.ReadOnlySqlTransaction():
                raise read_only(error) from error
            case (
                psycopg.errors.IdleInTransactionSessionTimeout()
                | psycopg.errors.TransactionTimeout()
            ):
                raise ended_transaction(error) from error
            case UnicodeEncodeError():
                raise UnstorableError("a text has characters that are no valid UTF-8") from error
            case psycopg.Error() if is_data_error(error):
                line = _leave_out_data(error)
                raise UnstorableError(f"Postgres refuses a value: {line}") from error
            case psycopg.Error() if is_outage(error):
                raise failed_connection(error) from error
            case psycopg.Error():
                _leave_out_data(error)
            case _:
                return


def _leave_out_data(error: psycopg.Error) -> str:
    """Keep only the first line of the error's text, so that no log quotes rows; return it."""
    line = first_line(error, "no reason given")
    error.args = (line,)
    return line
