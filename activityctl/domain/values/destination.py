"""Which addresses an outgoing call may reach; resolving and connecting are not here."""

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
"""What `ipaddress.is_global` lets through, at least in some of its versions."""


@dataclass(frozen=True, slots=True)
class DestinationPolicy:
    """What the settings say about outgoing calls; the source is SECURITY, row SSRF."""

    allow_http: bool = False
    allowed_networks: tuple[Network, ...] = ()

    def check_url(self, *, scheme: str, host: str, port: int | None, userinfo: bool) -> None:
        """Raise DestinationForbiddenError for a URL refused whatever its host resolves to."""
        if scheme == "http" and not self.allow_http:
            raise DestinationForbiddenError(
                "plain http is not allowed; https is", hint="set ACTIVITYCTL_ALLOW_HTTP=true"
            )
        if scheme not in {"http", "https"}:
            raise DestinationForbiddenError(f"the scheme is {scheme!r}, not https")
        if not host:
            raise DestinationForbiddenError("the URL names no host")
        if port is not None and not 1 <= port <= HIGHEST_PORT:
            raise DestinationForbiddenError(f"port {port} does not exist")
        if userinfo:
            raise DestinationForbiddenError(
                "the URL holds a user or password", hint="send an Authorization header"
            )

    def refusal(self, address: str) -> str | None:
        """Return why a numeric address must not be called, or None when it may be.

        An IPv4-mapped IPv6 address is judged by the IPv4 address inside it.
        """
        judged = _effective(ip_address(address))
        if any(judged in network for network in self.allowed_networks):
            return None
        return _special_use(judged)


def _effective(address: Address) -> Address:
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _special_use(address: Address) -> str | None:
    claims = (
        (address.is_unspecified, "unspecified"),
        (address.is_loopback, "loopback"),
        (address.is_link_local, "link-local"),
        (address.is_multicast, "multicast"),
        *((address in network, name) for network, name in _NAMED),
        (address.is_private, "private"),
        (address.is_reserved, "reserved"),
        (not address.is_global, "not public"),
    )
    return next((name for holds, name in claims if holds), None)
