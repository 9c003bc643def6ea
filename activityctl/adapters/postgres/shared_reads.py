"""Reads that are asked for at the same time share one round trip of a single connection."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

import psycopg
from psycopg.rows import DictRow

from activityctl.adapters.postgres.failures import is_outage
from activityctl.adapters.postgres.watched_connection import WatchedConnection
from activityctl.frozen_dataclass import frozen_dataclass

Rows = list[DictRow]


@frozen_dataclass
class _Read:
    query: bytes
    values: Mapping[str, Any]
    rows: "asyncio.Future[Rows]"


class SharedReads:
    """Gathers reads, and sends those that wait in one pipeline.

    So `asyncio.gather` of several reads costs one round trip. Only for statements that change
    nothing: Postgres carries those of a pipeline out together.
    """

    def __init__(
        self, connection: Callable[[], AbstractAsyncContextManager[WatchedConnection]]
    ) -> None:
        """Remember how to borrow the connection."""
        self._connection = connection
        self._waiting: list[_Read] = []

    async def fetch(self, query: bytes, values: Mapping[str, Any]) -> Rows:
        """Return the rows of the statement; raises what its execution raises."""
        read = _Read(query, values, asyncio.get_running_loop().create_future())
        self._waiting.append(read)
        if len(self._waiting) == 1:
            await self._send()
        return await read.rows

    async def _send(self) -> None:
        """Send what is asked for until the connection is free; the first to ask does it."""
        taken: list[_Read] = []
        try:
            await asyncio.sleep(0)  # the others of the same moment ask first
            async with self._connection() as connection:
                taken, self._waiting = self._waiting, []
                for read, rows in zip(taken, await _answers(connection, taken), strict=True):
                    if isinstance(rows, psycopg.Error):
                        _fail(read.rows, rows)
                    elif not read.rows.done():
                        read.rows.set_result(rows)
        except BaseException as error:
            if not taken:
                taken, self._waiting = self._waiting, []
            for read in taken:
                _fail(read.rows, error)
            raise


async def _answers(connection: WatchedConnection, reads: list[_Read]) -> list[Rows | psycopg.Error]:
    """Return the rows of each read, or why it failed."""
    if len(reads) > 1:
        try:
            async with connection.pipeline():
                cursors = [await connection.execute(read.query, read.values) for read in reads]
            return [await cursor.fetchall() for cursor in cursors]
        except psycopg.Error as error:
            if is_outage(error):
                raise
    found: list[Rows | psycopg.Error] = []  # one alone, or to learn which of them fails
    for read in reads:
        try:
            cursor = await connection.execute(read.query, read.values)
            found.append(await cursor.fetchall())
        except psycopg.Error as error:
            if is_outage(error):
                raise
            found.append(error)
    return found


def _fail(waiting: "asyncio.Future[Rows]", error: BaseException) -> None:
    """Tell it to who waits; nobody does any more if that was cancelled."""
    if waiting.done():
        return
    if isinstance(error, Exception):
        waiting.set_exception(error)
        waiting.exception()  # so that asyncio does not complain if nobody waits
    else:
        waiting.cancel()
