"""What is told of a Temporal that says no, and of one that says nothing."""

import asyncio

import pytest
from temporalio.client import Client

from activityctl.adapters.temporal.schedules import TemporalSchedulePlacer
from activityctl.domain.ids import schedule_id, subscription_id
from activityctl.domain.plan import WantedSchedule
from activityctl.domain.refusal import is_refusal
from activityctl.errors import ActivityctlError, RefusedError, UnreachableError

OWNER = subscription_id("told")
WANTED = WantedSchedule(schedule_id(OWNER, "t"), OWNER, "t", "interval", {"every": "1h"})


async def told_by(client: Client) -> ActivityctlError:
    with pytest.raises(ActivityctlError) as caught:
        await TemporalSchedulePlacer(client).place(WANTED, paused=False)
    return caught.value


async def test_a_server_that_says_no_has_refused(servers: dict[str, str]) -> None:
    address = servers["temporal_address"]
    error = await told_by(await Client.connect(address, namespace="nowhere"))
    assert isinstance(error, RefusedError)
    assert is_refusal(str(error))
    assert "nowhere" in str(error)


async def test_a_server_that_says_nothing_has_not_refused() -> None:
    async def listen(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await stopped.wait()
        writer.close()

    stopped = asyncio.Event()
    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    try:
        error = await told_by(await Client.connect(f"{host}:{port}", lazy=True))
    finally:
        stopped.set()
        server.close()
        await server.wait_closed()
    assert isinstance(error, UnreachableError)
    assert not is_refusal(str(error))
