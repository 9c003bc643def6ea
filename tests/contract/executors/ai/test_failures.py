"""Servers of models that fail: statuses, limits of rate, silence, drips, floods, echoes of keys."""

import asyncio
import json
import time
from dataclasses import replace

import pytest

from activityctl.domain.values.destination import DestinationPolicy
from activityctl.executors import ai
from activityctl.executors.ai import AiExecutor
from activityctl.executors.destination import GuardedTransport
from support.http_server import Answer, Serve, a_call, answering, answering_json
from support.model_server import (
    PROVIDERS,
    ask,
    ask_body,
    ask_in_vain,
    events,
    openai_chunk,
    says,
    streaming,
)
from support.secrets import Known, attempt

KEY = "sk-canary-of-a-key-1234567890"


def refusing(status: str, *headers: str, text: str = "no") -> Answer:
    content = json.dumps({"error": {"message": text, "type": "t"}}).encode()
    return answering(content, status, ["Content-Type: application/json", *headers])


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize(
    ("answer", "code", "may_retry", "seconds"),
    [
        (refusing("429 Too Many", "Retry-After: 7"), "rate_limited", True, 7.0),
        (refusing("429 Too Many"), "rate_limited", True, None),
        (refusing("429 Too Many", text="insufficient_quota"), "rate_limited", False, None),
        (refusing("529 Overloaded", "Retry-After: 3"), "rate_limited", True, 3.0),
        (refusing("503 Busy", "Retry-After: 2"), "rate_limited", True, 2.0),
        (refusing("503 Busy"), "http_status", True, None),
        (refusing("500 Oops"), "http_status", True, None),
        (refusing("401 Who"), "http_status", False, None),
        (refusing("400 Bad", text="content_filter"), "refused", False, None),
        (refusing("302 Found", "Location: https://evil.example/"), "http_status", False, None),
    ],
)
async def test_statuses_have_codes_and_are_not_repeated_by_the_client(  # noqa: PLR0917
    serve: Serve,
    executor: AiExecutor,
    provider: str,
    answer: Answer,
    code: str,
    may_retry: bool,  # noqa: FBT001
    seconds: float | None,
):
    server = await serve(answer)
    error = await ask_in_vain(executor, server, provider)
    assert (error.task_code, error.may_retry) == (code, may_retry)
    assert error.retry_after_seconds == seconds
    assert error.status is not None or code == "refused"
    assert len(server.requests) == 1


