"""TLS by certificate files, and clients behind a proxy, over real sockets."""

import hashlib
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import ip_network
from pathlib import Path

import pytest

from activityctl.api.app import ApiOptions
from activityctl.api.server import Limits
from activityctl.settings import Settings
from activityctl.wiring import CertificateFiles, ServerCertificate
from support.api_server import Api, answer_on, running_api
from support.certificates import make_certificate

EVENT = {"specversion": "1.0", "id": "1", "source": "/door", "type": "door.opened"}


@pytest.fixture
def encrypted(api_settings: Settings, tmp_path: Path) -> Iterator[Api]:
    files = CertificateFiles(*make_certificate(tmp_path))
    limits = Limits(connections=8, header_seconds=1.0, look_seconds=0.05)
    options = ApiOptions(("door.example",), 100_000, 100_000)
    certificate = ServerCertificate(files, datetime.now(UTC))
    settings = replace(api_settings, home=tmp_path)
    with running_api(settings, options, limits, certificate) as running:
        yield running


def shown(api: Api, name: str | None = "localhost") -> str:
    """Return the hash of the certificate that a new client sees."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with api.connect() as plain, context.wrap_socket(plain, server_hostname=name) as connection:
        return hashlib.sha256(connection.getpeercert(binary_form=True) or b"").hexdigest()


def test_a_server_with_a_certificate_speaks_tls_and_nothing_else(encrypted: Api):
    # With too many connections the server cuts idle ones, so these requests leave none open.
    host = {"Host": "door.example", "Connection": "close"}
    assert encrypted.client.post("/v1/events", json=EVENT, headers=host).status_code in {200, 409}
    own = encrypted.client.get("/healthz", headers={**host, "Origin": "https://door.example"})
    plain = encrypted.client.get("/healthz", headers={**host, "Origin": "http://door.example"})
    assert (own.status_code, plain.status_code) == (200, 403)
    # A client without TLS is cut off; so is one that never ends its handshake, or never begins it.
    with ExitStack() as stack:
        wrong, silent = (stack.enter_context(encrypted.connect()) for _ in range(2))
        wrong.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert not received(wrong).startswith(b"HTTP")
        half = [stack.enter_context(encrypted.connect()) for _ in range(40)]
        for connection in half[1:]:
            connection.send(b"\x16\x03\x01\x02\x00\x01")
        assert encrypted.client.get("/healthz", headers=host).status_code == 200
        for connection in (silent, half[-1]):
            assert not received(connection)
    assert encrypted.client.get("/healthz", headers=host).status_code == 200
    assert shown(encrypted, None) == shown(encrypted)


def received(connection: socket.socket) -> bytes:
    """Return what the server sends first; nothing if it ends the connection."""
    try:
        return connection.recv(100)
    except ConnectionResetError:
        return b""


def test_a_renewed_certificate_is_used_without_a_restart(encrypted: Api, tmp_path: Path):
    first = shown(encrypted)
    certificate, key = tmp_path / "api.pem", tmp_path / "api.key"
    good = certificate.read_bytes(), key.read_bytes()
    certificate.write_text("half a file")
    time.sleep(0.3)  # several looks
    assert shown(encrypted) == first
    certificate.write_bytes(good[0])
    open_before = encrypted.client.get("/healthz")
    make_certificate(tmp_path, days=90)
    until = time.monotonic() + 60
    while shown(encrypted) == first:
        assert time.monotonic() < until
        time.sleep(0.05)
    assert shown(encrypted, None) != first
    assert open_before.status_code == encrypted.client.get("/healthz").status_code == 200


@pytest.fixture(scope="module")
def proxied(api_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A server that believes the proxies of 127.0.0.1 and 10.0.0.0/8; few requests are allowed."""
    settings = replace(api_settings, home=tmp_path_factory.mktemp("proxied"))
    networks = (ip_network("127.0.0.1/32"), ip_network("10.0.0.0/8"))
    options = ApiOptions(("api.example",), 0.001, 3, networks)
    with running_api(settings, options) as running:
        yield running


def asked(api: Api, *lines: str, source: str = "127.0.0.1") -> int:
    """Return the status of a request from this address, with these headers."""
    head = "".join(f"{line}\r\n" for line in ("GET /docs HTTP/1.1", *lines, "Connection: close"))
    with socket.create_connection(
        ("127.0.0.1", api.port), timeout=60, source_address=(source, 0)
    ) as connection:
        connection.sendall(f"{head}\r\n".encode())
        return answer_on(connection).status


def test_rates_hosts_and_origins_are_those_of_the_client(proxied: Api):
    host = "Host: 127.0.0.1"
    # Each client has its own rate, whatever it writes before the proxy's entry.
    for client in ("192.0.2.1", "192.0.2.2"):
        for number in range(3):
            said = f"X-Forwarded-For: 198.51.100.{number}, {client}, 10.1.1.1"
            assert asked(proxied, host, said) == 200
        assert asked(proxied, host, f"X-Forwarded-For: {client}") == 429
        assert asked(proxied, host, f"Forwarded: for={client}") == 429
    # From another address, the headers are as absent: all requests count for that address.
    for number in range(3):
        assert (
            asked(proxied, host, f"X-Forwarded-For: 192.0.2.1{number}", source="127.0.0.2") == 200
        )
    assert asked(proxied, host, "X-Forwarded-For: 192.0.2.99", source="127.0.0.2") == 429
    # The host under which the client asks must be known, and so must that of the proxy itself.
    at = "X-Forwarded-For: 192.0.2.3", "X-Forwarded-Proto: https"
    told = (*at, "X-Forwarded-Host: api.example")
    own, foreign = "Origin: https://api.example", "Origin: http://api.example"
    assert asked(proxied, host, *told, own) == 200
    assert asked(proxied, host, *told, foreign) == 403
    assert asked(proxied, host, *at, "X-Forwarded-Host: evil.example") == 400
    assert asked(proxied, "Host: evil.example", *told) == 400
    assert asked(proxied, "Host: evil.example", *told, source="127.0.0.3") == 400
    assert asked(proxied, host, 'Forwarded: for=192.0.2.4, for="10.1.1.1') == 400


def test_the_audit_names_the_client_not_the_proxy(proxied: Api):
    said = {"X-Forwarded-For": "192.0.2.77", "X-Request-Id": "behind-a-proxy"}
    assert proxied.client.post("/v1/events", json=EVENT, headers=said).status_code in {200, 409}
    entries = proxied.client.get("/v1/audit", headers={"X-Forwarded-For": "192.0.2.78"})
    (entry,) = [one for one in entries.json()["items"] if one["requestId"] == "behind-a-proxy"]
    assert entry["address"] == "192.0.2.77"
