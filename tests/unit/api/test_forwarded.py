"""Who the client behind a proxy is: only named proxies are believed."""

from ipaddress import ip_network

import pytest

from activityctl.api.forwarded import Client, Proxies
from activityctl.api.refusals import BadRequestError

PROXIES = Proxies([ip_network("10.0.0.0/8"), ip_network("2001:db8::/32")])


def client(peer: str, **headers: str) -> Client | None:
    given = [(name.replace("_", "-").encode(), text.encode()) for name, text in headers.items()]
    return PROXIES.client(peer, given)


def test_headers_of_others_are_ignored():
    said = {"x_forwarded_for": "1.2.3.4", "forwarded": "for=1.2.3.4", "x_forwarded_host": "a"}
    assert client("192.0.2.1", **said) is None
    assert client("", **said) is None
    assert client("testclient", **said) is None
    assert Proxies([]).client("10.0.0.1", [(b"x-forwarded-for", b"1.2.3.4")]) is None


@pytest.mark.parametrize(
    ("header", "address"),
    [
        ("192.0.2.9", "192.0.2.9"),
        ("198.51.100.7, 192.0.2.9", "192.0.2.9"),
        ("198.51.100.7, 192.0.2.9, 10.1.1.1", "192.0.2.9"),
        ("10.1.1.1", "10.1.1.1"),
        ("192.0.2.9:4711", "192.0.2.9"),
        ("[2001:db9::1]:80", "2001:db9::1"),
        ("2001:db9::1", "2001:db9::1"),
        ("::ffff:192.0.2.9", "192.0.2.9"),
        ("192.0.2.9, unknown", "10.0.0.1"),
        ("192.0.2.9, <script>, 10.1.1.1", "10.1.1.1"),
        ("", "10.0.0.1"),
        (" , ", "10.0.0.1"),
    ],
)
def test_the_client_is_the_last_address_that_is_no_proxy(header: str, address: str):
    for peer in ("10.0.0.1", "::ffff:10.0.0.1"):
        found = client(peer, x_forwarded_for=header)
        assert found is not None
        assert found.address in {address, peer if address == "10.0.0.1" else address}
    spelled = ", ".join(f'for="{hop.strip()}"' for hop in header.split(",") if hop.strip())
    newer = client("10.0.0.1", forwarded=spelled)
    assert newer is not None
    assert newer.address == address


def test_scheme_and_host_are_those_that_the_nearest_proxy_says():
    assert client(
        "10.0.0.1",
        x_forwarded_for="192.0.2.9",
        x_forwarded_proto="http, HTTPS",
        x_forwarded_host="evil.example, api.example",
    ) == Client("192.0.2.9", "https", "api.example")
    said = 'for=6.6.6.6;host=evil, For="192.0.2.9:1" ; proto=https;host="api.example", for=10.1.1.1'
    assert client("10.0.0.1", forwarded=said) == Client("192.0.2.9", "https", "api.example")
    assert client("10.0.0.1", x_forwarded_proto="gopher") == Client("10.0.0.1")
    assert client("10.0.0.1") == Client("10.0.0.1")


@pytest.mark.parametrize(
    "said", ['for="', 'for="1.2.3.4, for=192.0.2.9', "for", "for=1.2.3.4 x", "=", "for=a b", ","]
)
def test_what_no_proxy_writes_is_refused(said: str):
    with pytest.raises(BadRequestError, match="RFC 7239"):
        client("10.0.0.1", forwarded=said)


def test_a_client_cannot_choose_between_two_headers():
    same = {"x_forwarded_for": "192.0.2.9", "forwarded": "for=192.0.2.9;proto=https"}
    assert client("10.0.0.1", **same) == Client("192.0.2.9", "https")
    with pytest.raises(BadRequestError, match="different clients"):
        client("10.0.0.1", x_forwarded_for="192.0.2.9", forwarded="for=6.6.6.6")
