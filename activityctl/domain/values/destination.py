"""The policy of which addresses an outgoing call may reach; it does not resolve or connect."""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from activityctl.errors import DestinationForbiddenError

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

HIGHEST_PORT: Final = 65535
_NAMED: Final[tuple[tuple[Network, str], ...]] = tuple(
    (ip_network(network), name)
    for network, name in (
        ("100.64.0.0/10", "carrier-grade NAT"),
        ("192.88.99.0/24", "6to4 relay"),
        ("::/96", "IPv4-compatible"),
        ("64:ff9b::/96", "NAT64"),
        ("64:ff9b:1::/48", "NAT64"),
        ("2001::/32", "Teredo"),
        ("2002::/16", "6to4"),
        ("3fff::/20", "documentation"),
        ("5f00::/16", "segment routing"),
        ("fec0::/10", "site-local"),
    )
)
"""Special networks that `ipaddress.is_global` calls public, at least in some Python versions."""


@dataclass(frozen=True, slots=True)
class DestinationPolicy:
    """The settings for outgoing calls; they prevent calls to internal services (SSRF)."""

    allow_http: bool = False
    allowed_networks: tuple[Network, ...] = ()

    def check_url(self, *, scheme: str, host: str, port: int | None, userinfo: bool) -> None:
        """Raise DestinationForbiddenError if the URL is forbidden whatever its host resolves to."""
        if scheme == "http" and not self.allow_http:
            raise DestinationForbiddenError(
                "plain http is not allowed",
                hint="use https, or set ACTIVITYCTL_ALLOW_HTTP=true to allow http",
            )
        if scheme not in {"http", "https"}:
            raise DestinationForbiddenError(f"the scheme {scheme!r} is not allowed; use https")
        if not host:
            raise DestinationForbiddenError("the URL has no host")
        if port is not None and not 1 <= port <= HIGHEST_PORT:
            raise DestinationForbiddenError(f"port {port} is not between 1 and {HIGHEST_PORT}")
        if userinfo:
            raise DestinationForbiddenError(
                "the URL contains a user or password", hint="send an Authorization header"
            )

    def refusal(self, address: str) -> str | None:
        """Return why calls to a numeric address are forbidden; None when they are allowed.

        An IPv4-mapped IPv6 address is treated like the IPv4 address inside it.
        """
        effective = _unmapped(ip_address(address))
        if any(effective in network for network in self.allowed_networks):
            return None
        return _special_use(effective)


def _unmapped(address: Address) -> Address:
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _special_use(address: Address) -> str | None:
    uses = (
        (address.is_unspecified, "unspecified"),
        (address.is_loopback, "loopback"),
        (address.is_link_local, "link-local"),
        (address.is_multicast, "multicast"),
        *((address in network, name) for network, name in _NAMED),
        (address.is_private, "private"),
        (address.is_reserved, "reserved"),
        (not address.is_global, "not public"),
    )
    return next((name for applies, name in uses if applies), None)
