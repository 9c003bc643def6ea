"""A node of a chain whose every answer a test chooses."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from support.http_server import Answer, Server, answering

Reply = Callable[[str, list[Any], int], Answer]
"""Answers a method with its params; the last is the id of the call."""


def result(value: Any, number: int) -> Answer:
    return answering(json.dumps({"jsonrpc": "2.0", "id": number, "result": value}).encode())


def error(code: int, message: str, number: int, data: Any = None, **more: Any) -> Answer:
    fault = {"code": code, "message": message, **({} if data is None else {"data": data})}
    content = json.dumps({"jsonrpc": "2.0", "id": number, "error": fault})
    return answering(content.encode(), **more)


class RpcServer:
    """Answers `eth_chainId` by itself, and all else as `reply` says."""

    def __init__(self, reply: Reply, chain_id: int = 31337) -> None:
        self.reply = reply
        self.chain_id = chain_id
        self.server = Server(self._answer)

    @property
    def url(self) -> str:
        return self.server.url

    @property
    def methods(self) -> list[str]:
        return [json.loads(request.body)["method"] for request in self.server.requests]

    async def _answer(self, writer: asyncio.StreamWriter) -> None:
        call = json.loads(self.server.requests[-1].body)
        method, params, number = call["method"], call["params"], call["id"]
        if method == "eth_chainId":
            await result(hex(self.chain_id), number)(writer)
            return
        await self.reply(method, params, number)(writer)


@asynccontextmanager
async def serving(node: RpcServer) -> AsyncIterator[RpcServer]:
    """Listen on a free port until the block ends."""
    listener = await asyncio.start_server(node.server.talk, "127.0.0.1", 0)
    node.server.port = listener.sockets[0].getsockname()[1]
    async with listener:
        yield node
        for talk in node.server.talks:
            talk.cancel()


@asynccontextmanager
async def rpc_server(reply: Reply, chain_id: int = 31337) -> AsyncIterator[RpcServer]:
    """Answer every call as `reply` says until the block ends."""
    async with serving(RpcServer(reply, chain_id)) as node:
        yield node
