"""The addresses of a chain's nodes; they hold tokens, so only their hosts are ever shown."""

import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


def secret_name(chain_id: int) -> str:
    """Return the name of the secret that has the URLs of the chain's nodes."""
    return f"chain-{chain_id}"


def read_urls(text: str, *, allow_http: bool) -> tuple[str, ...]:
    """Return the URLs of a text, which white space or commas separate, without duplicates.

    The first is preferred. Raises ValueError, which does not quote them, for anything else.
    """
    found = tuple(dict.fromkeys(filter(None, re.split(r"[\s,]+", text))))
    if not found:
        raise ValueError("it has no URL")
    for number, url in enumerate(found, 1):
        _check(url, f"URL {number}", allow_http=allow_http)
    return found


def _check(url: str, which: str, *, allow_http: bool) -> None:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError(f"{which} is malformed") from None
    if parts.scheme not in {"https", "http"} or not host:
        raise ValueError(f"{which} does not begin with https:// and a host")
    if parts.scheme == "http" and not allow_http and host not in _LOOPBACK:
        raise ValueError(f"{which} is http, which the setting allow_http does not allow")


def shown_hosts(urls: Sequence[str]) -> tuple[str, ...]:
    """Return how the nodes are called in messages: by host and port, and by number if needed."""
    hosts = [urlsplit(url).netloc.rpartition("@")[2] for url in urls]
    return tuple(
        host if hosts.count(host) == 1 else f"{host} ({number})"
        for number, host in enumerate(hosts, 1)
    )
