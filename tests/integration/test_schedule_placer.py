"""The errors of the schedule client: Temporal refuses, or does not answer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from temporalio.client import Client

from activityctl.adapters.temporal.schedules import TemporalScheduleClient
from activityctl.domain.timing.alarm import alarm_id_of, alarm_of
from activityctl.domain.timing.trigger import trigger_of
from activityctl.domain.values.sync_errors import is_refusal
from activityctl.errors import ActivityctlError, RefusedError, UnreachableError

HOURLY = trigger_of("interval", {"every": "1h"})


async def error_from(client: Client) -> ActivityctlError:
    with pytest.raises(ActivityctlError) as caught:
        await TemporalScheduleClient(client).create_or_update(alarm_id_of(HOURLY), alarm_of(HOURLY))
    return caught.value


async def test_an_error_from_the_server_is_a_refusal(servers: dict[str, str]) -> None:
    address = servers["temporal_address"]
    error = await error_from(await Client.connect(address, namespace="nowhere"))
    assert isinstance(error, RefusedError)
    assert is_refusal(str(error))
    assert "nowhere" in str(error)


@asynccontextmanager
async def relay(address: str, is_open: asyncio.Event) -> AsyncIterator[str]:
    """Open an address that forwards everything to another address while the event is set."""

    async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while chunk := await source.read(65_536):
            await is_open.wait()
            sink.write(chunk)

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(*address.split(":"))
        copies = [asyncio.create_task(copy(reader, back)), asyncio.create_task(copy(there, writer))]
        tasks.extend(copies)
        writers.extend([back, writer])

    tasks: list[asyncio.Task[None]] = []
    writers: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(connect, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    try:
        yield f"{host}:{port}"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for writer in writers:
            writer.transport.abort()
        await asyncio.sleep(0)


async def test_no_answer_from_the_server_is_not_a_refusal(servers: dict[str, str]) -> None:
    is_open = asyncio.Event()
    is_open.set()
    async with relay(servers["temporal_address"], is_open) as address:
        client = await Client.connect(address)
        is_open.clear()
        error = await error_from(client)
    assert isinstance(error, UnreachableError)
    assert not is_refusal(str(error))