async def hanging(_writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(60)


async def dripping(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
    while True:
        writer.write(events(openai_chunk({"content": "x"})))
        await writer.drain()
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("answer", [hanging, dripping])
@pytest.mark.parametrize("provider", PROVIDERS)
async def test_the_time_of_the_attempt_is_the_limit(
    serve: Serve, executor: AiExecutor, provider: str, answer: Answer
):
    server = await serve(answer)
    started = time.monotonic()
    error = await ask_in_vain(executor, server, provider, a_call(timeout_seconds=0.5))
    assert (error.task_code, error.may_retry) == ("timeout", True)
    assert "within 0.5 s" in error.message
    assert time.monotonic() - started < 60
    server.answer = says(provider, "yes")
    assert (await ask(executor, server, provider)).output["text"] == "yes"


def flooding(piece: bytes) -> Answer:
    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        while True:
            writer.write(piece * 1000)
            await writer.drain()

    return answer


@pytest.mark.parametrize("piece", [b"x" * 100, b"data: 1\n", b"data: 1\r", b"\n"])
@pytest.mark.parametrize("provider", PROVIDERS)
async def test_floods_end_and_hold_up_nothing(
    serve: Serve, executor: AiExecutor, provider: str, piece: bytes
):
    server = await serve(flooding(piece))
    error = await ask_in_vain(executor, server, provider, a_call(timeout_seconds=20))
    assert (error.task_code, error.may_retry) == ("response_too_large", False)


CUT = events(openai_chunk({"content": "x"}))
UNREADABLE = {
    "no JSON": answering(b"<html>", headers=["Content-Type: text/html"]),
    "another JSON": answering_json('{"hello": [1]}'),
    "deep": answering_json("[" * 100_000),
    "null": answering_json('{"choices": [{"message": null}], "content": null}'),
}


@pytest.mark.parametrize("kind", UNREADABLE)
@pytest.mark.parametrize("provider", PROVIDERS)
async def test_answers_in_another_form_are_bad_responses(
    serve: Serve, executor: AiExecutor, provider: str, kind: str
):
    server = await serve(UNREADABLE[kind])
    error = await ask_in_vain(executor, server, provider, stream=False)
    assert error.task_code == "bad_response"
    error = await ask_in_vain(executor, server, provider)
    assert error.task_code == "bad_response"
    assert "set stream: false" in error.message


@pytest.mark.parametrize("content", [CUT, b"data: {oops\n\n", b"data: 7\n\n", b""])
async def test_a_stream_that_ends_early_or_is_broken_is_a_bad_response(
    serve: Serve, executor: AiExecutor, content: bytes
):
    server = await serve(streaming(content))
    error = await ask_in_vain(executor, server, "openai")
    assert (error.task_code, error.may_retry) == ("bad_response", True)


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_an_overload_told_within_a_stream_is_a_limit_of_rate(
    serve: Serve, executor: AiExecutor, provider: str
):
    kind = "overloaded_error" if provider == "anthropic" else "rate_limit_exceeded"
    told = {"type": "error", "error": {"type": kind, "message": f"{kind}: later"}}
    server = await serve(streaming(events(told, named=provider == "anthropic")))
    error = await ask_in_vain(executor, server, provider)
    assert (error.task_code, error.may_retry) == ("rate_limited", True)


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_the_key_is_sent_and_not_kept(serve: Serve, executor: AiExecutor, provider: str):
    echo = f"your key {KEY} is wrong"
    server = await serve(refusing("401 Who", text=echo))
    reader = Known({"key": KEY})
    body = ask_body(server, provider, apiKey={"secretRef": "key"})
    error, _ = await attempt(executor, body, a_call(), reader)
    assert "your key *** is wrong" in error
    headers = server.requests[0].headers
    sent = headers["authorization"] if provider == "openai" else headers["x-api-key"]
    assert sent.endswith(KEY)
    cut = refusing("401 Who", text="x" * 450 + KEY)
    for answer in (cut, says(provider, echo), streaming(echo.encode())):
        server.answer = answer
        error, output = await attempt(executor, body, a_call(), reader)
        assert KEY not in f"{error} {output}"
        assert "sk-canary" not in f"{error} {output}"
    error, _ = await attempt(executor, body, a_call(), Known({"key": KEY}, {"key": ("a.example",)}))
    assert "a.example" in error


async def test_the_environment_of_the_worker_chooses_nothing(
    serve: Serve, executor: AiExecutor, monkeypatch: pytest.MonkeyPatch
):
    for name in ("OPENAI", "ANTHROPIC"):
        monkeypatch.setenv(f"{name}_API_KEY", "from-the-environment")
        monkeypatch.setenv(f"{name}_BASE_URL", "https://evil.example")
        monkeypatch.setenv(f"{name}_CUSTOM_HEADERS", "X-Evil: from-the-environment")
    monkeypatch.setenv("OPENAI_ORG_ID", "from-the-environment")
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", "from-the-environment")
    monkeypatch.setenv("HTTPS_PROXY", "http://evil.example")
    for provider in PROVIDERS:
        server = await serve(says(provider, "yes"))
        assert (await ask(executor, server, provider)).output["text"] == "yes"
        assert "from-the-environment" not in server.requests[0].headers.values()


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_addresses_are_checked(serve: Serve, provider: str):
    server = await serve(says(provider, "yes"))
    strict = AiExecutor(GuardedTransport(DestinationPolicy(True, (), frozenset())))
    error = await ask_in_vain(strict, server, provider)
    assert (error.task_code, error.may_retry) == ("destination_forbidden", False)
    assert not server.requests
    await strict.close()


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_refused_connection_is_retried(
    executor: AiExecutor, serve: Serve, provider: str, unused_tcp_port: int
):
    server = await serve(hanging)
    server.port = unused_tcp_port
    error = await ask_in_vain(executor, server, provider)
    assert (error.task_code, error.may_retry) == ("unreachable", True)


async def test_a_cancelled_call_ends_and_leaves_nothing_open(serve: Serve, executor: AiExecutor):
    server = await serve(dripping)
    asked = asyncio.create_task(ask(executor, server, "openai"))
    while not server.requests:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.2)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    async with asyncio.timeout(60):
        await asyncio.gather(*server.talks, return_exceptions=True)


async def test_a_worker_without_the_library_says_so(
    serve: Serve, executor: AiExecutor, monkeypatch: pytest.MonkeyPatch
):
    server = await serve(says("openai", "yes"))
    monkeypatch.setattr(ai, "MODULES", {"openai": ("not_there", "not_there")})
    error = await ask_in_vain(executor, server, "openai")
    assert (error.task_code, error.may_retry) == ("not_installed", False)
    assert "install activityctl[ai] on the worker" in error.message


async def test_a_text_of_more_than_1_mib_is_refused(
    serve: Serve, executor: AiExecutor, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(ai, "MAX_TEXT_BYTES", 100)
    server = await serve(says("openai", "x" * 101))
    error = await ask_in_vain(executor, server, "openai")
    assert error.task_code == "response_too_large"


async def test_a_bad_body_is_bad_input(serve: Serve, executor: AiExecutor):
    server = await serve(says("openai", "yes"))
    error = await ask_in_vain(executor, server, "openai", replace(a_call()), temperature="hot")
    assert (error.task_code, error.may_retry) == ("bad_input", False)
