"""The HTTP executor: the addresses that calls may reach."""

import socket
import ssl
import subprocess
from ipaddress import ip_network
from pathlib import Path

import httpx
import psutil
import pytest

from activityctl.domain.values.destination import DestinationPolicy
from activityctl.errors import DestinationForbiddenError, UnreachableError
from activityctl.executors.destination import GuardedTransport
from activityctl.executors.http import HttpExecutor
from activityctl.executors.http_client import HttpClient
from support.http_server import LOOPBACK, Serve, answering, failing, run

CARDS = [
    card
    for cards in psutil.net_if_addrs().values()
    for card in cards
    if card.family in {socket.AF_INET, socket.AF_INET6} and "%" not in card.address
]


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "localhost", "127.1", "0", "2130706433", "0x7f000001", "0177.0.0.1"),
        *("[::1]", "[::ffff:127.0.0.1]", "[::7f00:1]", "[64:ff9b::7f00:1]"),
        *("127\u30020.0.1", "user:s3cret@127.0.0.1"),
    ],
)
async def test_every_form_of_the_loopback_address_is_refused(serve: Serve, host: str):
    server = await serve(answering(b"inside"))
    executor = HttpExecutor(HttpClient(allow_http=True, allowed_networks=()))
    error = await failing(executor, url=f"http://{host}:{server.port}/")
    assert error.task_code in {"destination_forbidden", "bad_input"}
    assert not error.may_retry
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
async def test_other_forbidden_addresses_are_refused(url: str):
    executor = HttpExecutor(HttpClient(allow_http=True, allowed_networks=()))
    error = await failing(executor, url=url)
    assert error.task_code in {"destination_forbidden", "bad_input"}
    assert not error.may_retry
    await executor.close()


async def test_a_path_alone_means_our_own_api_with_the_same_checks(
    serve: Serve, executor: HttpExecutor
):
    server = await serve(answering(b"fine"))
    assert (await failing(executor, url="/healthz")).task_code == "destination_forbidden"
    ours = HttpExecutor(
        HttpClient(allow_http=True, allowed_networks=LOOPBACK, own_api=f"{server.url}/")
    )
    assert (await run(ours, url="/healthz?x=1")).output["body"] == "fine"
    assert server.requests[0].target == "/healthz?x=1"
    assert "the URL has no scheme" in (await failing(ours, url="//10.0.0.1/x")).message
    await ours.close()
    strict = HttpExecutor(HttpClient(allow_http=True, allowed_networks=(), own_api=server.url))
    assert (await failing(strict, url="/healthz")).task_code == "destination_forbidden"
    await strict.close()


async def test_plain_http_is_refused_unless_allowed(serve: Serve):
    server = await serve(answering())
    executor = HttpExecutor(HttpClient(allow_http=False, allowed_networks=LOOPBACK))
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


async def test_tls_uses_the_server_name_of_the_url(serve: Serve, certificate: Path):
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


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "localhost", "127.1", "0", "2130706433", "0x7f000001"),
        *("[::1]", "[::ffff:127.0.0.1]", "[::]", "0.0.0.0", "127.255.0.1"),
        *(f"[{card.address}]" if ":" in card.address else card.address for card in CARDS),
    ],
)
async def test_no_form_of_this_machine_reaches_a_port_of_the_daemon(serve: Serve, host: str):
    server = await serve(answering(b"postgres"))
    anywhere = (ip_network("0.0.0.0/0"), ip_network("::/0"))
    executor = HttpExecutor(
        HttpClient(
            allow_http=True, allowed_networks=anywhere, own_ports={server.port}, own_api=server.url
        )
    )
    error = await failing(executor, url=f"http://{host}:{server.port}/")
    assert error.task_code in {"destination_forbidden", "bad_input"}
    assert not error.may_retry
    assert "a port of the daemon itself" in error.message
    assert server.connections == 0
    await executor.close()


async def test_only_a_path_reaches_the_api_of_the_daemon(serve: Serve):
    api, postgres = await serve(answering(b"api")), await serve(answering(b"postgres"))
    ports = {api.port, postgres.port}
    executor = HttpExecutor(
        HttpClient(allow_http=True, allowed_networks=LOOPBACK, own_ports=ports, own_api=api.url)
    )
    assert (await run(executor, url="/healthz")).output["body"] == "api"
    assert (await failing(executor, url=f"{api.url}/healthz")).task_code == "destination_forbidden"
    other = await serve(answering(b"other"))
    assert (await run(executor, url=other.url)).output["body"] == "other"
    await executor.close()


async def test_a_port_that_a_process_of_the_daemon_opened_later_is_refused(serve: Serve):
    old, new, other = [await serve(answering(b"x")) for _ in range(3)]
    asked: list[set[int]] = []

    async def listening() -> set[int]:
        asked.append({new.port})
        return asked[-1]

    executor = HttpExecutor(
        HttpClient(
            allow_http=True, allowed_networks=LOOPBACK, own_ports={old.port}, listening=listening
        )
    )
    for server in (old, new):
        error = await failing(executor, url=server.url)
        assert "a port of the daemon itself" in error.message
        assert server.connections == 0
    assert (await run(executor, url=other.url)).output["body"] == "x"
    count = len(asked)
    await failing(executor, url="http://10.0.0.1/")
    assert len(asked) == count, "only for addresses of this machine that are permitted"
    await executor.close()


async def test_a_call_waits_until_the_ports_of_the_daemon_are_known(serve: Serve):
    server = await serve(answering(b"x"))

    async def listening() -> set[int]:
        raise UnreachableError("the ports of process 7 (temporal) are not known")

    executor = HttpExecutor(
        HttpClient(allow_http=True, allowed_networks=LOOPBACK, listening=listening)
    )
    error = await failing(executor, url=server.url)
    assert (error.task_code, error.may_retry) == ("unreachable", True)
    assert "the ports of process 7 (temporal) are not known" in error.message
    assert server.connections == 0
    await executor.close()
