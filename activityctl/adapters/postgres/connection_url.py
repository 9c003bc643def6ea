"""Makes the URL of a database safe: how the server must log us in, and how TLS is checked.

What the URL says itself is kept.
"""

import ssl
from typing import Final

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from activityctl.domain.values.destination import is_loopback
from activityctl.errors import UsageError

_VERIFIED: Final = frozenset({"verify-ca", "verify-full"})
_HAS_REQUIRE_AUTH: Final = 160000
"""The first version of libpq that knows `require_auth` and `sslrootcert=system`."""


def secured(url: str) -> str:
    """Return connection parameters for libpq that give a password to no other server.

    Unless the URL says otherwise: the server must use SCRAM, in which it never sees the password
    and proves that it knows it; a server that is not on this machine must have a TLS certificate
    for its name. Raises UsageError, without the URL, if it is malformed.
    """
    given = _parameters(url)
    added: dict[str, str] = {}
    if psycopg.pq.version() >= _HAS_REQUIRE_AUTH and not _is_socket(given):
        added["require_auth"] = "scram-sha-256"
    if _remote_hosts(given):
        added["sslmode"] = "verify-full"
        if given.get("sslmode", "verify-full") == "verify-full":
            added["sslrootcert"] = _trusted_roots()
    return make_conninfo(**{**added, **given})


def unverified_tls(url: str) -> str | None:
    """Return what is not checked in connections to a server elsewhere; None if all is checked."""
    given = _parameters(url)
    mode = given.get("sslmode", "verify-full")
    hosts = _remote_hosts(given)
    if not hosts or mode in _VERIFIED:
        return None
    return f"the certificate of {', '.join(hosts)} is not checked (sslmode={mode})"


def _parameters(url: str) -> dict[str, str]:
    try:
        return {key: str(value) for key, value in conninfo_to_dict(url).items()}
    except psycopg.ProgrammingError:
        raise UsageError(
            "the URL of the database is malformed",
            hint="write postgresql://user@host:5432/database, with %40 for @ in a password",
        ) from None


def _remote_hosts(given: dict[str, str]) -> list[str]:
    listed = given.get("hostaddr") or given.get("host") or ""
    return [host for host in listed.split(",") if not (_is_path(host) or is_loopback(host))]


def _is_socket(given: dict[str, str]) -> bool:
    listed = (given.get("hostaddr") or given.get("host") or "").split(",")
    return all(_is_path(host) for host in listed)


def _is_path(host: str) -> bool:
    """Return whether a host is a socket file; libpq's default is one too."""
    return not host or host.startswith(("/", "@"))


def _trusted_roots() -> str:
    """Return the certificates that this machine trusts.

    The libpq of the binary wheel looks for the system's in a folder that does not exist.
    """
    if psycopg.pq.__impl__ != "binary" and psycopg.pq.version() >= _HAS_REQUIRE_AUTH:
        return "system"
    if found := ssl.get_default_verify_paths().cafile:
        return found
    import certifi

    return certifi.where()
