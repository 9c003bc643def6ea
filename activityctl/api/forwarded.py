"""Who the client is behind a proxy: believed only if one of the named proxies says it.

Both the older headers `X-Forwarded-For`, `-Proto` and `-Host` and `Forwarded` (RFC 7239) are read.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

from activityctl.api.refusals import BadRequestError
from activityctl.frozen_dataclass import frozen_dataclass

Headers = Iterable[tuple[bytes, bytes]]
_SCHEMES: Final = frozenset({"http", "https"})
_PAIR: Final = re.compile(r'\s*([A-Za-z]+)=("(?:[^"\\]|\\.)*"|[^\s"=;,]*)\s*')
_WITH_PORT: Final = re.compile(r"\[(?P<six>[0-9A-Fa-f:.]+)\](:\w+)?|(?P<four>[0-9.]+)(:\w+)?")


@frozen_dataclass
class Client:
    """What the proxies say about the client's request; None where they say nothing."""

    address: str
    scheme: str | None = None
    host: str | None = None


class Proxies:
    """The proxies that are believed."""

    def __init__(self, networks: Sequence[IPv4Network | IPv6Network]) -> None:
        self._networks = tuple(networks)

    def client(self, peer: str, headers: Headers) -> Client | None:
        """Return the client of a request; None if it does not come from a named proxy.

        The client is the last address in the header that is no proxy's: whoever stands before it
        can have been written by the client. Raises BadRequestError for headers that no proxy
        writes, or that say different things.
        """
        if not self._networks or not self._trusts(_address(peer)):
            return None
        older = self._older(peer, headers)
        newer = self._newer(peer, headers)
        if older and newer and older.address != newer.address:
            raise BadRequestError(
                "Forwarded and X-Forwarded-For name different clients",
                hint="let the proxy write one of them, and remove the other",
            )
        return newer or older or Client(peer)

    def _older(self, peer: str, headers: Headers) -> Client | None:
        hops = _items(headers, b"x-forwarded-for")
        schemes = _items(headers, b"x-forwarded-proto")
        hosts = _items(headers, b"x-forwarded-host")
        if not (hops or schemes or hosts):
            return None
        scheme = schemes[-1].lower() if schemes else None
        address, _ = self._walk(peer, hops)
        return Client(address, scheme if scheme in _SCHEMES else None, hosts[-1] if hosts else None)

    def _newer(self, peer: str, headers: Headers) -> Client | None:
        text = ",".join(_texts(headers, b"forwarded"))
        if not text:
            return None
        hops = list(_elements(text))
        address, place = self._walk(peer, [hop.get("for", "") for hop in hops])
        said = hops[place] if place is not None else {}
        scheme = said.get("proto", "").lower()
        return Client(address, scheme if scheme in _SCHEMES else None, said.get("host"))

    def _walk(self, peer: str, hops: Sequence[str]) -> tuple[str, int | None]:
        """Return the client's address and its place in the list, from the nearest hop on."""
        found, place = peer, None
        for index in reversed(range(len(hops))):
            address = _address(hops[index])
            if address is None:
                break
            found, place = str(address), index
            if not self._trusts(address):
                break
        return found, place

    def _trusts(self, address: IPv4Address | IPv6Address | None) -> bool:
        return address is not None and any(address in network for network in self._networks)


def _elements(text: str) -> Iterator[dict[str, str]]:
    """Yield the pairs of each hop. A quote that does not end could hide what a proxy adds."""
    element: dict[str, str] = {}
    position = 0
    while True:
        found = _PAIR.match(text, position)
        if found is None:
            raise BadRequestError("the header Forwarded is not valid (RFC 7239)")
        value = found[2]
        if value.startswith('"'):
            value = re.sub(r"\\(.)", r"\1", value[1:-1])
        element[found[1].lower()] = value
        position = found.end()
        if position == len(text) or text[position] == ",":
            yield element
            element = {}
        elif text[position] != ";":
            raise BadRequestError("the header Forwarded is not valid (RFC 7239)")
        if position == len(text):
            return
        position += 1


def _items(headers: Headers, name: bytes) -> list[str]:
    parts = ",".join(_texts(headers, name)).split(",")
    return [part.strip() for part in parts if part.strip()]


def _texts(headers: Headers, name: bytes) -> list[str]:
    return [value.decode("latin-1") for header, value in headers if header == name]


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """Return the address of a hop, which may have a port; None for `unknown` and the like."""
    found = _WITH_PORT.fullmatch(text)
    try:
        address = ip_address((found["six"] or found["four"]) if found else text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
