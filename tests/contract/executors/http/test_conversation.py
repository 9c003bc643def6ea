"""The HTTP executor: requests, responses, success and failure, the fields in YAML."""

import asyncio
import gzip
from typing import Any

import pytest
from pydantic import ValidationError

from activityctl.domain.manifests.output_fields import OUTPUT_FIELDS
from activityctl.domain.values.model import WRITTEN
from activityctl.executors.http import HttpExecutor
from activityctl.executors.http_body import HttpBody
from support.http_server import (
    Serve,
    a_call,
    answering,
    answering_json,
    failing,
    run,
)

# ---- requests and responses ----------------------------------------------------------


async def test_the_request_is_sent_as_written_with_our_headers(
    serve: Serve, executor: HttpExecutor
):
    server = await serve(answering_json('{"ok": true}'))
    await run(
        executor,
        a_call(attempt=3),
        method="POST",
        url=f"{server.url}/score?kept=1",
        query={"text": "ä &", "flag": True, "list": [1, 2.5]},
        headers={"X-Mine": "grün"},
        json={"order": [1, None]},
    )
    (request,) = server.requests
    assert request.method == "POST"
    assert request.target == "/score?kept=1&flag=true&list=1&list=2.5&text=%C3%A4%20%26"
    assert request.body == b'{"order":[1,null]}'
    assert request.headers["content-type"] == "application/json"
    assert request.headers["x-mine"] == "grün"
    assert request.headers["host"] == f"127.0.0.1:{server.port}"
    assert request.headers["idempotency-key"] == "task-1"
    assert request.headers["x-activityctl-run"] == "run-1"
    assert request.headers["x-activityctl-attempt"] == "3"
    assert request.headers["user-agent"].startswith("activityctl/")


@pytest.mark.parametrize(
    ("path", "query", "target"),
    [
        ("/a?x=%FF&b&s=a+b%20c&sig=%2f%2B", {"x": "ü"}, "/a?x=%FF&b&s=a+b%20c&sig=%2f%2B&x=%C3%BC"),
        ("/a?", {"a": ["1", "2"], "none": []}, "/a?a=1&a=2"),
        ("/a?b&#part", {"c": "#"}, "/a?b&c=%23"),
        ("/a#part", {"q": "a+b&c=d", "": "x"}, "/a?=x&q=a%2Bb%26c%3Dd"),
        ("/a?sig=%e4'(~)", {}, "/a?sig=%e4'(~)"),
        ("/a", {"n": "1", "l": ["2", "1"], "m": ""}, "/a?l=2&l=1&m=&n=1"),
    ],
)
async def test_a_query_is_added_and_what_the_url_has_is_not_changed(
    serve: Serve, executor: HttpExecutor, path: str, query: dict[str, Any], target: str
):
    server = await serve(answering())
    await run(executor, url=server.url + path, query=query)
    assert server.requests[0].target == target


async def test_numbers_and_booleans_are_texts_as_json_writes_them(
    serve: Serve, executor: HttpExecutor
):
    server = await serve(answering())
    headers = {"X-Count": 7, "X-Share": 0.5, "X-On": True}
    await run(executor, method="POST", url=server.url, headers=headers, body=12)
    (request,) = server.requests
    assert [request.headers[name] for name in ("x-count", "x-share", "x-on")] == [
        "7",
        "0.5",
        "true",
    ]
    assert request.body == b"12"


