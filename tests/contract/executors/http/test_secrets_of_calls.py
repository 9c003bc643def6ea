"""A secret reaches the server that it is meant for, and what comes back of it is masked."""

import asyncio
import gzip
import json
from base64 import b64encode
from urllib.parse import quote

import pytest

from activityctl.executors.http import HttpExecutor
from support.http_server import Answer, Serve, a_call, answering, answering_json
from support.secrets import Known, attempt

CANARY = "canary+of/a secret-é"
READER = Known({"crm-token": f"Bearer {CANARY}", "plain": CANARY})
HEADERS = {"Authorization": {"secretRef": "crm-token"}, "X-Key": {"secretRef": "plain"}}
PIECES = ["canary", "secret-"]


def gzipped(text: str) -> Answer:
    return answering(gzip.compress(text.encode()), headers=["Content-Encoding: gzip"])


def in_two_chunks(text: str) -> Answer:
    half = text.index("of/a") + 2

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for part in (text[:half].encode(), text[half:].encode()):
            writer.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
            await writer.drain()
            await asyncio.sleep(0.05)
        writer.write(b"0\r\n\r\n")
        await writer.drain()

    return answer


ECHOES = {
    "body": answering(f"you sent Bearer {CANARY}".encode()),
    "json": answering_json(json.dumps({CANARY: [{"you": f"Bearer {CANARY}"}]})),
    "json as text": answering(json.dumps({"you": CANARY}).encode()),
    "header": answering(headers=[f"X-Echo: Bearer {CANARY}".encode().decode("latin-1")]),
    "gzip": gzipped(f"you sent {CANARY}"),
    "two chunks": in_two_chunks(f"you sent {CANARY}!"),
    "base64": answering(b64encode(f"me:{CANARY}".encode())),
    "in a URL": answering(f"https://a.example/?k={quote(CANARY)}".encode()),
}
FAILURES = {
    "status": answering(f"bad key {CANARY}".encode(), status="403 Forbidden"),
    "reason": answering(status=f"403 {CANARY}".encode().decode("latin-1")),
    "half at the cut": answering(b"x" * 492 + CANARY.encode() + b"y" * 900, status="403 No"),
    "half at the end": answering(b"x" * 495 + CANARY.encode()[:12], status="403 No"),
    "redirect": answering(
        status="302 Found", headers=[f"Location: https://evil.example/?k={quote(CANARY)}"]
    ),
}


@pytest.mark.parametrize("kind", ECHOES)
async def test_a_secret_that_a_server_repeats_is_masked(
    serve: Serve, executor: HttpExecutor, kind: str
):
    server = await serve(ECHOES[kind])
    body = {
        "url": server.url,
        "headers": HEADERS,
        "method": "POST",
        "json": {"a": [HEADERS["X-Key"]]},
    }
    error, output = await attempt(executor, body, a_call(), READER)
    assert error == ""
    (request,) = server.requests
    assert request.headers["authorization"] == f"Bearer {CANARY}"
    assert json.loads(request.body) == {"a": [CANARY]}
    shown = json.dumps(output, ensure_ascii=False)
    assert "***" in shown
    assert not any(piece in shown for piece in PIECES)
    assert b64encode(CANARY.encode()).decode()[:12] not in shown


async def test_a_secret_in_the_query_is_sent_and_not_kept(serve: Serve, executor: HttpExecutor):
    server = await serve(answering(f"you sent k={quote(CANARY, safe='')}".encode(), "403 No"))
    query = {"k": [{"secretRef": "plain"}], "page": 1}
    error, _ = await attempt(executor, {"url": server.url, "query": query}, a_call(), READER)
    (request,) = server.requests
    assert request.target == f"/?k={quote(CANARY, safe='')}&page=1"
    assert error.startswith(f"GET {server.url}/: 403 No: you sent k=***")
    bound = Known(READER.values, {"plain": ("crm.example",)})
    error, _ = await attempt(executor, {"url": server.url, "query": query}, a_call(), bound)
    assert "is bound to crm.example" in error
    assert len(server.requests) == 1


@pytest.mark.parametrize("kind", FAILURES)
async def test_a_secret_in_the_error_of_a_call_is_masked(
    serve: Serve, executor: HttpExecutor, kind: str
):
    server = await serve(FAILURES[kind])
    error, _ = await attempt(executor, {"url": server.url, "headers": HEADERS}, a_call(), READER)
    assert "HTTP" in error or server.url in error
    assert not any(piece in error for piece in PIECES), error
    assert server.connections == 1


async def test_a_secret_goes_to_its_hosts_alone(serve: Serve, executor: HttpExecutor):
    server = await serve(answering())
    body = {"url": server.url, "headers": HEADERS}
    other = Known(READER.values, {"crm-token": ("crm.example", f"127.0.0.1:{server.port + 1}")})
    error, _ = await attempt(executor, body, a_call(), other)
    assert f"and is not sent to 127.0.0.1:{server.port}" in error
    assert server.connections == 0
    fits = Known(READER.values, {"crm-token": (f"127.0.0.1:{server.port}",)})
    assert (await attempt(executor, body, a_call(), fits))[0] == ""


@pytest.mark.parametrize("value", ["two\nlines-of-it", "control\x01character"])
async def test_a_secret_that_no_header_can_have_is_refused_without_showing_it(
    serve: Serve, executor: HttpExecutor, value: str
):
    server = await serve(answering())
    body = {"url": server.url, "headers": {"X-Key": {"secretRef": "plain"}}}
    error, _ = await attempt(executor, body, a_call(), Known({"plain": value}))
    assert "headers.X-Key: secret plain: a header must not contain line ends" in error
    assert server.connections == 0
    assert value not in error
