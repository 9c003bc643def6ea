"""A connection to Postgres on which no wait lasts for ever, and which saves round trips.

Postgres ends a statement that takes too long, and TCP notices a cable that is cut. Neither helps
when the server is frozen, or when a firewall or proxy has forgotten the connection: then the
answer never comes. So a statement that takes long makes the client ask, on a new connection,
whether the server still works on it.

The start of a transaction is sent with its first statement, and its end with its last ones.
"""

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, Self, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.pq import PipelineStatus, TransactionStatus
from psycopg.rows import DictRow

_LOG = logging.getLogger(__name__)
_Answer = TypeVar("_Answer")

CONNECT_SECONDS: Final = 5
"""How long a new connection may take."""
ASK_AFTER: Final = 4.0
"""Seconds without an answer after which the client asks whether the server works on it."""
_ASK_AGAIN: Final = 5.0
_CONFIRM_AFTER: Final = 1.0
"""An answer may be on its way, so the server is asked a second time before it counts as lost."""
STATEMENT_SECONDS: Final = 30
"""Postgres ends a statement that takes longer."""
IDLE_IN_TRANSACTION_SECONDS: Final = 15
"""Postgres ends a transaction whose client sends nothing for so long, and frees its locks."""
TRANSACTION_SECONDS: Final = 60
"""Postgres ends a transaction that is not a long one after so long, whatever its client does. A
client that was cut off between the statements of a pipeline counts as active, not as idle."""
_SERVER_SETTINGS: Final = {
    "timezone": "UTC",
    "statement_timeout": f"{STATEMENT_SECONDS}s",
    "idle_in_transaction_session_timeout": f"{IDLE_IN_TRANSACTION_SECONDS}s",
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "10000",
}
_NEWER_SETTINGS: Final = {"transaction_timeout": f"{TRANSACTION_SECONDS}s"}
"""Settings that older servers refuse: this one came with version 17."""
_LONG: Final = ("SET LOCAL transaction_timeout = 0", "SET LOCAL transaction_timeout = '1h'")
"""Postgres does not change a bound that runs already, so the first ends it."""
_KNOWS_LONG: Final = 170_000
KEEPALIVE_OPTIONS: Final[dict[str, Any]] = {
    "connect_timeout": CONNECT_SECONDS,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
"""Parameters of libpq with which the client notices a dead connection within some seconds."""
_MOST_PREPARED: Final = 300
"""Statements that a connection of a daemon keeps prepared; it has no more different ones."""
SOCKET_OPTIONS: Final[dict[str, Any]] = {
    **KEEPALIVE_OPTIONS,
    "application_name": "activityctl",
    "options": " ".join(f"-c {name}={value}" for name, value in _SERVER_SETTINGS.items()),
}
"""Those, and settings of the session with which Postgres notices a client that is gone."""
_older_servers: Final[set[str]] = set()
"""What was connected with when a server refused a newer setting; kept in memory alone."""
_IS_WORKING: Final = "SELECT state LIKE 'active%%' FROM pg_stat_activity WHERE pid = %s"


class WatchedConnection(psycopg.AsyncConnection[DictRow]):
    """Breaks off a wait when the server does not answer, or no longer works on the statement.

    The wait then ends with an OperationalError, and the connection is closed.

    Each statement is a round trip, and so is each `pipeline()` block. Fetch the rows of a pipeline
    after its block: inside, each fetch waits for the server.
    """

    is_abandoned = False
    """Whether a wait was broken off."""
    _has_to_begin = False
    """Whether the next statement is the first of a transaction."""
    _is_long = False
    """Whether that transaction may last longer than TRANSACTION_SECONDS."""
    conninfo: str
    socket_options: dict[str, Any]

    @classmethod
    async def connect(cls, conninfo: str = "", **options: Any) -> Self:
        """Connect, and remember how, so that the server can be asked on a new connection."""
        connection = await cls._connect(conninfo, options)
        connection.conninfo = conninfo
        connection.prepared_max = _MOST_PREPARED
        connection.socket_options = {
            name: value for name, value in options.items() if name in SOCKET_OPTIONS
        }
        return connection

    @classmethod
    async def _connect(cls, conninfo: str, options: dict[str, Any]) -> Self:
        newer = " ".join(f"-c {name}={value}" for name, value in _NEWER_SETTINGS.items())
        if "options" in options and conninfo not in _older_servers:
            try:
                return await super().connect(
                    conninfo, **{**options, "options": f"{options['options']} {newer}"}
                )
            except psycopg.OperationalError as error:
                if not any(name in str(error) for name in _NEWER_SETTINGS):
                    raise
                _older_servers.add(conninfo)
        return await super().connect(conninfo, **options)

    @property
    def is_in_pipeline(self) -> bool:
        """Whether statements are gathered, so that their answers come later or never."""
        return self._pipeline is not None or self.pgconn.pipeline_status != PipelineStatus.OFF

    @asynccontextmanager
    async def pipeline(self) -> AsyncIterator[psycopg.AsyncPipeline]:
        """Do the block in pipeline mode, and leave that mode whenever the block is broken off.

        psycopg yields once after it has entered the mode, unless one of its waits has yielded in
        the last 5 ms. Who is cancelled there leaves a pipeline that nobody ends, because its block
        was never begun.
        """
        before = 0 if self._pipeline is None else self._pipeline.level
        has_begun = False
        try:
            async with super().pipeline() as pipeline:
                has_begun = True
                yield pipeline
        finally:
            entered = self._pipeline
            if not has_begun and entered is not None and entered.level > before:
                entered._exit(None)  # noqa: SLF001  # what the end of the block would do
                self._pipeline = entered if entered.level else None
        await self._let_idleness_count()

    async def _let_idleness_count(self) -> None:
        """Have Postgres end this transaction, if it is a long one, when nothing comes any more.

        psycopg asks for a flush after the end of a pipeline. Postgres stops its clock of idle
        transactions then, and starts it again after the next statement only.
        """
        is_open = self.pgconn.transaction_status == TransactionStatus.INTRANS
        if self._is_long and is_open and not self.is_in_pipeline:
            await super().execute("SELECT 1")

    async def execute(self, *args: Any, **options: Any) -> psycopg.AsyncCursor[DictRow]:
        """Execute the statement; the first one of a transaction is sent with the BEGIN."""
        if not self._has_to_begin:
            return await super().execute(*args, **options)
        self._has_to_begin = False
        if self.pgconn.pipeline_status != PipelineStatus.OFF:
            await self._begin()
            return await super().execute(*args, **options)
        async with self.pipeline():
            await self._begin()
            return await super().execute(*args, **options)

    async def _begin(self) -> None:
        await super().execute("BEGIN")
        if self._is_long and self.info.server_version >= _KNOWS_LONG:
            for statement in _LONG:
                await super().execute(statement)

    @asynccontextmanager
    async def begun(self, *, is_long: bool = False) -> AsyncIterator[None]:
        """Do the block in a transaction, which commits unless the block raises.

        Postgres ends it after TRANSACTION_SECONDS, a long one after an hour.
        """
        self._has_to_begin, self._is_long = True, is_long
        try:
            yield
        except BaseException:  # a cancelled block must not leave its transaction open
            await self._roll_back()
            raise
        else:
            await self.commit()  # nothing happens if `committing` did it
        finally:
            self._has_to_begin = False

    async def _roll_back(self) -> None:
        try:
            await self.rollback()
        except psycopg.Error as error:  # the connection is lost, and the transaction with it
            _LOG.warning("could not roll back: %s", error)

    @asynccontextmanager
    async def committing(self) -> AsyncIterator[None]:
        """Send the statements of the block and the end of the transaction in one round trip.

        Nothing is written if one of them fails. Fetch their rows after the block.
        """
        async with self.pipeline():
            yield
            if not self._has_to_begin:
                await super().execute("COMMIT")

    async def wait(
        self,
        gen: PQGen[_Answer],
        interval: float = 0.1,
        timeout: float | None = None,  # noqa: ASYNC109  # the signature of psycopg
    ) -> _Answer:
        """Wait for the server; a caller that gives a timeout bounds the wait itself."""
        if timeout is not None:
            return await super().wait(gen, interval, timeout)
        inquiry: asyncio.Task[None] | None = None

        def start() -> None:
            nonlocal inquiry
            inquiry = asyncio.create_task(self._break_off_if_lost())

        timer = asyncio.get_running_loop().call_later(ASK_AFTER, start)
        try:
            return await super().wait(gen, interval)
        except psycopg.Error as error:
            if self.is_abandoned:
                raise psycopg.OperationalError("the server does not answer") from error
            raise
        finally:
            timer.cancel()
            if inquiry is not None:
                inquiry.cancel()

    async def _break_off_if_lost(self) -> None:
        while True:
            if not await self._is_served():
                self._abandon()
                return
            await asyncio.sleep(_ASK_AGAIN)

    async def _is_served(self) -> bool:
        is_working = await self._is_working()
        if is_working is False:
            await asyncio.sleep(_CONFIRM_AFTER)
            is_working = await self._is_working()
        return bool(is_working)

    async def _is_working(self) -> bool | None:
        """Ask on a new connection; None if nobody answers.

        A server that refuses the connection is at work.
        """
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                asking = await psycopg.AsyncConnection.connect(
                    self.conninfo, autocommit=True, **self.socket_options
                )
                async with asking:
                    cursor = await asking.execute(_IS_WORKING, (self.info.backend_pid,))
                    row = await cursor.fetchone()
        except TimeoutError:
            return None
        except psycopg.Error as error:
            return True if "FATAL" in str(error) else None
        return bool(row and row[0])

    def _abandon(self) -> None:
        """Close the socket under the waiting statement, which then fails at once."""
        self.is_abandoned = True
        with suppress(OSError), socket.socket(fileno=os.dup(self.pgconn.socket)) as wire:
            wire.shutdown(socket.SHUT_RDWR)
