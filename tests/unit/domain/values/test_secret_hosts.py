"""A secret that is bound to hosts goes to no other."""

import pytest

from activityctl.domain.values.secret_hosts import connection_host, host_refusal, read_host


@pytest.mark.parametrize(
    ("bound", "host", "fits"),
    [
        ("api.example", "api.example:443", True),
        ("api.example", "API.example.:443", True),
        ("api.example", "api.example.evil.example:443", False),
        ("api.example", "evil-api.example:443", False),
        ("api.example:8443", "api.example:8443", True),
        ("api.example:8443", "api.example:443", False),
        ("*.example", "a.b.example:443", True),
        ("*.example", "example:443", False),
        ("*.example", ".example:443", False),
        ("[::1]:8443", "[::1]:8443", True),
        ("[::1]", "[::2]:8443", False),
        ("127.0.0.1", "127.0.0.1:80", True),
    ],
)
def test_a_host_fits_or_not(bound: str, host: str, fits: bool):  # noqa: FBT001
    assert (host_refusal("crm", [read_host(bound)], host) is None) is fits


def test_a_secret_without_hosts_goes_anywhere_and_a_bound_one_not_to_a_program():
    assert host_refusal("crm", [], None) is None
    assert "api.example" in str(host_refusal("crm", ["api.example"], None))


@pytest.mark.parametrize("text", ["https://api.example", "a b", "", "api.example/x", "*", "*.*.a"])
def test_what_is_no_host_is_refused(text: str):
    with pytest.raises(ValueError, match="host"):
        read_host(text)


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("postgresql://me:p%40w@db.example/orders", "db.example"),
        ("postgresql://me:pw@db.example:5433/orders?sslmode=require", "db.example:5433"),
        ("smtps://me:pw@[::1]:465", "[::1]:465"),
        ("postgresql://me:pw@a.example,b.example/x", None),
        ("postgresql://me:pw@db.example/x?host=evil.example", None),
        ("postgresql://me:pw@db.example:port/x", None),
        ("sqlite:////tmp/x", None),
    ],
)
def test_a_connection_goes_to_the_host_in_its_url(url: str, host: str | None):
    assert connection_host(url) == host