@pytest.mark.parametrize(
    ("status", "headers", "seconds"),
    [
        ("429 Too Many Requests", ["Retry-After: 7"], 7),
        ("503 Service Unavailable", ["Retry-After: 0"], 0),
        (
            "503 Service Unavailable",
            [
                "Date: Sun, 06 Nov 1994 08:49:37 GMT",
                "Retry-After: Sun, 06 Nov 1994 08:50:37 GMT",
            ],
            60,
        ),
        ("503 Service Unavailable", ["Retry-After: Sun, 06 Nov 1994 08:49:37 GMT"], 0),
        ("503 Service Unavailable", ["Retry-After: 18446744073709551615"], 1e9),
        ("503 Service Unavailable", [f"Retry-After: {'9' * 5000}"], 1e9),
        ("503 Service Unavailable", ["Retry-After: soon"], None),
        ("503 Service Unavailable", ["Retry-After: -7"], None),
        ("503 Service Unavailable", [], None),
    ],
)
async def test_retry_after_is_read_in_seconds_and_as_a_date(
    serve: Serve,
    executor: HttpExecutor,
    status: str,
    headers: list[str],
    seconds: float | None,
):
    server = await serve(answering(status=status, headers=headers))
    error = await failing(executor, url=server.url, headers={"X-Api-Key": "canary-1234"})
    assert (error.retry_after_seconds, error.may_retry) == (seconds, True)


async def test_json_comes_back_parsed(serve: Serve, executor: HttpExecutor):
    server = await serve(answering_json('{"n": 18446744073709551616}'))
    outcome = await run(executor, url=server.url)
    duration = outcome.output.pop("durationMs")
    assert 0 <= duration < 60_000
    assert outcome.output == {
        "status": 200,
        "headers": {"content-length": "27", "content-type": "application/json"},
        "body": None,
        "json": {"n": "18446744073709551616"},
        "bytes": 27,
    }


@pytest.mark.parametrize(
    "text", ["NaN", "1e400", '"\\u0000"', '["\\ud800"]', "[" * 70 + "]" * 70, "{"]
)
async def test_json_that_cannot_be_stored_stays_text(
    serve: Serve, executor: HttpExecutor, text: str
):
    server = await serve(answering_json(text))
    output = (await run(executor, url=server.url)).output
    assert output["json"] is None
    assert output["body"] == text
    assert output["jsonError"].startswith("the body is not JSON that can be stored: ")
    assert output.keys() <= OUTPUT_FIELDS["http"].keys()


@pytest.mark.parametrize(
    ("content", "media_type", "text"),
    [
        (b"", "text/plain", None),
        (b"a\0b\x1bc\nd", "text/plain", "a\ufffdb\ufffdc\nd"),
        (b"\xff", "text/plain", "\ufffd"),
        (b"\xe4", "text/plain; charset=iso-8859-1", "ä"),
        ("ä".encode(), "text/plain; charset=punycode", "ä"),
        ("ä".encode(), "text/plain; charset=no-such", "ä"),
        (b'{"a": 1}', "text/plain", '{"a": 1}'),
    ],
)
async def test_a_text_body_comes_back_storable(
    serve: Serve, executor: HttpExecutor, content: bytes, media_type: str, text: str | None
):
    server = await serve(answering(content, headers=[f"Content-Type: {media_type}"]))
    output = (await run(executor, url=server.url)).output
    assert (output["body"], output["json"], output["bytes"]) == (text, None, len(content))


async def test_text_bodies_and_null_json_are_sent(serve: Serve, executor: HttpExecutor):
    server = await serve(answering())
    await run(executor, method="PUT", url=server.url, body="grün")
    await run(executor, method="PUT", url=server.url, json=None)
    assert [request.body for request in server.requests] == ["grün".encode(), b"null"]


async def test_head_and_no_content_have_no_body(serve: Serve, executor: HttpExecutor):
    server = await serve(answering(status="204 No Content", headers=["Content-Encoding: gzip"]))
    assert (await run(executor, method="HEAD", url=server.url)).output["body"] is None
    assert (await run(executor, url=server.url)).output["bytes"] == 0


async def test_gzip_with_several_members_is_decompressed(serve: Serve, executor: HttpExecutor):
    content = gzip.compress(b"one ") + gzip.compress(b"two")
    server = await serve(answering(content, headers=["Content-Encoding: gzip"]))
    output = (await run(executor, url=server.url)).output
    assert (output["body"], output["bytes"]) == ("one two", 7)
    assert "gzip" in server.requests[0].headers["accept-encoding"]


