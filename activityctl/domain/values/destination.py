"""Which addresses an outgoing call may reach: the policy, and the list of forbidden networks.

It does not resolve or connect.
"""

import re
from collections.abc import Collection
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from activityctl.errors import DestinationForbiddenError
from activityctl.frozen_dataclass import frozen_dataclass

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

HIGHEST_PORT: Final = 65535
_LABEL: Final = re.compile("[A-Za-z0-9_-]{1,63}")
_LONGEST_NAME: Final = 253
_SHOWN: Final = 80
"""How many characters of a wrong host a message shows."""
# Sources: the IANA registries "IPv4 Special-Purpose Address Space", "IPv6 Special-Purpose Address
# Space" and "Internet Protocol Version 6 Address Space" (2025), and, where an RFC is not named, the
# documentation of the cloud that answers at the address. `ipaddress.is_global` is not asked: its
# answers differ between versions of Python. The first network that contains an address names it,
# so a network stands before a wider one.
FORBIDDEN: Final[tuple[tuple[Network, str], ...]] = tuple(
    (ip_network(network), name)
    for network, name in (
        ("0.0.0.0/32", "unspecified"),  # RFC 1122
        ("0.0.0.0/8", "this network"),  # RFC 791
        ("10.0.0.0/8", "private"),  # RFC 1918
        ("100.64.0.0/10", "carrier-grade NAT"),  # RFC 6598; Alibaba's metadata: 100.100.100.200
        ("127.0.0.0/8", "loopback"),  # RFC 1122
        ("168.63.129.16/32", "cloud platform"),  # Azure: the host of a virtual machine
        ("169.254.0.0/16", "link-local"),  # RFC 3927; metadata of most clouds: 169.254.169.254
        ("172.16.0.0/12", "private"),  # RFC 1918
        ("192.0.0.192/32", "cloud platform"),  # Oracle: metadata
        ("192.0.0.0/24", "IETF protocol assignment"),  # RFC 6890
        ("192.0.2.0/24", "documentation"),  # RFC 5737
        ("192.31.196.0/24", "AS112"),  # RFC 7535
        ("192.52.193.0/24", "multicast tunnel"),  # RFC 7450
        ("192.88.99.0/24", "6to4 relay"),  # RFC 7526
        ("192.168.0.0/16", "private"),  # RFC 1918
        ("192.175.48.0/24", "AS112"),  # RFC 7534
        ("198.18.0.0/15", "benchmarking"),  # RFC 2544
        ("198.51.100.0/24", "documentation"),  # RFC 5737
        ("203.0.113.0/24", "documentation"),  # RFC 5737
        ("224.0.0.0/4", "multicast"),  # RFC 5771
        ("255.255.255.255/32", "broadcast"),  # RFC 919
        ("240.0.0.0/4", "reserved"),  # RFC 1112
        ("::/128", "unspecified"),  # RFC 4291
        ("::1/128", "loopback"),  # RFC 4291
        ("::/96", "IPv4-compatible"),  # RFC 4291
        ("::ffff:0:0/96", "IPv4-mapped"),  # RFC 4291; checked as the IPv4 address inside
        ("::ffff:0:0:0/96", "IPv4-translated"),  # RFC 2765
        ("64:ff9b::/96", "NAT64"),  # RFC 6052
        ("64:ff9b:1::/48", "NAT64"),  # RFC 8215
        ("100::/64", "discard"),  # RFC 6666
        ("100:0:0:1::/64", "dummy prefix"),  # RFC 9780
        ("2001::/32", "Teredo"),  # RFC 4380
        ("2001:db8::/32", "documentation"),  # RFC 3849
        ("2001::/23", "IETF protocol assignment"),  # RFC 2928
        ("2002::/16", "6to4"),  # RFC 3056
        ("2620:4f:8000::/48", "AS112"),  # RFC 7534
        ("3fff::/20", "documentation"),  # RFC 9637
        ("5f00::/16", "segment routing"),  # RFC 9602
        ("fc00::/7", "private"),  # RFC 4193
        ("fe80::/10", "link-local"),  # RFC 4291
        ("fec0::/10", "site-local"),  # RFC 3879
        ("ff00::/8", "multicast"),  # RFC 4291
        # Of IPv6, only 2000::/3 is given out as global unicast addresses.
        ("::/3", "reserved"),  # RFC 4291
        ("4000::/2", "reserved"),  # RFC 4291
        ("8000::/1", "reserved"),  # RFC 4291
    )
)
"""The networks that calls may not reach unless the settings allow them; each with its name."""


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine by its form; names other than localhost are not."""
    if host.lower() == "localhost":
        return True
    try:
        return _unmapped(ip_address(host.partition("%")[0])).is_loopback
    except ValueError:
        return False


def check_form(*, scheme: str, host: str, port: int | None, userinfo: bool) -> None:
    """Raise DestinationForbiddenError for a URL that no setting could allow."""
    if not scheme:
        raise DestinationForbiddenError("the URL has no scheme", hint="write https://…")
    if scheme not in {"http", "https"}:
        raise DestinationForbiddenError(f"the scheme {scheme!r} is not allowed; use https")
    if not host:
        raise DestinationForbiddenError("the URL has no host")
    if not _is_host(host):
        raise DestinationForbiddenError(f"{host[:_SHOWN]!r} is not the name of a host")
    if port is not None and not 1 <= port <= HIGHEST_PORT:
        raise DestinationForbiddenError(f"port {port} is not between 1 and {HIGHEST_PORT}")
    if userinfo:
        raise DestinationForbiddenError(
            "the URL contains a user or password", hint="send an Authorization header"
        )


def _is_host(host: str) -> bool:
    """Return whether the text is an IP address, or a name that the DNS can hold (RFC 1035)."""
    if ":" in host:  # httpx has checked that it is an IPv6 address
        return True
    name = host.removesuffix(".")
    return len(name) <= _LONGEST_NAME and all(map(_LABEL.fullmatch, name.split(".")))


@frozen_dataclass
class DestinationPolicy:
    """The settings for outgoing calls; they prevent calls to internal services (SSRF)."""

    allow_http: bool = False
    allowed_networks: tuple[Network, ...] = ()
    own_ports: frozenset[int] = frozenset()
    """Ports of the daemon on this machine, which no setting opens."""

    def check_url(self, *, scheme: str, host: str, port: int | None, userinfo: bool) -> None:
        """Raise DestinationForbiddenError if the URL is forbidden whatever its host resolves to."""
        check_form(scheme=scheme, host=host, port=port, userinfo=userinfo)
        if scheme == "http" and not self.allow_http:
            raise DestinationForbiddenError(
                "plain http is not allowed",
                hint="use https, or set ACTIVITYCTL_ALLOW_HTTP=true to allow http",
            )

    def own_port_refusal(self, address: str, port: int, machine: Collection[str]) -> str | None:
        """Return why a call would reach the daemon itself; None when it would not.

        `machine` has the addresses of this machine, in any form.
        """
        is_ours = port in self.own_ports and is_here(address, machine)
        return "a port of the daemon itself" if is_ours else None

    def refusal(self, address: str) -> str | None:
        """Return why calls to a numeric address are forbidden; None when they are allowed.

        An IPv4-mapped IPv6 address is treated like the IPv4 address inside it.
        """
        effective = _unmapped(ip_address(address))
        if any(effective in network for network in self.allowed_networks):
            return None
        return _special_use(effective)


def is_here(address: str, machine: Collection[str]) -> bool:
    """Return whether a numeric address is one of this machine, which has those of `machine`."""
    effective = _unmapped(ip_address(address.partition("%")[0]))
    ours = {_unmapped(ip_address(text.partition("%")[0])) for text in machine}
    return effective.is_loopback or effective.is_unspecified or effective in ours


def _unmapped(address: Address) -> Address:
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _special_use(address: Address) -> str | None:
    return next((name for network, name in FORBIDDEN if address in network), None)
