"""A local server for each test of an executor that calls one."""

import asyncio
import contextlib
from typing import Any

import pytest_asyncio

from support.http_server import Answer, Server


@pytest_asyncio.fixture(loop_scope="session")
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