async def test_connections_are_kept_alive_and_cookies_are_not(serve: Serve, executor: HttpExecutor):
    server = await serve(answering(b"x", headers=["Set-Cookie: session=1"]))
    for _ in range(3):
        await run(executor, url=server.url)
    assert {request.connection for request in server.requests} == {1}
    assert not any("cookie" in request.headers for request in server.requests)


async def test_a_connection_that_the_server_closed_meanwhile_is_not_used_again(
    serve: Serve, executor: HttpExecutor
):
    async def answer_and_close(writer: asyncio.StreamWriter) -> None:
        await answering(b"x")(writer)
        writer.close()

    server = await serve(answer_and_close)
    for _ in range(3):
        assert (await run(executor, url=server.url)).output["status"] == 200
        await asyncio.sleep(0.02)
    assert server.connections == 3


async def test_proxies_of_the_environment_are_ignored(
    serve: Serve, executor: HttpExecutor, monkeypatch: pytest.MonkeyPatch
):
    proxy = await serve(answering(b"proxy"))
    server = await serve(answering(b"direct"))
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    monkeypatch.setenv("ALL_PROXY", proxy.url)
    assert (await run(executor, url=server.url)).output["body"] == "direct"


# ---- what counts as success ----------------------------------------------------------


@pytest.mark.parametrize("expect", [[200, 404], ["4xx"], 404, "4xx"])
async def test_expected_statuses_succeed(serve: Serve, executor: HttpExecutor, expect: Any):
    server = await serve(answering(status="404 Not Found"))
    assert (await run(executor, url=server.url, expect=expect)).output["status"] == 404


async def test_a_success_that_is_not_expected_fails(serve: Serve, executor: HttpExecutor):
    server = await serve(answering())
    error = await failing(executor, url=server.url, expect=[201])
    assert (error.task_code, error.may_retry) == ("unexpected_status", False)


@pytest.mark.parametrize(
    ("status", "may_retry"),
    [
        *((400, False), (401, False), (404, False), (409, False)),
        *((408, True), (425, True), (429, True), (500, True), (503, True)),
    ],
)
async def test_only_temporary_failures_are_retried(
    serve: Serve, executor: HttpExecutor, status: int, *, may_retry: bool
):
    server = await serve(answering(b"sorry", status=f"{status} Oh"))
    error = await failing(executor, url=server.url)
    assert (error.task_code, error.may_retry) == ("unexpected_status", may_retry)


async def test_the_error_quotes_request_and_response_but_no_query(
    serve: Serve, executor: HttpExecutor
):
    server = await serve(answering(b"\x1b" + b"y" * 9000, status="418 I'm a teapot"))
    error = await failing(executor, url=f"{server.url}/tea?token=s3cret", query={"k": "s3cret"})
    assert error.message == f"GET {server.url}/tea: 418 I'm a teapot: \ufffd{'y' * 499}"


async def test_redirects_are_not_followed(serve: Serve, executor: HttpExecutor):
    target = await serve(answering(b"target"))
    server = await serve(answering(status="302 Found", headers=[f"Location: {target.url}/x"]))
    error = await failing(executor, url=server.url)
    assert f"302 Found: redirects to {target.url}/x" in error.message
    assert not error.may_retry
    output = (await run(executor, url=server.url, expect=["3xx"])).output
    assert output["headers"]["location"] == f"{target.url}/x"
    assert target.requests == []


