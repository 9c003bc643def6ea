"""The hosts that a secret is bound to: how they are written, and whether a call fits."""

import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import parse_qsl, urlsplit

_LABEL: Final = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST: Final = re.compile(
    rf"(?:\*\.)?{_LABEL}(?:\.{_LABEL})*(?::[0-9]{{1,5}})?|\[[0-9a-f:.]+\](?::[0-9]{{1,5}})?"
)


def read_host(text: str) -> str:
    """Return a host as it is stored; raise ValueError for one that no call can have.

    `api.example` means every port of this host, `api.example:8443` one port, `*.example` every
    host below example.
    """
    host = text.strip().lower()
    host = re.sub(r"\.(?=:[0-9]+$|$)", "", host)
    if "://" in host or "/" in host:
        raise ValueError(f"{text!r} should be a host, such as api.example, without https:// and /")
    if not _HOST.fullmatch(host):
        raise ValueError(f"{text!r} is not a host; write api.example, *.example or [::1]:8443")
    return host


def connection_host(url: str) -> str | None:
    """Return `host:port` of a secret that is the URL of a connection, which goes to itself alone.

    None if it has no host, several, or another one among its parameters.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    names = {name.lower() for name, _ in parse_qsl(parts.query, keep_blank_values=True)}
    if not host or "," in host or names & {"host", "hostaddr", "service"}:
        return None
    shown = f"[{host}]" if ":" in host else host
    return shown if port is None else f"{shown}:{port}"


def host_refusal(name: str, hosts: Sequence[str], host: str | None) -> str | None:
    """Return why a secret that is bound to these hosts must not be sent there; None if it may."""
    if not hosts:
        return None
    bound = ", ".join(hosts)
    if host is None:
        return f"secret {name} is bound to {bound}, and this use has no host: it could go anywhere"
    if any(_fits(allowed, _plain(host)) for allowed in hosts):
        return None
    return f"secret {name} is bound to {bound} and is not sent to {host}"


def _plain(host: str) -> str:
    return re.sub(r"\.(?=:[0-9]+$|$)", "", host.lower())


def _fits(allowed: str, host: str) -> bool:
    name, port = _split(host)
    allowed_name, allowed_port = _split(allowed)
    if allowed_port and allowed_port != port:
        return False
    if allowed_name.startswith("*."):
        return name.endswith(allowed_name[1:]) and len(name) > len(allowed_name) - 1
    return name == allowed_name


def _split(host: str) -> tuple[str, str]:
    """Return name and port, which may be empty; an IPv6 address stands in brackets."""
    if host.startswith("["):
        name, _, rest = host[1:].partition("]")
        return name, rest.removeprefix(":")
    if host.count(":") > 1:
        return host, ""
    name, _, port = host.partition(":")
    return name, port
