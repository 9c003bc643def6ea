"""Reads the values of single settings; an invalid one is an error that names its source."""

import os
import re
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any, Final

from activityctl.errors import UsageError

Network = IPv4Network | IPv6Network
Sourced = dict[str, tuple[Any, str]]
"""Values by setting, each with its source, such as `flag` or `profile prod`."""
UNSET: Final = (None, "default")
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