# ---- the fields in YAML --------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({}, "url"),
        ({"url": "https://x", "json": 1, "body": "x"}, "cannot be combined"),
        ({"url": "https://x", "json": None, "body": "x"}, "cannot be combined"),
        ({"url": "https://x", "method": "get"}, "method"),
        ({"url": ""}, "should not be empty"),
        ({"url": "ftp://x"}, "scheme 'ftp'"),
        ({"url": "risk.example/score"}, "no scheme"),
        ({"url": "https://"}, "no host"),
        ({"url": "https://a..example"}, "name of a host"),
        ({"url": "https://a b/"}, "name of a host"),
        ({"url": "https://x:99999"}, "port 99999"),
        ({"url": "https://x:y"}, "URL is invalid"),
        ({"url": "https://anna:s3cret@x"}, "user or password"),
        ({"url": "https://x", "headers": {"Host": "y"}}, "activityctl sets"),
        ({"url": "https://x", "headers": {"Accept": "a", "accept": "b"}}, "the same header"),
        ({"url": "https://x", "headers": {"a": " y"}}, "begin or end with a space"),
        ({"url": "https://x", "headers": {"a": None}}, "null is not a text"),
        ({"url": "https://x", "headers": {"a": {"b": 1}}}, "not a map"),
        ({"url": "https://x", "query": {"a": [[1]]}}, "not a list"),
        ({"url": "https://x", "expect": ["1xx"]}, "never the status"),
        ({"url": "https://x", "headers": {"a b": "y"}}, "name of a header"),
        ({"url": "https://x", "headers": {"a": "y\r\nEvil: 1"}}, "line ends"),
        ({"url": "https://x", "expect": [99]}, "status code"),
        ({"url": "https://x", "expect": ["2x"]}, "status code"),
        ({"url": "https://x", "expect": []}, "at least 1"),
        ({"url": "https://x", "followRedirects": True}, "followRedirects"),
    ],
)
def test_invalid_bodies_are_refused(body: dict[str, Any], reason: str):
    with pytest.raises(ValidationError, match=reason):
        HttpBody.model_validate(body, context=WRITTEN)


def test_every_field_of_the_body_is_described():
    assert all(field.description for field in HttpBody.model_fields.values())


async def test_credentials_of_a_response_and_those_of_the_request_that_it_repeats_are_masked(
    serve: Serve, executor: HttpExecutor
):
    content = b'{"you sent": "Bearer canary-1234"}'
    more = ["Content-Type: application/json", "Set-Cookie: session=1", "X-Echo: canary-1234"]
    answer = answering(content, headers=more)
    server = await serve(answer)
    sent = {"Authorization": "Bearer canary-1234"}
    output = (await run(executor, url=server.url, headers=sent)).output
    assert server.requests[0].headers["authorization"] == "Bearer canary-1234"
    assert output["headers"]["set-cookie"] == "***"
    assert output["headers"]["x-echo"] == "***"
    assert output["json"] == {"you sent": "***"}


async def test_the_error_of_a_task_does_not_repeat_its_credentials(
    serve: Serve, executor: HttpExecutor
):
    server = await serve(answering(b"bad key canary-1234", status="403 Forbidden"))
    error = await failing(executor, url=server.url, headers={"X-Api-Key": "canary-1234"})
    assert error.message.endswith("403 Forbidden: bad key ***")
    assert error.__cause__ is None


async def test_endless_informational_responses_end_the_call(serve: Serve, executor: HttpExecutor):
    async def never_begin(writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"HTTP/1.1 103 Early\r\n\r\n" * 100)
            await writer.drain()

    server = await serve(never_begin)
    async with asyncio.timeout(60):
        error = await failing(executor, url=server.url)
    assert "the response has more than 131,072 bytes before it began" in error.message


async def test_a_few_informational_responses_are_read_over(serve: Serve, executor: HttpExecutor):
    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 103 Early\r\n\r\n" * 20)
        await answering(b"x" * 300_000)(writer)

    server = await serve(answer)
    assert (await run(executor, url=server.url)).output["bytes"] == 300_000


async def test_endless_empty_gzip_members_end_the_call(serve: Serve, executor: HttpExecutor):
    content = gzip.compress(b"") * 5_000
    server = await serve(answering(content, headers=["Content-Encoding: gzip"]))
    error = await failing(executor, url=server.url)
    assert "more than 1,000 gzip members" in error.message


async def test_a_body_that_decompresses_to_nothing_ends_the_call(
    serve: Serve, executor: HttpExecutor
):
    content = b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + b"\0\0\0\xff\xff" * 600_000
    server = await serve(answering(content, headers=["Content-Encoding: gzip"]))
    assert (await failing(executor, url=server.url)).task_code == "response_too_large"
