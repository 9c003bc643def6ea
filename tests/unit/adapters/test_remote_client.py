"""Requests to an HTTP API: what is repeated, what is refused, and where the token goes."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from activityctl.adapters.remote import client as module
from activityctl.adapters.remote.client import ApiClient, ServerPlace, open_client
from activityctl.adapters.remote.stores import listed
from activityctl.errors import (
    ActivityctlError,
    AmbiguousError,
    ConflictError,
    InvalidManifestsError,
    NotAllowedError,
    NotFoundError,
    OutcomeUnknownError,
    RefusedError,
    SchemaMismatchError,
    TooSlowError,
    UnreachableError,
    UsageError,
    WaitTimeoutError,
)
from activityctl.secret import Secret
from activityctl.version import VERSION
from support.http_server import Server, answering

TOKEN = "actl_secret"


@asynccontextmanager
async def asking(*answers: Any) -> AsyncIterator[tuple[ApiClient, Server]]:
    """Yield a client, and a server that gives the answers in order, the last one for ever."""
    left = list(answers)

    async def answer(writer: asyncio.StreamWriter) -> None:
        await (left.pop(0) if len(left) > 1 else left[0])(writer)

    server = Server(answer)
    listener = await asyncio.start_server(server.talk, "127.0.0.1", 0)
    server.port = listener.sockets[0].getsockname()[1]
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        async with open_client(ServerPlace(server.url, Secret(TOKEN), tls)) as api:
            yield api, server
    finally:
        listener.close()
        for talk in server.talks:
            talk.cancel()
        await asyncio.gather(*server.talks, return_exceptions=True)


def problem(status: str, code: str, headers: Sequence[str] = (), **more: Any) -> Any:
    body = {"detail": "why", "code": code, "hint": "do it", "requestId": "r-1", **more}
    return answering(json.dumps(body).encode(), status, headers)


async def cut(writer: asyncio.StreamWriter) -> None:
    """Close the connection in place of an answer."""
    writer.transport.abort()
    raise ConnectionResetError


OK = answering(b'{"items": []}')


async def test_a_request_has_its_token_and_no_other_host_gets_it():
    elsewhere = "Location: http://127.0.0.1:1/elsewhere"
    async with asking(OK, answering(b"", "307 Temporary Redirect", [elsewhere])) as (api, server):
        assert await api.get("/v1/runs", {"status": ["a b", "c"], "run": None}) == {"items": []}
        with pytest.raises(UnreachableError, match=r"redirect \(307\), which is not followed"):
            await api.get("/v1/runs")
    first, second = server.requests
    assert first.target == "/v1/runs?status=a+b&status=c"
    assert first.headers["authorization"] == f"Bearer {TOKEN}"
    assert first.headers["user-agent"] == f"activityctl/{VERSION}"
    assert second.target == "/v1/runs"


@pytest.mark.parametrize(
    ("answer", "kind", "message"),
    [
        (problem("401 Unauthorized", "unauthorized"), NotAllowedError, "not accept the token"),
        (problem("403 Forbidden", "not_allowed"), NotAllowedError, "why"),
        (problem("404 Not Found", "not_found"), NotFoundError, "why"),
        (problem("409 Conflict", "ambiguous"), AmbiguousError, "why"),
        (problem("409 Conflict", "conflict"), ConflictError, "why"),
        (problem("409 Conflict", "refused"), RefusedError, "why"),
        (problem("503 Away", "refused"), SchemaMismatchError, "why"),
        (problem("503 Away", "unreachable"), UnreachableError, "why"),
        (problem("503 Away", "outcome_unknown"), OutcomeUnknownError, "why"),
        (problem("504 Late", "timeout"), WaitTimeoutError, "why"),
        (problem("504 Late", "too_slow"), TooSlowError, "why"),
        (problem("401 Ended", "token_ended"), NotAllowedError, "why"),
        (problem("400 Bad", "bad_request"), UsageError, "why"),
        (problem("500 Bug", "internal"), UnreachableError, "failed by a bug of its own"),
        (answering(b"<html>", "502 Bad Gateway"), UnreachableError, "502 and no JSON"),
        (answering(b"<html>"), UnreachableError, "200 and no JSON"),
        (answering(b"[]", "404 Not Found"), UnreachableError, "no problem detail"),
    ],
)
async def test_an_answer_that_is_no_success_is_one_of_our_errors(
    answer: Any, kind: type[ActivityctlError], message: str
):
    async with asking(answer) as (api, server):
        with pytest.raises(kind, match=message) as caught:
            await api.get("/v1/runs/x")
    assert type(caught.value) is kind
    assert caught.value.hint
    assert TOKEN not in f"{caught.value} {caught.value.hint}"
    assert len(server.requests) == 1


async def test_findings_keep_their_positions():
    finding = {"file": "a.yaml", "line": 2, "column": 3, "path": "spec", "message": "is missing"}
    async with asking(problem("400 Bad", "invalid_manifest", findings=[finding])) as (api, _):
        with pytest.raises(InvalidManifestsError) as caught:
            await api.get("/v1/x")
    assert [str(each) for each in caught.value.problems] == ["a.yaml:2:3: spec: is missing"]


async def test_a_server_of_another_version_is_named():
    body = {"detail": "there is nothing at this path", "code": "not_found"}
    other = ["X-Activityctl-Version: 9.9.9"]
    async with asking(answering(json.dumps(body).encode(), "404 Not Found", other)) as (api, _):
        with pytest.raises(UnreachableError) as caught:
            await api.get("/v1/x")
    assert caught.value.message.endswith(
        f"does not know this request; the server has the version 9.9.9, and this is {VERSION}"
    )


async def test_only_what_is_harmless_is_repeated(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "_FIRST_PAUSE", 0.0)
    busy = problem("429 Slow", "too_many_requests", ["Retry-After: 0"])
    async with asking(busy, cut, OK) as (api, server):
        assert await api.get("/v1/runs") == {"items": []}
    assert len(server.requests) == 3
    async with asking(busy, cut, OK) as (api, server):
        with pytest.raises(UnreachableError, match="does not answer"):
            await api.post("/v1/x")
    assert len(server.requests) == 2
    async with asking(cut, OK) as (api, server):
        await api.post("/v1/x", {"a": 1}, key="k-1")
    assert {request.headers["idempotency-key"] for request in server.requests} == {"k-1"}
    assert [request.body for request in server.requests] == [b'{"a": 1}'] * 2


async def test_what_may_have_been_done_is_not_repeated_without_a_key():
    unknown = problem("503 Away", "outcome_unknown", ["Retry-After: 0"], retryable=False)
    away = problem("503 Away", "unreachable", ["Retry-After: 0"], retryable=True)
    proxy = answering(b"<html>", "503 Away", ["Retry-After: 0"])
    for answer in (unknown, proxy):
        async with asking(answer, OK) as (api, server):
            with pytest.raises(UnreachableError):
                await api.post("/v1/x")
        assert len(server.requests) == 1
        async with asking(answer, OK) as (api, server):
            await api.post("/v1/x", key="k-1")
        assert len(server.requests) == 2
    async with asking(away, OK) as (api, server):
        await api.post("/v1/x")
    assert len(server.requests) == 2


async def test_retry_after_is_obeyed_within_a_bound():
    late = problem("429 Slow", "too_many_requests", ["Retry-After: 3600"])
    async with asking(late) as (api, server):
        with pytest.raises(UnreachableError, match="why"):
            await api.get("/v1/runs")
    assert len(server.requests) == 1


async def test_a_list_is_read_page_by_page():
    def page(name: str, **metadata: Any) -> Any:
        return answering(json.dumps({"items": [{"name": name}], "metadata": metadata}).encode())

    first, last = page("a", hasMore=True, next="c-1"), page("b", hasMore=False)
    async with asking(first, last) as (api, server):
        found = await listed(api, "runs", {"status": ["failed"]}, None)
    assert found == ([{"name": "a"}, {"name": "b"}], False)
    assert [request.target.partition("?")[2] for request in server.requests] == [
        "status=failed&limit=1000",
        "status=failed&limit=1000&cursor=c-1",
    ]
    async with asking(first) as (api, server):
        assert await listed(api, "runs", {}, 1) == ([{"name": "a"}], True)
    assert len(server.requests) == 1
    async with asking(page("a", hasMore=True)) as (api, server):
        with pytest.raises(RefusedError, match="1,000 limits at once, and there are more"):
            await listed(api, "limits", {}, None)


async def test_an_answer_has_a_largest_size(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "_LARGEST", 10)
    async with asking(answering(b'"' + b"x" * 100 + b'"')) as (api, _):
        with pytest.raises(UnreachableError, match="is larger than"):
            await api.get("/v1/runs")
