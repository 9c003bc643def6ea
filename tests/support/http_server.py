"""A server whose every byte a test chooses, and calls of the HTTP executor to it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Any

import pytest

from activityctl.errors import TaskError
from activityctl.executors.http import HttpExecutor
from activityctl.ports import ExecutorOutcome, TaskCall
from activityctl.steps.limited import parse_body

LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))


@dataclass
class Request:
    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    connection: int


Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Server:
    answer: Answer
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    reached: list[str] = field(default_factory=list)
    port: int = 0
    talks: set[asyncio.Task] = field(default_factory=set)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        self.talks.add(asyncio.current_task())
        self.connections += 1
        self.reached.append(writer.get_extra_info("sockname")[0])
        connection = self.connections
        try:
            while True:
                await self.hear(reader, connection)
                await self.answer(writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.transport.abort()

    async def hear(self, reader: asyncio.StreamReader, connection: int):
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        method, target, _ = head[0].split(" ")
        headers = {
            name.lower(): value
            for name, value in (line.split(": ", 1) for line in head[1:] if line)
        }
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        self.requests.append(Request(method, target, headers, body, connection))


Serve = Callable[..., Awaitable[Server]]


def answering(content: bytes = b"", status: str = "200 OK", headers: Sequence[str] = ()) -> Answer:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(content)}", *headers]

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + content)
        await writer.drain()

    return answer


def answering_json(text: str, **more: Any) -> Answer:
    content = text.encode("utf-8", "surrogatepass")
    return answering(content, headers=["Content-Type: application/json"], **more)


async def silent(_level: str, _message: str, _metadata: Mapping[str, Any]):
    pass


def a_call(timeout_seconds: float = 60.0, attempt: int = 1) -> TaskCall:
    return TaskCall(
        run_id="run-1",
        task_id="task-1",
        name="ask",
        index=0,
        attempt=attempt,
        idempotency_key="task-1",
        timeout_seconds=timeout_seconds,
        log=silent,
    )


async def run(executor: HttpExecutor, call: TaskCall | None = None, **body: Any) -> ExecutorOutcome:
    return await executor.execute(parse_body(executor, body), call or a_call())


async def failing(executor: HttpExecutor, call: TaskCall | None = None, **body: Any) -> TaskError:
    with pytest.raises(TaskError) as caught:
        await run(executor, call, **body)
    return caught.value
