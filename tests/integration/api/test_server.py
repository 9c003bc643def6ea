"""What every request meets: hosts, tokens, limits, deadlines and outages, over real sockets."""

import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from activityctl.api.app import ApiOptions
from activityctl.api.server import Limits
from activityctl.domain.values.ids import canonical_json
from activityctl.settings import Secret, Settings
from support.api_server import Api, answer_on, running_api
from support.link import Link

EVENT = {"specversion": "1.0", "id": "1", "source": "/door", "type": "door.opened"}
PROBLEM = "application/problem+json"
MIB = 1024 * 1024


def is_problem(answer: httpx.Response, status: int, code: str) -> bool:
    problem = answer.json()
    return (
        answer.status_code == status == problem["status"]
        and answer.headers["content-type"] == PROBLEM
        and problem["code"] == code
        and problem["type"] == f"urn:activityctl:problem:{code}"
        and problem["requestId"] == answer.headers["x-request-id"]
        and bool(problem["title"] and problem["detail"])
    )


@pytest.fixture(scope="module")
def strict(api_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A server with little room and short deadlines."""
    settings = replace(api_settings, home=tmp_path_factory.mktemp("strict"))
    limits = Limits(connections=8, header_seconds=1.0, write_seconds=1.0)
    options = ApiOptions(("door.example",), rate=1_000, burst=1_000)
    with running_api(settings, options, limits) as running:
        yield running


def test_every_path_but_health_needs_the_token_and_all_refusals_are_the_same(api: Api):
    url = f"http://127.0.0.1:{api.port}"
    with httpx.Client(base_url=url, trust_env=False) as stranger:
        assert stranger.get("/healthz").json()["status"] == "ok"
        assert stranger.get("/metrics").status_code == 200
        ready = stranger.get("/readyz")
        assert ready.status_code == 503
        assert ready.json()["checks"] == {"postgres": "ok", "worker": "none is running"}
        answers = [
            stranger.post("/v1/events", json=EVENT, headers=headers)
            for headers in (
                {},
                {"Authorization": "Bearer"},
                {"Authorization": "Bearer actl_local_wrong"},
                {"Authorization": f"Basic {api.token}"},
                {"Authorization": f"Bearer {api.token}x"},
                {"Authorization": f"Bearer {api.token.swapcase()}"},
                {"Authorization": "Bearer grün".encode()},
            )
        ]
    texts = {answer.text.replace(answer.headers["x-request-id"], "") for answer in answers}
    assert len(texts) == 1
    assert all(is_problem(answer, 401, "unauthorized") for answer in answers)
    assert answers[0].headers["www-authenticate"] == "Bearer"


def test_the_token_is_in_a_file_of_this_user_alone(api: Api, api_settings: Settings):
    path = api_settings.home / "api-token"
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o644)
    try:
        refused = api.client.post("/v1/events", json=EVENT)
        assert is_problem(refused, 401, "unauthorized")
    finally:
        path.chmod(0o600)


def test_unknown_paths_and_methods_are_problems(api: Api):
    assert is_problem(api.client.get("/v1/nothing"), 404, "not_found")
    assert is_problem(api.client.get("/v1/../etc/%2e%2e/%00"), 404, "not_found")
    refused = api.client.delete("/v1/events")
    assert is_problem(refused, 405, "method_not_allowed")
    assert refused.headers["allow"] == "GET, POST, HEAD"
    schema = api.client.get("/v1/openapi.json").json()
    assert schema["openapi"].startswith("3.1")
    assert "/v1/events" in schema["paths"]


def test_compressed_bodies_are_refused(api: Api):
    sent = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    for path in ("events", "manifests/plan", "subscriptions/pause", "tokens"):
        answer = api.client.post(f"/v1/{path}", content=b"{}", headers=sent)
        assert is_problem(answer, 415, "unsupported_media_type"), path


def test_a_request_id_is_kept_if_it_is_harmless(api: Api):
    assert api.client.get("/healthz", headers={"X-Request-Id": "job-7"}).headers[
        "x-request-id"
    ] == ("job-7")
    made = api.client.get("/healthz", headers={"X-Request-Id": "a b\tc"}).headers["x-request-id"]
    assert made.isalnum()


@pytest.mark.parametrize("host", ["rebound.example", "127.0.0.1.rebound.example", "door.example@x"])
def test_foreign_hosts_are_refused(strict: Api, host: str):
    answer = strict.raw(f"GET /healthz HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    assert (answer.status, answer.json["code"]) == (400, "bad_request")


def test_known_hosts_and_own_pages_are_served(strict: Api):
    for host in ("localhost", f"LOCALHOST:{strict.port}", "[::1]:80", "door.example"):
        head = f"GET /healthz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n"
        assert strict.raw(f"{head}\r\n".encode()).status == 200
        same = strict.raw(f"{head}Origin: http://{host}\r\n\r\n".encode())
        other = strict.raw(f"{head}Origin: http://evil.example\r\n\r\n".encode())
        assert (same.status, other.status) == (200, 403)


@pytest.mark.parametrize(
    "head",
    [
        "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 3\r\nContent-Length: 4\r\n",
        "Content-Length: +3\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Host: localhost\r\n",
        "no header\r\n",
        "Content-Length: 3, 4\r\n",
        "Content-Length: 0x3\r\n",
        "Content-Length: 3\r\nContent-Length : 3\r\n",
        "Transfer-Encoding: identity, chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: \x0bchunked\r\n",
        "X: a\x00b\r\n",
        "X: a\rTransfer-Encoding: chunked\r\n",
    ],
)
def test_requests_that_two_servers_could_read_differently_are_refused(api: Api, head: str):
    answer = api.raw(
        f"POST /v1/events HTTP/1.1\r\nHost: localhost\r\n{head}\r\n0\r\n\r\nGET /".encode()
    )
    assert answer.status in {400, 501}
    assert answer.headers["content-type"] == PROBLEM
    assert answer.headers["connection"] == "close"


@pytest.mark.parametrize(
    "body",
    [
        "3;x\r\nabc\r\n-1\r\n",
        "0x3\r\nabc\r\n0\r\n\r\n",
        "+3\r\nabc\r\n0\r\n\r\n",
        "3\r\nabcd\r\n0\r\n\r\n",
        "fffffffffffffffffffff\r\n",
        "3" + "0" * 70_000,
        "\r\n3\r\nabc\r\n0\r\n\r\n",
    ],
)
def test_chunks_that_two_servers_could_read_differently_end_the_connection(api: Api, body: str):
    head = (
        "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
        f"Authorization: Bearer {api.token}\r\nContent-Type: application/json\r\n\r\n"
    )
    hidden = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    answer = api.raw(f"{head}{body}{hidden}".encode())
    assert answer.status in {400, 413}
    assert b"\r\nHTTP/1.1 " not in answer.body
    assert api.client.get("/healthz").status_code == 200


def test_folded_lines_are_one_header_and_bare_line_ends_hide_none(api: Api):
    """RFC 9112, 5.2 and 2.2: h11 reads a fold as a space, and a bare LF as a line end."""
    end = "Connection: close\r\n\r\n"
    folded = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: a\r\n b\r\n"
    answer = api.raw(f"{folded}{end}".encode())
    assert (answer.status, answer.headers["x-request-id"] != "a") == (200, True)
    bare = "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nX: a\nTransfer-Encoding: chunked\r\n"
    both = api.raw(f"{bare}Content-Length: 3\r\n{end}0\r\n\r\n".encode())
    assert both.status == 400


@pytest.mark.parametrize(
    "path",
    [
        "//v1/status",
        "/v1//status",
        "/v1/./status",
        "/v1/x/../status",
        "/v1/%2e%2e/v1/status",
        "/v1/status/",
        "/v1/status/.",
        "/v1/status%00",
        "/v1/status%2f",
        "/v1%2fstatus",
        "/v1/status..",
        "/v1/status;a=b",
        "/v1\\status",
        "/V1/status",
        "/v1/%73tatus%20",
        "http://evil.example/v1/status",
        "*",
    ],
)
def test_another_spelling_of_a_path_is_not_that_path(api: Api, path: str):
    head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    for token in ("", f"Authorization: Bearer {api.token}\r\n"):
        answer = api.raw(f"{head}{token}\r\n".encode())
        assert answer.status in {400, 401, 404}, answer
        assert answer.json["code"] in {"bad_request", "unauthorized", "not_found"}


def test_large_bodies_and_headers_are_refused_without_reading_the_rest(api: Api):
    head = (
        "POST /v1/events HTTP/1.1\r\nHost: localhost\r\n"
        f"Authorization: Bearer {api.token}\r\nContent-Type: application/cloudevents+json\r\n"
    )
    announced = api.raw(f"{head}Content-Length: {100 * MIB}\r\n\r\n".encode())
    assert (announced.status, announced.json["code"]) == (413, "body_too_large")
    chunk = f"{MIB:x}\r\n".encode() + b" " * MIB + b"\r\n"
    with api.connect() as connection:
        connection.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        try:
            for _ in range(100):
                connection.sendall(chunk)
        except (BrokenPipeError, ConnectionResetError):
            pass
        else:
            pytest.fail("the server has read 100 MiB")
    long = api.raw(f"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: {'x' * 70_000}".encode())
    assert (long.status, long.json["code"]) == (431, "headers_too_large")
    whole = api.client.get("/healthz", headers={"X": "x" * 70_000})  # in one piece
    assert (whole.status_code, whole.json()["code"]) == (431, "headers_too_large")
    assert api.client.get("/healthz").status_code == 200


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("POST /v1/events HTTP/1.1\r\nContent-Length: 300000", 401),
        ("POST /v1/events HTTP/1.1\r\nbad header", 400),
        ("POST /v1/events HTTP/1.1\r\nContent-Length: 300000\r\nConnection: close", 401),
        ("POST /v1/events HTTP/1.0\r\nContent-Length: 300000", 401),
        ("POST /v1/deadletters/a%2fb/retry HTTP/1.1\r\nContent-Length: 300000", 400),
        ("POST /v1/events HTTP/1.1\r\nContent-Length: 9000000\r\nAuthorization: TOKEN", 413),
    ],
)
def test_who_still_sends_gets_the_answer_and_no_reset(api: Api, head: str, status: int):
    told = head.replace("TOKEN", f"Bearer {api.token}\r\nContent-Type: application/json")
    with api.connect() as connection:
        connection.sendall(f"{told}\r\nHost: localhost\r\n\r\n".encode())
        answer = connection.recv(1)  # it is there, and nothing of the body was sent
        for _ in range(3):
            connection.sendall(b"x" * 100_000)
        connection.shutdown(socket.SHUT_WR)
        while part := connection.recv(65_536):  # a reset would be an error here
            answer += part
    assert answer.startswith(b"HTTP/1.1 " + str(status).encode())
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["requestId"]


def test_a_body_that_comes_after_the_answer_does_not_end_the_connection(strict: Api):
    late = b"POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n"
    next_one = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    with strict.connect() as connection:
        connection.sendall(late)
        answer = b""
        while not answer.endswith(b"}"):
            answer += connection.recv(65_536)
        assert answer.startswith(b"HTTP/1.1 401")
        connection.sendall(b"12345")
        time.sleep(2)  # longer than headers may take: the connection is idle, which it may be
        connection.sendall(next_one)
        assert answer_on(connection).status == 200


def test_an_answer_does_not_wait_for_the_acknowledgement_of_another(api: Api):
    with api.connect() as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert connection.recv(1) == b"H"
        ours = connection.getsockname()
        everyone = list(api.server.server_state.connections)
        (served,) = [each for each in everyone if each.client == ours]
        at_its_end = served.transport.get_extra_info("socket")
        assert at_its_end.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_slow_requests_end_and_others_are_served_meanwhile(strict: Api):
    with strict.connect() as slow, strict.connect() as silent:
        slow.sendall(b"GET /healthz HTTP/1.1\r\nHost: local")
        assert strict.client.get("/healthz").status_code == 200
        late = answer_on(slow)
        assert (late.status, late.json["code"]) == (408, "request_timeout")
        assert silent.recv(1) == b""


def test_half_open_connections_do_not_keep_others_out(strict: Api):
    head = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    with ExitStack() as stack:
        for connection in [stack.enter_context(strict.connect()) for _ in range(40)]:
            connection.send(b"GET /healthz HTTP/1.1\r\n")
        assert strict.raw(head).status == 200


def test_who_asks_too_often_is_told_when_to_come_again(api_settings: Settings, tmp_path: Path):
    settings = replace(api_settings, home=tmp_path)
    with running_api(settings, ApiOptions(rate=2, burst=20)) as strict:
        is_told_to_wait(strict)


def is_told_to_wait(strict: Api) -> None:
    answers = [strict.client.get("/nowhere") for _ in range(60)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert is_problem(refused[0], 429, "too_many_requests")
    assert refused[0].headers["retry-after"] == "1"
    assert {strict.client.get("/healthz").status_code for _ in range(30)} == {200}
    until = time.monotonic() + 60
    while strict.client.get("/nowhere").status_code == 429:
        assert time.monotonic() < until
        time.sleep(0.2)


def test_without_room_a_body_is_refused_at_once(api: Api):
    intake = api.app.state.intake
    free, intake._free = intake._free, 10
    try:
        refused = api.client.post("/v1/events", json=EVENT)
    finally:
        intake._free = free
    assert is_problem(refused, 503, "busy")
    assert refused.headers["retry-after"] == "1"
    assert intake._free == free
    assert api.client.post("/v1/events", json=EVENT).status_code == 200


def test_a_slow_body_ends(api: Api):
    intake = api.app.state.intake
    seconds, intake._seconds = intake._seconds, 0.3
    try:
        slow = api.raw(
            "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n"
            f"Authorization: Bearer {api.token}\r\n"
            "Content-Type: application/json\r\n\r\n{".encode()
        )
    finally:
        intake._seconds = seconds
    assert (slow.status, slow.json["code"]) == (408, "request_timeout")


def test_the_server_recovers_by_itself_when_postgres_comes_back(
    api_settings: Settings, tmp_path: Path
):
    url = api_settings.required_database_url()
    parts = urlsplit(url)
    with Link(parts.hostname or "", parts.port or 0) as link:
        settings = replace(api_settings, home=tmp_path, database_url=Secret(link.url(url)))
        with running_api(settings) as api:
            event = {**EVENT, "id": "before"}
            assert api.client.post("/v1/events", json=event).status_code == 200
            link.cut()
            with ThreadPoolExecutor() as pool:  # each waits some seconds for Postgres
                sent = {**EVENT, "id": "meanwhile"}
                posted = pool.submit(api.client.post, "/v1/events", json=sent)
                ready = pool.submit(api.client.get, "/readyz").result()
                away = posted.result()
            assert is_problem(away, 503, "unreachable")
            assert int(away.headers["retry-after"]) >= 1
            assert ready.status_code == 503
            assert ready.json()["checks"]["postgres"] != "ok"
            link.heal()
            until = time.monotonic() + 60
            while api.client.post("/v1/events", json=event).status_code != 200:
                assert time.monotonic() < until


def test_an_open_request_is_finished_when_the_server_stops(api_settings: Settings, tmp_path: Path):
    body = canonical_json({**EVENT, "id": "at the end"}).encode()
    with running_api(replace(api_settings, home=tmp_path)) as api:
        connection: socket.socket = api.connect()
        head = (
            "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Authorization: Bearer {api.token}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        connection.sendall(head.encode() + body[:9])
        until = time.monotonic() + 60
        while not api.server.server_state.tasks and time.monotonic() < until:
            time.sleep(0.01)
        api.server.should_exit = True
        connection.sendall(body[9:])
        assert answer_on(connection).status == 200
        connection.close()
