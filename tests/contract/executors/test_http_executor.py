import asyncio
import contextlib
import gzip
import ssl
import subprocess
import time
import tracemalloc
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from activityctl.domain.destination import DestinationPolicy
from activityctl.errors import DestinationForbiddenError, TaskError
from activityctl.executors.destination import GuardedTransport
from activityctl.executors.http import HttpBody, HttpExecutor
from activityctl.ports import ExecutorOutcome, TaskCall

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


@pytest.fixture
async def executor():
    made = HttpExecutor(allow_http=True, allowed_networks=LOOPBACK, deadline_seconds=5)
    yield made
    await made.close()


async def silent(_level: str, _message: str, _metadata: Mapping[str, Any]):
    pass


def a_call(timeout_seconds: float = 10.0, attempt: int = 1) -> TaskCall:
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
    return await executor.execute(HttpBody.model_validate(body), call or a_call())


async def failing(executor: HttpExecutor, call: TaskCall | None = None, **body: Any) -> TaskError:
    with pytest.raises(TaskError) as caught:
        await run(executor, call, **body)
    return caught.value


# ---- what is sent, what comes back ---------------------------------------------------


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
    assert request.target == "/score?kept=1&text=%C3%A4+%26&flag=true&list=1&list=2.5"
    assert request.body == b'{"order":[1,null]}'
    assert request.headers["content-type"] == "application/json"
    assert request.headers["x-mine"] == "grün"
    assert request.headers["host"] == f"127.0.0.1:{server.port}"
    assert request.headers["idempotency-key"] == "task-1"
    assert request.headers["x-activityctl-run"] == "run-1"
    assert request.headers["x-activityctl-attempt"] == "3"
    assert request.headers["user-agent"].startswith("activityctl/")


async def test_json_comes_back_parsed(serve: Serve, executor: HttpExecutor):
    server = await serve(answering_json('{"n": 18446744073709551616}'))
    outcome = await run(executor, url=server.url)
    duration = outcome.output.pop("durationMs")
    assert 0 <= duration < 5000
    assert outcome.output == {
        "status": 200,
        "headers": {"content-length": "27", "content-type": "application/json"},
        "body": None,
        "json": {"n": "18446744073709551616"},
        "bytes": 27,
    }


