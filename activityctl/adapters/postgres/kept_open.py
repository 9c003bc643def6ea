"""Keeps a transaction open whose block waits for something else than Postgres.

Postgres ends a transaction whose client is silent, so that the locks of a frozen worker, or of
one that the network has cut off, come free. A block that works for longer must send something.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import psycopg
from psycopg.pq import PipelineStatus
from psycopg.rows import DictRow

SEND_EVERY: Final = 3.0
"""Seconds; together with the time to notice a dead connection less than Postgres waits."""


@asynccontextmanager
async def kept_open(connection: psycopg.AsyncConnection[DictRow]) -> AsyncIterator[None]:
    """Send something every few seconds until the block ends.

    If the connection is lost, the block is cancelled, because its locks may be free by then, and
    the error of the connection is raised.
    """
    block = asyncio.current_task()
    assert block is not None  # noqa: S101  # a coroutine always runs in a task
    sender: asyncio.Task[None] | None = None

    def start() -> None:
        nonlocal sender
        sender = asyncio.create_task(_send(connection))
        sender.add_done_callback(lambda ended: None if ended.cancelled() else block.cancel())

    timer = asyncio.get_running_loop().call_later(SEND_EVERY, start)
    try:
        yield
    except asyncio.CancelledError:
        if sender is None or not sender.done() or block.uncancel() > 0:
            raise
        raise sender.exception() or asyncio.CancelledError from None
    finally:
        timer.cancel()
        if sender is not None:
            sender.cancel()


async def _send(connection: psycopg.AsyncConnection[DictRow]) -> None:
    """Send until the connection is lost; while the block sends a pipeline, that is enough."""
    while True:
        if connection.pgconn.pipeline_status == PipelineStatus.OFF:
            try:
                await connection.execute("SELECT 1")
            except psycopg.Error:
                if connection.closed or connection.broken:
                    raise
        await asyncio.sleep(SEND_EVERY)
