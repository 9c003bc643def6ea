"""Reads the values of single settings; an invalid one is an error that names its source."""

import os
import re
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from activityctl.errors import UsageError

Network = IPv4Network | IPv6Network
Sourced = dict[str, tuple[Any, str]]
"""Values by setting, each with its source, such as `flag` or `profile prod`."""
UNSET: Final = (None, "default")
LOCAL_DAEMON: Final = "local daemon"
"""The source of settings that were found in the home of the local daemon."""
LOCAL_RIGHTS: Final = {
    "allow_commands": "true",
    "allow_http": "true",
    "allowed_networks": "127.0.0.0/8,::1/128",
}
"""Settings of the local daemon's worker, unless the environment of `up` has other values."""
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OWN_VARIABLES: Final = ("ACTIVITYCTL_", "TEMPORAL_")
_CIDRS: Final = "write CIDRs, such as 10.0.0.0/8"


def boolean(name: str, sourced: Sourced) -> bool:
    """Return a truth value; UsageError for anything but true, false, 1 and 0."""
    value, source = sourced.get(name, (False, UNSET[1]))
    if isinstance(value, bool):
        return value
    match str(value).lower():
        case "1" | "true":
            return True
        case "0" | "false":
            return False
        case _:
            raise _invalid(name, value, source, f"set {name} to true or false")


def positive(name: str, sourced: Sourced) -> int:
    """Return a whole number of at least 1; UsageError for anything else."""
    value, source = sourced.get(name, (50, UNSET[1]))
    text = str(value)
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise _invalid(name, value, source, f"set {name} to a whole number, 1 or more")
    return int(text)


def choice(name: str, sourced: Sourced, allowed: tuple[str, ...]) -> str:
    """Return one of the allowed words, the first by default; UsageError for anything else."""
    value, source = sourced.get(name, (allowed[0], UNSET[1]))
    if value not in allowed:
        raise _invalid(name, value, source, f"set {name} to {', '.join(allowed)}")
    return str(value)


def web_page(name: str, sourced: Sourced) -> str | None:
    """Return an address without a slash at its end; UsageError if it is not one of the web."""
    value, source = sourced.get(name, UNSET)
    if value is None:
        return None
    if re.fullmatch(r"https?://[^\s/]\S*", str(value)) is None:
        hint = f"set {name} to an address such as https://temporal.example"
        raise _invalid(name, value, source, hint)
    return str(value).rstrip("/")


def server_url(sourced: Sourced) -> str | None:
    """Return the URL of an HTTP API without a slash at its end.

    UsageError for what is no such URL, and for one without TLS on another machine, unless
    `server_insecure_http` allows it.
    """
    value, source = sourced.get("server", UNSET)
    if value is None:
        return None
    text = str(value).rstrip("/")
    hint = "write its address, such as https://automations.example"
    try:
        url = urlsplit(text)
        is_url = url.scheme in {"http", "https"} and bool(url.hostname) and url.port != 0
    except ValueError:
        raise UsageError(f"server ({source}) is not the URL of an HTTP API", hint=hint) from None
    if not is_url or "@" in url.netloc or url.query or url.fragment or not text.isprintable():
        # The text may have a password, so it is not shown.
        raise UsageError(f"server ({source}) is not the URL of an HTTP API", hint=hint)
    is_clear = url.scheme == "http" and not _is_loopback(url.hostname or "")
    if is_clear and not boolean("server_insecure_http", sourced):
        raise UsageError(
            f"server ({source}) is {text}, and the token would be sent without TLS",
            hint="use https, or set server_insecure_http in a network that you trust",
        )
    return text


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_own_server(server: str | None, sourced: Sourced) -> bool:
    """Return whether there is no other HTTP API than that of the local daemon."""
    if server is None:
        return True
    own, source = sourced.get("api_url", UNSET)
    return source == LOCAL_DAEMON and server.replace("//localhost:", "//127.0.0.1:") == own


