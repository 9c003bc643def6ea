"""Names of time zones, checked against the IANA database; what they mean is Python's zoneinfo."""

import difflib
import re
from typing import Annotated, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from pydantic import AfterValidator, WithJsonSchema

_ZONE: Final = re.compile(r"(?!posix/|right/)[A-Za-z][A-Za-z0-9_+\-/]*")
_NO_ZONES: Final = frozenset({"Factory", "localtime", "posixrules", "Local", "local"})
"""Names found in zone folders that mean another zone on each machine, or none."""


def check_zone(name: str) -> str:
    """Return the name of a time zone; ValueError with the nearest name for an unknown one."""
    if not _is_zone(name):
        raise ValueError(f"unknown time zone {name!r}: {_hint(name)}")
    return name


ZoneName = Annotated[
    str,
    AfterValidator(check_zone),
    WithJsonSchema({"type": "string", "pattern": r"^[A-Za-z][A-Za-z0-9_+\-/]*$"}),
]
"""A time zone in YAML: its IANA name."""


def _is_zone(name: str) -> bool:
    if not _ZONE.fullmatch(name) or name in _NO_ZONES:
        return False
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # a folder, as in `America`, is OSError
        return False
    return True


def _hint(name: str) -> str:
    known = {zone.lower(): zone for zone in available_timezones()}
    near = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.8)
    return f"write {known[near[0]]}" if near else "write an IANA name such as Europe/Berlin"
