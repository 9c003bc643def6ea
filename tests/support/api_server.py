"""The HTTP API on a real socket, in a thread of the test's process, and raw calls of it."""

import json
import socket
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx

from activityctl import wiring
from activityctl.api.app import ApiOptions
from activityctl.api.server import Limits, build_server
from activityctl.domain.access.scope import parse_scope
from activityctl.operations.access.tokens import create_token
from activityctl.settings import Settings


@dataclass(frozen=True)
class Answer:
    """What came back on a connection, as far as it was one answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Api:
    """A running server; the client sends its token."""

    port: int
    token: str
    client: httpx.Client
    server: Any

    @property
    def app(self) -> Any:
        return self.server.config.app

    def connect(self) -> socket.socket:
        """Open a connection; no wait on it lasts longer than a minute."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)

    def raw(self, request: bytes) -> Answer:
        """Send bytes on a connection of their own and read until the server closes it."""
        with self.connect() as connection:
            connection.sendall(request)
            return answer_on(connection)


def answer_on(connection: socket.socket) -> Answer:
    """Read until the server closes the connection."""
    received = b""
    try:
        while part := connection.recv(65_536):
            received += part
    except ConnectionResetError:
        pass
    head, _, body = received.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    pairs = (line.split(": ", 1) for line in lines[1:])
    headers = {name.lower(): value for name, value in pairs}
    return Answer(int(lines[0].split()[1]), headers, body)


@contextmanager
def running_api(
    settings: Settings,
    options: ApiOptions | None = None,
    limits: Limits | None = None,
    certificate: wiring.ServerCertificate | None = None,
) -> Iterator[Api]:
    """Serve the API of these settings; they must be those of a local daemon.

    With a certificate, the client trusts whoever answers.
    """
    wiring.make_local_token(settings.home)
    token = wiring.read_local_token(settings.home)
    assert token is not None
    chosen = options or ApiOptions(rate=100_000, burst=100_000)
    server = build_server(settings, chosen, limits, certificate)
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    port = listener.getsockname()[1]
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        headers = {"Authorization": f"Bearer {token.value}"}
        url = f"{'http' if certificate is None else 'https'}://127.0.0.1:{port}"
        with httpx.Client(
            base_url=url, headers=headers, timeout=60, trust_env=False, verify=certificate is None
        ) as client:
            yield Api(port, token.value, client, server)
    finally:
        server.should_exit = True
        thread.join(60)
        assert not thread.is_alive()


async def make_tokens(ports: wiring.Ports, **scopes: str) -> dict[str, dict[str, str]]:
    """Make a token for each scope; return the headers of requests by the names."""
    found = {}
    for name, scope in scopes.items():
        made = (uuid.uuid4().hex[:12], "s" * 43, str(uuid.uuid4()))
        _, token = await create_token(
            ports.tokens,
            ports.audit,
            name,
            [parse_scope(scope)],
            made,
            ttl=None,
            now=datetime.now(UTC),
            actor="me",
        )
        found[name] = {"Authorization": f"Bearer {token}"}
    return found