_RANKS: Final = ("profile", "environment", "flag")


def without_outranked(sourced: Sourced) -> Sourced:
    """Return the settings with a database or an HTTP API, of which the nearer source counts.

    UsageError if both come from the same one.
    """
    if "server" not in sourced or "database_url" not in sourced:
        return sourced
    ranks = {name: _RANKS.index(sourced[name][1].split()[0]) for name in ("server", "database_url")}
    if ranks["server"] == ranks["database_url"]:
        raise UsageError(
            f"server ({sourced['server'][1]}) and database_url ({sourced['database_url'][1]}) are "
            "both set",
            hint="set the one that commands are to use",
        )
    lower = min(ranks, key=lambda name: ranks[name])
    return {name: value for name, value in sourced.items() if name != lower}


def span(name: str, sourced: Sourced) -> timedelta:
    """Return a length of time such as `30d` or `0`; UsageError for anything else."""
    value, source = sourced.get(name, ("30d", UNSET[1]))
    found = re.fullmatch(r"([0-9]{1,6})([dhm])|0", str(value))
    if found is None:
        hint = f"set {name} to days, hours or minutes, such as 30d, 12h or 90m, or to 0"
        raise _invalid(name, value, source, hint)
    units = {"d": timedelta(days=1), "h": timedelta(hours=1), "m": timedelta(minutes=1)}
    return int(found[1]) * units[found[2]] if found[1] else timedelta(0)


def span_text(span: timedelta) -> str:
    """Return a length of time as `span` reads it."""
    for unit, symbol in ((timedelta(days=1), "d"), (timedelta(hours=1), "h")):
        if not span % unit:
            return f"{span // unit}{symbol}" if span else "0"
    return f"{span // timedelta(minutes=1)}m"


def networks(name: str, sourced: Sourced) -> tuple[Network, ...]:
    """Return the networks of a list of CIDRs; UsageError for anything else."""
    value, source = sourced.get(name, ((), UNSET[1]))
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list | tuple):
        raise _invalid(name, value, source, _CIDRS)
    try:
        return tuple(ip_network(str(part).strip()) for part in parts)
    except ValueError as error:
        raise UsageError(f"{name} ({source}): {error}", hint=_CIDRS) from error


def file(name: str, sourced: Sourced) -> Path | None:
    """Return the absolute path of a file that need not exist."""
    value, _ = sourced.get(name, UNSET)
    return Path(str(value)).expanduser().absolute() if value else None


def folders(name: str, sourced: Sourced) -> tuple[Path, ...]:
    """Return absolute paths, which a variable separates by `:`; UsageError for anything else."""
    value, source = sourced.get(name, ((), UNSET[1]))
    parts = value.split(os.pathsep) if isinstance(value, str) else value
    hint = f"set {name} to absolute paths, such as /srv/reports"
    if not isinstance(parts, list | tuple):
        raise _invalid(name, value, source, hint)
    paths = [Path(str(part)) for part in parts if part]
    if any(not path.is_absolute() or path == path.parent for path in paths):
        raise _invalid(name, value, source, f"{hint}; the root folder is not allowed")
    return tuple(paths)


def variables(name: str, sourced: Sourced) -> tuple[str, ...]:
    """Return names of variables; UsageError for those of this program, which may be secrets."""
    value, source = sourced.get(name, ((), UNSET[1]))
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list | tuple):
        raise _invalid(name, value, source, f"set {name} to names, such as REGION,STAGE")
    names = tuple(str(part).strip() for part in parts if str(part).strip())
    for variable in names:
        if not _VARIABLE.fullmatch(variable) or variable.startswith(_OWN_VARIABLES):
            hint = "name variables of your own, such as REGION; the worker's settings are not read"
            raise _invalid(name, variable, source, hint)
    return names


def _invalid(name: str, value: object, source: str, hint: str) -> UsageError:
    return UsageError(f"{name} ({source}) has the invalid value {value!r}", hint=hint)