@pytest.mark.parametrize("text", ["NaN", '"\\u0000"', '["\\ud800"]', "[" * 70 + "]" * 70, "{"])
async def test_json_that_cannot_be_stored_stays_text(
    serve: Serve, executor: HttpExecutor, text: str
):
    server = await serve(answering_json(text))
    output = (await run(executor, url=server.url)).output
    assert output["json"] is None
    assert output["body"] == text


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
async def test_text_comes_back_fit_to_be_stored(
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


async def test_gzip_is_undone_even_in_several_members(serve: Serve, executor: HttpExecutor):
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
async def test_only_what_may_heal_is_retried(
    serve: Serve, executor: HttpExecutor, status: int, *, may_retry: bool
):
    server = await serve(answering(b"sorry", status=f"{status} Oh"))
    error = await failing(executor, url=server.url)
    assert (error.task_code, error.may_retry) == ("unexpected_status", may_retry)


async def test_the_error_says_what_was_asked_and_answered_but_no_query(
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


# ---- slow, endless and broken neighbours ---------------------------------------------


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
async def test_the_deadline_holds_over_headers_and_body(
    serve: Serve, executor: HttpExecutor, answer: Answer
):
    server = await serve(answer)
    started = time.monotonic()
    error = await failing(executor, a_call(timeout_seconds=0.3), url=server.url)
    assert (error.task_code, error.may_retry) == ("timeout", True)
    assert 0.25 < time.monotonic() - started < 4


async def test_our_own_deadline_holds_when_the_task_allows_more(serve: Serve):
    server = await serve(dripping_body)
    executor = HttpExecutor(allow_http=True, allowed_networks=LOOPBACK, deadline_seconds=0.2)
    error = await failing(executor, a_call(timeout_seconds=60), url=server.url)
    assert "within 0.2 s" in error.message
    await executor.close()


@pytest.mark.parametrize("answer", [endless_body, endless_headers, endless_header_line])
async def test_endless_responses_are_cut(serve: Serve, executor: HttpExecutor, answer: Answer):
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
    async with asyncio.timeout(4):
        await asyncio.gather(*server.talks)


async def test_bodies_up_to_1_mib_are_taken(serve: Serve, executor: HttpExecutor):
    server = await serve(answering(b"x" * 1024 * 1024))
    assert (await run(executor, url=server.url)).output["bytes"] == 1024 * 1024
    server.answer = answering(b"x" * (1024 * 1024 + 1))
    assert (await failing(executor, url=server.url)).task_code == "response_too_large"


async def test_headers_up_to_64_kib_are_taken(serve: Serve, executor: HttpExecutor):
    server = await serve(answering(headers=[f"X: {'y' * 60_000}"]))
    assert len((await run(executor, url=server.url)).output["headers"]["x"]) == 60_000
    server.answer = answering(headers=[f"X: {'y' * 66_000}"])
    assert (await failing(executor, url=server.url)).task_code == "response_too_large"


async def test_a_gzip_bomb_is_refused_without_inflating_it(serve: Serve, executor: HttpExecutor):
    bomb = gzip.compress(b"\0" * 50_000_000)
    server = await serve(answering(bomb, headers=["Content-Encoding: gzip"]))
    await failing(executor, url=server.url)  # warms up what is loaded once
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
        (gzip.compress(b"x" * 999)[:-9], "gzip", True),
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


async def test_nobody_listening_is_retried(executor: HttpExecutor, unused_tcp_port: int):
    error = await failing(executor, url=f"http://127.0.0.1:{unused_tcp_port}/")
    assert (error.task_code, error.may_retry) == ("unreachable", True)
    assert "refused" in error.message


@pytest.mark.parametrize("host", ["nowhere.invalid", "a..b", "x" * 70])
async def test_a_name_that_does_not_resolve_is_retried(executor: HttpExecutor, host: str):
    error = await failing(executor, url=f"http://{host}/")
    assert (error.task_code, error.may_retry) == ("unreachable", True)
    assert "resolve" in error.message


@pytest.mark.parametrize(
    "body",
    [
        {"json": float("nan")},
        {"json": "\ud800"},
        {"query": {"x": "y" * 70_000}},
    ],
)
async def test_a_request_that_cannot_be_written_is_final(
    executor: HttpExecutor, body: dict[str, Any]
):
    error = await failing(executor, url="http://127.0.0.1/", **body)
    assert (error.task_code, error.may_retry) == ("invalid_request", False)


async def test_a_header_that_cannot_be_written_is_final(serve: Serve, executor: HttpExecutor):
    server = await serve(answering())
    error = await failing(executor, url=server.url, headers={"X": " padded "})
    assert (error.task_code, error.may_retry) == ("invalid_request", False)
    assert server.requests == []


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
    async with asyncio.timeout(20):
        outcomes = await asyncio.gather(*(run(executor, url=server.url) for _ in range(120)))
    assert all(outcome.output["body"] == "fine" for outcome in outcomes)


# ---- where calls may go --------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "localhost", "127.1", "0", "2130706433", "0x7f000001", "0177.0.0.1"),
        *("[::1]", "[::ffff:127.0.0.1]", "[::7f00:1]", "[64:ff9b::7f00:1]"),
        *("127\u30020.0.1", "user:s3cret@127.0.0.1"),
    ],
)
async def test_ways_to_spell_this_machine_are_refused(serve: Serve, host: str):
    server = await serve(answering(b"inside"))
    executor = HttpExecutor(allow_http=True, allowed_networks=())
    error = await failing(executor, url=f"http://{host}:{server.port}/")
    assert (error.task_code, error.may_retry) == ("destination_forbidden", False)
    assert "s3cret" not in error.message
    assert server.connections == 0
    await executor.close()


@pytest.mark.parametrize(
    "url",
    [
        *("http://169.254.169.254/latest/meta-data", "https://10.0.0.1/"),
        *("https://[fd00::1]/", "https://[fe80::1%lo]/"),
        *("file:///etc/passwd", "gopher://example.com/", "http+unix://%2Frun%2Fdocker.sock/"),
        *("", "/path", "//example.com/", "https://"),
        *("https://example.com:0/", "https://example.com:99999/", "https://exa\tmple.com/"),
    ],
)
async def test_other_forbidden_places_are_refused(url: str):
    executor = HttpExecutor(allow_http=True, allowed_networks=())
    error = await failing(executor, url=url)
    assert (error.task_code, error.may_retry) == ("destination_forbidden", False)
    await executor.close()


async def test_a_path_alone_names_our_own_api_under_the_same_guard(
    serve: Serve, executor: HttpExecutor
):
    server = await serve(answering(b"fine"))
    assert (await failing(executor, url="/healthz")).task_code == "destination_forbidden"
    ours = HttpExecutor(allow_http=True, allowed_networks=LOOPBACK, own_api=f"{server.url}/")
    assert (await run(ours, url="/healthz?x=1")).output["body"] == "fine"
    assert server.requests[0].target == "/healthz?x=1"
    assert (await failing(ours, url="//10.0.0.1/x")).task_code == "destination_forbidden"
    await ours.close()
    strict = HttpExecutor(allow_http=True, allowed_networks=(), own_api=server.url)
    assert (await failing(strict, url="/healthz")).task_code == "destination_forbidden"
    await strict.close()


async def test_plain_http_is_refused_unless_allowed(serve: Serve):
    server = await serve(answering())
    executor = HttpExecutor(allow_http=False, allowed_networks=LOOPBACK)
    error = await failing(executor, url=server.url)
    assert error.task_code == "destination_forbidden"
    assert "ACTIVITYCTL_ALLOW_HTTP" in error.message
    assert server.connections == 0
    await executor.close()


