from ipaddress import ip_network
from typing import Any

import pytest

from activityctl.domain.values.destination import DestinationPolicy
from activityctl.errors import DestinationForbiddenError


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("0.0.0.0", "unspecified"),
        ("0.1.2.3", "private"),
        ("10.0.0.1", "private"),
        ("100.64.0.1", "carrier-grade NAT"),
        ("100.127.255.255", "carrier-grade NAT"),
        ("127.0.0.1", "loopback"),
        ("127.8.9.10", "loopback"),
        ("169.254.169.254", "link-local"),
        ("172.31.255.255", "private"),
        ("192.0.2.1", "private"),
        ("192.88.99.1", "6to4 relay"),
        ("192.168.1.1", "private"),
        ("198.18.0.1", "private"),
        ("224.0.0.1", "multicast"),
        ("240.0.0.1", "private"),
        ("255.255.255.255", "private"),
        ("::", "unspecified"),
        ("::1", "loopback"),
        ("::7f00:1", "IPv4-compatible"),
        ("::ffff:127.0.0.1", "loopback"),
        ("::ffff:10.0.0.1", "private"),
        ("::ffff:100.64.0.1", "carrier-grade NAT"),
        ("64:ff9b::808:808", "NAT64"),
        ("64:ff9b:1::1", "NAT64"),
        ("2001:0:1::1", "Teredo"),
        ("2001:db8::1", "private"),
        ("2002:808:808::1", "6to4"),
        ("3fff::1", "documentation"),
        ("4000::1", "reserved"),
        ("5f00::1", "segment routing"),
        ("fc00::1", "private"),
        ("fe80::1", "link-local"),
        ("fe80::1%1", "link-local"),
        ("fec0::1", "site-local"),
        ("ff02::1", "multicast"),
        ("ff0e::1", "multicast"),
    ],
)
def test_special_addresses_are_refused_by_name(address: str, reason: str):
    assert DestinationPolicy().refusal(address) == reason


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "100.63.255.255", "100.128.0.0", "172.32.0.1", "2606:4700::1111"],
)
def test_public_addresses_pass(address: str):
    assert DestinationPolicy().refusal(address) is None


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
