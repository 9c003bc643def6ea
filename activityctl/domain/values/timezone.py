"""Checks names of time zones against the IANA database; `zoneinfo` has the rules of the zones."""

import difflib
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from pydantic import AfterValidator, WithJsonSchema

_ZONE: Final = re.compile(r"(?!posix/|right/)[A-Za-z][A-Za-z0-9_+\-/]*")
_NOT_LETTERS: Final = re.compile(r"[ _]+")
_OFFSET: Final = re.compile(r"(?:UTC|GMT)?([+-])(0?[1-9]|1[0-2])(?::?00)?", re.IGNORECASE)
"""A whole number of hours; the names of the database have the opposite sign."""
_LEGACY: Final = ("brazil/", "canada/", "chile/", "mexico/", "us/")
"""Old names of zones."""
_NO_ZONES: Final = frozenset({"Factory", "localtime", "posixrules", "Local", "local"})
"""Files in zone folders that are not zones, or that differ from machine to machine."""
_ABBREVIATIONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        **dict.fromkeys(("CET", "CEST", "MEZ", "MESZ"), "Europe/Berlin"),
        **dict.fromkeys(("EET", "EEST"), "Europe/Athens"),
        **dict.fromkeys(("WET", "WEST"), "Europe/Lisbon"),
        **dict.fromkeys(("EST", "EDT", "ET"), "America/New_York"),
        **dict.fromkeys(("CST", "CDT", "CT"), "America/Chicago"),
        **dict.fromkeys(("MST", "MDT", "MT"), "America/Denver"),
        **dict.fromkeys(("PST", "PDT", "PT"), "America/Los_Angeles"),
        **dict.fromkeys(("AKST", "AKDT"), "America/Anchorage"),
        **dict.fromkeys(("AEST", "AEDT"), "Australia/Sydney"),
        **dict.fromkeys(("NZST", "NZDT"), "Pacific/Auckland"),
        "ACST": "Australia/Adelaide",
        "AWST": "Australia/Perth",
        "BRT": "America/Sao_Paulo",
        "BST": "Europe/London",
        "HKT": "Asia/Hong_Kong",
        "HST": "Pacific/Honolulu",
        "IST": "Asia/Kolkata",
        "JST": "Asia/Tokyo",
        "KST": "Asia/Seoul",
        "MSK": "Europe/Moscow",
        "SAST": "Africa/Johannesburg",
        "SGT": "Asia/Singapore",
        **dict.fromkeys(("UTC", "Z", "ZULU"), "UTC"),
    }
)
"""A zone for each common abbreviation; for an ambiguous one, the hint suggests one zone."""


def check_zone(name: str) -> str:
    """Return the name of a time zone; raise ValueError with the nearest name for an unknown one."""
    if not _is_zone(name):
        raise ValueError(f"unknown time zone {name!r}: {_hint(name)}")
    return name


ZoneName = Annotated[
    str,
    AfterValidator(check_zone),
    WithJsonSchema({"type": "string", "pattern": r"^[A-Za-z][A-Za-z0-9_+\-/]*$"}),
]
"""A field of a model: the IANA name of a time zone."""


def _is_zone(name: str) -> bool:
    if not _ZONE.fullmatch(name) or name in _NO_ZONES:
        return False
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # a folder such as `America`: OSError
        return False
    return True


def _hint(name: str) -> str:
    if (zone := _ABBREVIATIONS.get(name.upper())) is not None:
        return f"write {zone}"
    words = _NOT_LETTERS.sub("_", name.strip().lower())
    known = {zone.lower(): zone for zone in sorted(available_timezones()) if _is_region(zone)}
    cities: dict[str, str] = {}
    for zone in (zone for zone in known if not zone.startswith(_LEGACY)):
        cities.setdefault(zone.rpartition("/")[2], known[zone])
    if (city := words.rpartition("/")[2]) in cities and words not in known:
        return f"write {cities[city]}"
    if near := difflib.get_close_matches(words, known, n=1, cutoff=0.8):
        return f"write {known[near[0]]}"
    if near := difflib.get_close_matches(city, cities, n=1, cutoff=0.8):
        return f"write {cities[near[0]]}"
    if offset := _OFFSET.fullmatch(name.strip()):
        sign = "-" if offset[1] == "+" else "+"
        return f"write a place such as Europe/Berlin, or Etc/GMT{sign}{int(offset[2])}"
    return "write an IANA name such as Europe/Berlin"


def _is_region(zone: str) -> bool:
    """Return whether a zone is named after a place; others are legacy names or fixed offsets."""
    return "/" in zone and not zone.startswith("Etc/")