async def test_a_name_is_resolved_and_checked_for_each_connection(serve: Serve):
    server = await serve(answering(b"x", headers=["Connection: close"]))
    answers = [["127.0.0.1"], ["127.0.0.2"]]

    async def rebinding(_host: str, _port: int) -> list[str]:
        return answers.pop(0)

    policy = DestinationPolicy(allow_http=True, allowed_networks=(ip_network("127.0.0.1/32"),))
    transport = GuardedTransport(policy, resolve=rebinding)
    request = httpx.Request("GET", f"http://shop.example:{server.port}/")
    response = await transport.handle_async_request(request)
    await response.aread()
    assert server.requests[0].headers["host"] == f"shop.example:{server.port}"
    with pytest.raises(DestinationForbiddenError, match=r"127\.0\.0\.2 \(loopback\)"):
        await transport.handle_async_request(request)
    await transport.aclose()


@pytest.mark.parametrize(
    ("allowed", "found", "reached"),
    [
        ("127.0.0.1/32", ["10.0.0.1", "127.0.0.2", "127.0.0.1"], "127.0.0.1"),
        ("127.0.0.2/32", ["127.0.0.2", "127.0.0.1"], "127.0.0.2"),
    ],
)
async def test_only_the_permitted_addresses_of_a_name_are_tried(
    serve: Serve, allowed: str, found: list[str], reached: str
):
    server = await serve(answering(b"x"), host="0.0.0.0")

    async def resolve(_host: str, _port: int) -> list[str]:
        return found

    policy = DestinationPolicy(allow_http=True, allowed_networks=(ip_network(allowed),))
    transport = GuardedTransport(policy, resolve=resolve)
    request = httpx.Request("GET", f"http://shop.example:{server.port}/")
    assert await (await transport.handle_async_request(request)).aread() == b"x"
    assert server.reached == [reached]
    await transport.aclose()


async def test_the_next_address_of_a_name_is_tried_when_one_does_not_answer(serve: Serve):
    server = await serve(answering(b"x"))

    async def resolve(_host: str, _port: int) -> list[str]:
        return ["127.0.0.2", "127.0.0.1"]

    policy = DestinationPolicy(allow_http=True, allowed_networks=LOOPBACK)
    transport = GuardedTransport(policy, resolve=resolve)
    request = httpx.Request("GET", f"http://shop.example:{server.port}/")
    assert await (await transport.handle_async_request(request)).aread() == b"x"
    await transport.aclose()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory):
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=shop.example"),
            *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-addext", "subjectAltName=DNS:shop.example"),
            *("-keyout", path, "-out", f"{path}.crt"),
        ],
        check=True,
        capture_output=True,
    )
    path.write_text(path.read_text() + (path.parent / "both.pem.crt").read_text())
    return path


async def test_tls_is_spoken_with_the_name_of_the_url(serve: Serve, certificate: Path):
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(certificate)
    names = []
    server_side.sni_callback = lambda _socket, name, _context: names.append(name)
    server = await serve(answering(b"safe"), ssl=server_side)

    async def resolve(_host: str, _port: int) -> list[str]:
        return ["127.0.0.1"]

    transport = GuardedTransport(
        DestinationPolicy(allowed_networks=LOOPBACK),
        resolve=resolve,
        ssl_context=ssl.create_default_context(cafile=certificate),
    )
    request = httpx.Request("GET", f"https://shop.example:{server.port}/")
    assert await (await transport.handle_async_request(request)).aread() == b"safe"
    assert names == ["shop.example"]
    with pytest.raises(httpx.ConnectError, match="certificate"):
        await transport.handle_async_request(
            httpx.Request("GET", f"https://other.example:{server.port}/")
        )
    await transport.aclose()


async def test_an_unknown_certificate_is_refused(
    serve: Serve, certificate: Path, executor: HttpExecutor
):
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(certificate)
    server = await serve(answering(b"safe"), ssl=server_side)
    error = await failing(executor, url=f"https://127.0.0.1:{server.port}/")
    assert error.task_code == "unreachable"
    assert "certificate" in error.message.lower()
    assert server.requests == []


# ---- what stands in YAML -------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({}, "url"),
        ({"url": "https://x", "json": 1, "body": "x"}, "exclude one another"),
        ({"url": "https://x", "json": None, "body": "x"}, "exclude one another"),
        ({"url": "https://x", "method": "get"}, "method"),
        ({"url": "https://x", "headers": {"Host": "y"}}, "activityctl alone"),
        ({"url": "https://x", "headers": {"a b": "y"}}, "name of a header"),
        ({"url": "https://x", "headers": {"a": "y\r\nEvil: 1"}}, "line ends"),
        ({"url": "https://x", "expect": [99]}, "status code"),
        ({"url": "https://x", "expect": ["2x"]}, "status code"),
        ({"url": "https://x", "expect": []}, "at least 1"),
        ({"url": "https://x", "followRedirects": True}, "followRedirects"),
    ],
)
def test_bodies_that_make_no_sense_are_refused(body: dict[str, Any], reason: str):
    with pytest.raises(ValidationError, match=reason):
        HttpBody.model_validate(body)


def test_every_field_of_the_body_is_described():
    assert all(field.description for field in HttpBody.model_fields.values())
