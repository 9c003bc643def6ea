from ipaddress import IPv4Address, ip_address, ip_network
from itertools import pairwise
from typing import Any

import pytest

from activityctl.domain.values.destination import DestinationPolicy
from activityctl.errors import DestinationForbiddenError

_REFUSED = [
    ("0.0.0.0", "0.0.0.0", "unspecified"),
    ("0.0.0.1", "0.255.255.255", "this network"),
    ("10.0.0.0", "10.255.255.255", "private"),
    ("100.64.0.0", "100.127.255.255", "carrier-grade NAT"),
    ("127.0.0.0", "127.255.255.255", "loopback"),
    ("168.63.129.16", "168.63.129.16", "cloud platform"),
    ("169.254.0.0", "169.254.255.255", "link-local"),
    ("172.16.0.0", "172.31.255.255", "private"),
    ("192.0.0.0", "192.0.0.191", "IETF protocol assignment"),
    ("192.0.0.192", "192.0.0.192", "cloud platform"),
    ("192.0.0.193", "192.0.0.255", "IETF protocol assignment"),
    ("192.0.2.0", "192.0.2.255", "documentation"),
    ("192.31.196.0", "192.31.196.255", "AS112"),
    ("192.52.193.0", "192.52.193.255", "multicast tunnel"),
    ("192.88.99.0", "192.88.99.255", "6to4 relay"),
    ("192.168.0.0", "192.168.255.255", "private"),
    ("192.175.48.0", "192.175.48.255", "AS112"),
    ("198.18.0.0", "198.19.255.255", "benchmarking"),
    ("198.51.100.0", "198.51.100.255", "documentation"),
    ("203.0.113.0", "203.0.113.255", "documentation"),
    ("224.0.0.0", "239.255.255.255", "multicast"),
    ("240.0.0.0", "255.255.255.254", "reserved"),
    ("255.255.255.255", "255.255.255.255", "broadcast"),
    ("::", "::", "unspecified"),
    ("::1", "::1", "loopback"),
    ("::2", "::ffff:ffff", "IPv4-compatible"),
    ("::ffff:0:0:0", "::ffff:0:ffff:ffff", "IPv4-translated"),
    ("64:ff9b::", "64:ff9b::ffff:ffff", "NAT64"),
    ("64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff", "NAT64"),
    ("100::", "100::ffff:ffff:ffff:ffff", "discard"),
    ("100:0:0:1::", "100::1:ffff:ffff:ffff:ffff", "dummy prefix"),
    ("100:0:0:2::", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "reserved"),
    ("2001::", "2001:0:ffff:ffff:ffff:ffff:ffff:ffff", "Teredo"),
    ("2001:1::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", "IETF protocol assignment"),
    ("2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "documentation"),
    ("2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "6to4"),
    ("2620:4f:8000::", "2620:4f:8000:ffff:ffff:ffff:ffff:ffff", "AS112"),
    ("3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", "documentation"),
    ("4000::", "5eff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "reserved"),
    ("5f00::", "5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "segment routing"),
    ("5f01::", "fbff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "reserved"),
    ("fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "private"),
    ("fe00::", "fe7f:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "reserved"),
    ("fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "link-local"),
    ("fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "site-local"),
    ("ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "multicast"),
]
"""First address, last address and name: each forbidden range, written out."""
_PUBLIC = [
    ("1.0.0.0", "9.255.255.255"),
    ("11.0.0.0", "100.63.255.255"),
    ("100.128.0.0", "126.255.255.255"),
    ("128.0.0.0", "168.63.129.15"),
    ("168.63.129.17", "169.253.255.255"),
    ("169.255.0.0", "172.15.255.255"),
    ("172.32.0.0", "191.255.255.255"),
    ("192.0.1.0", "192.0.1.255"),
    ("192.0.3.0", "192.31.195.255"),
    ("192.31.197.0", "192.52.192.255"),
    ("192.52.194.0", "192.88.98.255"),
    ("192.88.100.0", "192.167.255.255"),
    ("192.169.0.0", "192.175.47.255"),
    ("192.175.49.0", "198.17.255.255"),
    ("198.20.0.0", "198.51.99.255"),
    ("198.51.101.0", "203.0.112.255"),
    ("203.0.114.0", "223.255.255.255"),
    ("2000::", "2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("2001:200::", "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("2001:db9::", "2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("2003::", "2620:4f:7fff:ffff:ffff:ffff:ffff:ffff"),
    ("2620:4f:8001::", "3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("3fff:1000::", "3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
]
"""First and last address of all that lies between."""


@pytest.mark.parametrize(("first", "last", "name"), _REFUSED)
def test_every_special_range_is_refused_by_name(first: str, last: str, name: str):
    policy = DestinationPolicy()
    middle = _address(first, (int(ip_address(first)) + int(ip_address(last))) // 2)
    assert {policy.refusal(address) for address in (first, middle, last)} == {name}


@pytest.mark.parametrize(("first", "last"), _PUBLIC)
def test_public_addresses_pass_up_to_both_ends_of_their_range(first: str, last: str):
    policy = DestinationPolicy()
    middle = _address(first, (int(ip_address(first)) + int(ip_address(last))) // 2)
    assert [policy.refusal(address) for address in (first, middle, last)] == [None] * 3


def test_the_ranges_above_cover_every_ipv4_address_once():
    ranges = [row[:2] for row in _REFUSED] + _PUBLIC
    ends = sorted((IPv4Address(a), IPv4Address(b)) for a, b in ranges if "." in a)
    assert int(ends[0][0]) == 0
    assert int(ends[-1][1]) == 2**32 - 1
    assert all(int(last) + 1 == int(first) for (_, last), (first, _) in pairwise(ends))


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("169.254.169.254", "link-local"),
        ("100.100.100.200", "carrier-grade NAT"),
        ("fd00:ec2::254", "private"),
        ("::ffff:127.0.0.1", "loopback"),
        ("::ffff:168.63.129.16", "cloud platform"),
        ("::ffff:192.0.0.192", "cloud platform"),
        ("::ffff:10.0.0.1", "private"),
        ("::7f00:1", "IPv4-compatible"),
        ("fe80::1%1", "link-local"),
        ("::1%lo", "loopback"),
    ],
)
def test_addresses_that_lead_inside_are_refused(address: str, name: str):
    assert DestinationPolicy().refusal(address) == name


def _address(like: str, number: int) -> str:
    return str(type(ip_address(like))(number))


def test_a_mapped_address_is_treated_like_the_ipv4_address_inside():
    assert DestinationPolicy().refusal("::ffff:8.8.8.8") is None


def test_an_allowed_network_allows_only_its_own_addresses():
    policy = DestinationPolicy(
        allowed_networks=(ip_network("127.0.0.0/8"), ip_network("fd00::/8")),
    )
    assert policy.refusal("127.0.0.1") is None
    assert policy.refusal("::ffff:127.0.0.1") is None
    assert policy.refusal("fd12::1") is None
    assert policy.refusal("::1") == "loopback"
    assert policy.refusal("::7f00:1") == "IPv4-compatible"
    assert policy.refusal("10.0.0.1") == "private"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"scheme": "http"}, "plain http is not allowed"),
        ({"scheme": "ftp"}, "'ftp'"),
        ({"scheme": "file", "host": ""}, "'file'"),
        ({"host": ""}, "no host"),
        ({"port": 0}, "port 0"),
        ({"port": 65536}, "port 65536"),
        ({"userinfo": True}, "user or password"),
    ],
)
def test_urls_are_refused_for_scheme_host_port_and_user(changed: dict[str, Any], message: str):
    parts = {"scheme": "https", "host": "example.com", "port": 443, "userinfo": False}
    DestinationPolicy().check_url(**parts)
    with pytest.raises(DestinationForbiddenError, match=message):
        DestinationPolicy().check_url(**{**parts, **changed})


def test_plain_http_passes_when_the_settings_allow_it():
    DestinationPolicy(allow_http=True).check_url(
        scheme="http", host="example.com", port=None, userinfo=False
    )
