"""The HTTP executor against slow, endless and broken servers."""

import asyncio
import gzip
import time
import tracemalloc
from typing import Any

import pytest

from activityctl.executors.http import HttpExecutor
from support.http_server import (
    Answer,
    Serve,
    a_call,
    answering,
    failing,
    run,
)


async def dripping_headers(writer: asyncio.StreamWriter):
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"X: y\r\n")
        await writer.drain()
        await asyncio.sleep(0.05)


async def dripping_body(writer: asyncio.StreamWriter):
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.05)


async def endless_body(writer: asyncio.StreamWriter):
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        writer.write(b"x" * 65536)
        await writer.drain()


async def endless_headers(writer: asyncio.StreamWriter):
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"X: " + b"y" * 1000 + b"\r\n")
        await writer.drain()


async def endless_header_line(writer: asyncio.StreamWriter):
    writer.write(b"HTTP/1.1 200 OK\r\nX: ")
    while True:
        writer.write(b"y" * 65536)
        await writer.drain()


async def hanging_up(writer: asyncio.StreamWriter):
    writer.close()


async def cutting_off(writer: asyncio.StreamWriter):
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx")
    writer.close()


async def talking_nonsense(writer: asyncio.StreamWriter):
    writer.write(b"EHLO\r\n\r\n")
    await writer.drain()


async def never(_writer: asyncio.StreamWriter):
    await asyncio.sleep(60)


@pytest.mark.parametrize("answer", [dripping_headers, dripping_body, never])
async def test_the_deadline_covers_headers_and_body(
    serve: Serve, executor: HttpExecutor, answer: Answer
):
    server = await serve(answer)
    started = time.monotonic()
    error = await failing(executor, a_call(timeout_seconds=0.3), url=server.url)
    assert (error.task_code, error.may_retry) == ("timeout", True)
    assert 0.25 < time.monotonic() - started < 60


async def test_only_the_timeout_of_the_task_limits_an_attempt(
    serve: Serve, executor: HttpExecutor, monkeypatch: pytest.MonkeyPatch
):
    loop = asyncio.get_running_loop()
    clock, passed = loop.time, 0.0
    monkeypatch.setattr(loop, "time", lambda: clock() + passed)

    async def two_minutes_later(writer: asyncio.StreamWriter) -> None:
        nonlocal passed
        passed += 119
        await asyncio.sleep(0.05)
        await answering(b"done")(writer)

    server = await serve(two_minutes_later)
    outcome = await run(executor, a_call(timeout_seconds=120), url=server.url)
    assert outcome.output["body"] == "done"
    error = await failing(executor, a_call(timeout_seconds=100), url=server.url)
    assert error.message.endswith("no complete response within 100 s (timeout.startToClose)")


@pytest.mark.parametrize("answer", [endless_body, endless_headers, endless_header_line])
async def test_endless_responses_are_refused(serve: Serve, executor: HttpExecutor, answer: Answer):
    server = await serve(answer)
    error = await failing(executor, url=server.url)
    assert (error.task_code, error.may_retry) == ("response_too_large", False)
    assert server.url in error.message


async def test_connections_of_refused_responses_are_closed(serve: Serve, executor: HttpExecutor):
    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 200 OK\r\nX: {'y' * 66_000}\r\n".encode())
        writer.write(b"Content-Length: 9\r\n\r\n")
        await writer.drain()

    server = await serve(answer)
    assert (await failing(executor, url=server.url)).task_code == "response_too_large"
    async with asyncio.timeout(60):
        await asyncio.gather(*server.talks)


async def test_bodies_up_to_1_mib_are_accepted(serve: Serve, executor: HttpExecutor):
    server = await serve(answering(b"x" * 1024 * 1024))
    assert (await run(executor, url=server.url)).output["bytes"] == 1024 * 1024
    server.answer = answering(b"x" * (1024 * 1024 + 1))
    assert (await failing(executor, url=server.url)).task_code == "response_too_large"


async def test_headers_up_to_64_kib_are_accepted(serve: Serve, executor: HttpExecutor):
    server = await serve(answering(headers=[f"X: {'y' * 60_000}"]))
    assert len((await run(executor, url=server.url)).output["headers"]["x"]) == 60_000
    server.answer = answering(headers=[f"X: {'y' * 66_000}"])
    assert (await failing(executor, url=server.url)).task_code == "response_too_large"


async def test_a_gzip_bomb_is_refused_without_inflating_it(serve: Serve, executor: HttpExecutor):
    bomb = gzip.compress(b"\0" * 50_000_000)
    server = await serve(answering(bomb, headers=["Content-Encoding: gzip"]))
    await failing(
        executor, url=server.url
    )  # a first call, so that one-time allocations are not measured
    tracemalloc.start()
    try:
        error = await failing(executor, url=server.url)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert error.task_code == "response_too_large"
    assert peak < 6_000_000


@pytest.mark.parametrize(
    ("content", "encoding", "may_retry"),
    [
        (b"x", "br", False),
        (b"x", "gzip, gzip", False),
        (b"x", "gzip", True),
        (gzip.compress(b"x" * 999, mtime=0)[:-9], "gzip", True),
    ],
)
async def test_broken_compression_is_an_error(
    serve: Serve, executor: HttpExecutor, content: bytes, encoding: str, *, may_retry: bool
):
    server = await serve(answering(content, headers=[f"Content-Encoding: {encoding}"]))
    error = await failing(executor, url=server.url)
    assert (error.task_code, error.may_retry) == ("bad_response", may_retry)
    server.answer = answering(
        content, status="400 Bad Request", headers=[f"Content-Encoding: {encoding}"]
    )
    assert (await failing(executor, url=server.url)).task_code == "unexpected_status"


@pytest.mark.parametrize("answer", [hanging_up, cutting_off, talking_nonsense])
async def test_broken_conversations_are_retried(
    serve: Serve, executor: HttpExecutor, answer: Answer
):
    server = await serve(answer)
    error = await failing(executor, url=server.url)
    assert (error.task_code, error.may_retry) == ("bad_response", True)


async def test_a_refused_connection_is_retried(executor: HttpExecutor, unused_tcp_port: int):
    error = await failing(executor, url=f"http://127.0.0.1:{unused_tcp_port}/")
    assert (error.task_code, error.may_retry) == ("unreachable", True)
    assert "nothing listens there" in error.message


async def test_a_name_that_does_not_resolve_is_retried(executor: HttpExecutor):
    error = await failing(executor, url="http://nowhere.invalid/")
    assert (error.task_code, error.may_retry) == ("unreachable", True)
    assert "resolve" in error.message


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"json": float("nan")}, "invalid_request"),
        ({"query": {"x": "y" * 70_000}}, "bad_input"),
    ],
)
async def test_an_invalid_request_is_not_retried(
    executor: HttpExecutor, body: dict[str, Any], code: str
):
    error = await failing(executor, url="http://127.0.0.1/", **body)
    assert (error.task_code, error.may_retry) == (code, False)


async def test_cancelled_calls_leave_the_executor_usable(serve: Serve, executor: HttpExecutor):
    server = await serve(never)
    calls = [asyncio.create_task(run(executor, url=server.url)) for _ in range(120)]
    while len(server.requests) < 90:
        await asyncio.sleep(0.01)
    for call in calls:
        call.cancel()
    ended = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(end, asyncio.CancelledError) for end in ended)
    server.answer = answering(b"fine")
    async with asyncio.timeout(60):
        outcomes = await asyncio.gather(*(run(executor, url=server.url) for _ in range(120)))
    assert all(outcome.output["body"] == "fine" for outcome in outcomes)
