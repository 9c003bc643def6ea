"""Streams of the log over real sockets: clients that read slowly, and many at once."""

import asyncio
import json
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest

from activityctl import wiring
from activityctl.domain.values.log import LogEntry
from activityctl.settings import Settings
from support.api_server import Api

LONG = "x" * 8_000
LINES = 400


@contextmanager
def stream_of(api: Api, path: str, buffer: int = 65_536) -> Iterator[Iterator[tuple[str, str]]]:
    """Ask for a stream, and wait until it has begun; yield the ids and messages that come."""
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        connection.settimeout(60)
        connection.connect(("127.0.0.1", api.port))
        head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {api.token}\r\n"
        connection.sendall(f"{head}Accept: text/event-stream\r\n\r\n".encode())
        received = b""
        while b": the log follows" not in received:
            received += connection.recv(4_096)
        with connection.makefile("rb") as file:
            yield events_in(file)


def events_in(file: Iterable[bytes]) -> Iterator[tuple[str, str]]:
    place = ""
    for line in file:
        name, _, value = line.decode().rstrip("\n").partition(": ")
        if name == "id":
            place = value
        if name == "data":
            yield place, json.loads(value)["message"]


def test_a_slow_client_gets_all_lines_later_and_others_get_them_at_once(
    api: Api, api_settings: Settings
):
    name = "read-slowly"
    manifests = [
        {"kind": "ActivityDefinition", "spec": {"tasks": [{"name": "n", "wait": {"for": "1s"}}]}},
        {"kind": "Subscription", "spec": {"activity": name}},
    ]
    common = {"apiVersion": "activityctl/v1", "metadata": {"name": name}}
    documents = "\n---\n".join(json.dumps({**common, **each}) for each in manifests)
    applied = api.client.post(
        "/v1/manifests/apply", content=documents, headers={"Content-Type": "application/yaml"}
    )
    assert applied.status_code == 200, applied.text
    path = f"/v1/subscriptions/{name}/logs?tail=0"

    async def write() -> None:
        async with wiring.open_ports(api_settings) as ports:
            owner = (await ports.catalog.find_subscription(name)).id
            now = datetime.now(UTC)
            for first in range(0, LINES, 50):
                numbers = range(first, first + 50)
                entries = [LogEntry(owner, None, f"{n} {LONG}", "info", now) for n in numbers]
                await ports.logbook.append(entries)

    with (
        stream_of(api, path, buffer=4_096) as slow,
        stream_of(api, f"{path}&grep=x") as quick,
        stream_of(api, f"{path}&grep=%5E3") as threes,
        stream_of(api, f"{path}&grep=none"),
    ):
        asyncio.run(write())
        assert [int(next(quick)[1].split()[0]) for _ in range(LINES)] == [*range(LINES)]
        expected = [n for n in range(LINES) if str(n).startswith("3")]
        assert [int(next(threes)[1].split()[0]) for _ in expected] == expected
        seen = [next(slow) for _ in range(LINES)]
    assert [int(message.split()[0]) for _, message in seen] == [*range(LINES)]
    assert len({place for place, _ in seen}) == LINES


def test_without_a_place_a_search_is_refused_and_the_log_is_read(
    api: Api, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(api.app.state.searches, "_places", asyncio.Semaphore(0))
    monkeypatch.setattr(api.app.state.searches, "_seconds", 0.01)
    for more in ({}, {"Accept": "text/event-stream"}):
        refused = api.client.get("/v1/logs?grep=x", headers=more)
        assert (refused.status_code, refused.json()["code"]) == (503, "busy")
        assert refused.headers["retry-after"] == "1"
    assert api.client.get("/v1/logs?limit=1").status_code == 200
