"""Fixtures of the `ai` executor's tests: local servers, and an executor that may call them."""

import asyncio
import contextlib
from importlib import import_module
from typing import Any

import pytest

from activityctl.domain.values.destination import DestinationPolicy
from activityctl.executors.ai import AiExecutor
from activityctl.executors.destination import GuardedTransport
from activityctl.executors.models import MODULES
from support.http_server import (
    LOOPBACK,
    Answer,
    Server,
)


@pytest.fixture
async def serve():
    async with contextlib.AsyncExitStack() as stack:

        async def start(answer: Answer, host: str = "127.0.0.1", **options: Any) -> Server:
            server = Server(answer)
            listener = await asyncio.start_server(server.talk, host, 0, **options)
            server.port = listener.sockets[0].getsockname()[1]

            async def stop() -> None:
                listener.close()
                for talk in server.talks:
                    talk.cancel()
                await asyncio.gather(*server.talks, return_exceptions=True)

            stack.push_async_callback(stop)
            return server

        yield start


@pytest.fixture(scope="module", autouse=True)
def _loaded_clients():
    for _, module in MODULES.values():  # on a busy machine this takes as long as a test may
        import_module(module)


@pytest.fixture
async def executor():
    made = AiExecutor(GuardedTransport(DestinationPolicy(True, LOOPBACK, frozenset())))
    yield made
    await made.close()
