"""Trigger: cron or interval, checked when read; when it is due lives in `firing`."""

import difflib
import re
from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from pydantic import Field, ValidationInfo, field_validator

from activityctl.domain.calendar import MACROS, parse_cron
from activityctl.domain.duration import Duration, format_duration
from activityctl.domain.model import JsonValue, Manifest

_SECOND: Final = timedelta(seconds=1)
_ZONE: Final = re.compile(r"(?!posix/|right/)[A-Za-z][A-Za-z0-9_+\-/]*")
SCHEDULE_PATTERN: Final = rf"^\s*({'|'.join(MACROS)}|[^@\s]\S*([ \t]+\S+){{4}})\s*$"
"""What JSON Schema can say of a schedule: a macro, or five fields."""
_NO_ZONES: Final = frozenset({"Factory", "localtime", "posixrules", "Local", "local"})
"""Names found in zone folders that mean another zone on each machine, or none."""


class CronTrigger(Manifest):
    """Due at the minutes that a cron expression names, in a time zone."""

    schedule: str = Field(
        description="Five fields (minute hour day-of-month month day-of-week) or a macro such as "
        "@daily. When day-of-month and day-of-week are both restricted, either suffices; a field "
        "that begins with * is not restricted.",
        examples=["0 2 * * 1-5", "@daily"],
        json_schema_extra={"pattern": SCHEDULE_PATTERN},
    )
    timezone: str = Field(
        default="UTC",
        description="IANA name of the zone, as Europe/Berlin.",
        examples=["Europe/Berlin"],
        json_schema_extra={"pattern": r"^[A-Za-z][A-Za-z0-9_+\-/]*$"},
    )
    jitter: Duration = Field(
        default=timedelta(0),
        description="Start up to this much later, to spread the load.",
        examples=["30s"],
    )

    @field_validator("schedule")
    @classmethod
    def _is_cron(cls, schedule: str) -> str:
        if parse_cron(schedule).never_fires:
            raise ValueError(f"{schedule!r} never fires: no month named has such a day")
        return schedule

    @field_validator("timezone")
    @classmethod
    def _is_zone(cls, timezone: str) -> str:
        if not _is_zone(timezone):
            raise ValueError(f"unknown time zone {timezone!r}: {_zone_hint(timezone)}")
        return timezone


class IntervalTrigger(Manifest):
    """Due every so often, counted from 1970-01-01T00:00:00Z plus the offset."""

    every: Duration = Field(
        description="The distance, in whole seconds, from 1s.", examples=["30m"]
    )
    offset: Duration = Field(
        default=timedelta(0),
        description="Moves each due time this much later; under `every`.",
        examples=["5m"],
    )
    jitter: Duration = Field(
        default=timedelta(0),
        description="Start up to this much later; under `every`.",
        examples=["10s"],
    )

    @field_validator("every")
    @classmethod
    def _is_distance(cls, every: timedelta) -> timedelta:
        if every < _SECOND:
            raise ValueError(f"{format_duration(every)} is too short: write 1s or more")
        return _whole_seconds(every)

    @field_validator("offset")
    @classmethod
    def _is_offset(cls, offset: timedelta, info: ValidationInfo) -> timedelta:
        return _under_every(_whole_seconds(offset), info)

    @field_validator("jitter")
    @classmethod
    def _is_jitter(cls, jitter: timedelta, info: ValidationInfo) -> timedelta:
        return _under_every(jitter, info)


Trigger = CronTrigger | IntervalTrigger

TRIGGER_KINDS: Final[Mapping[str, type[CronTrigger | IntervalTrigger]]] = MappingProxyType(
    {"cron": CronTrigger, "interval": IntervalTrigger}
)
"""Every kind of trigger by its key in YAML, with the model of what stands under it."""


def trigger_of(kind: str, body: JsonValue) -> Trigger:
    """Return the trigger of a kind in TRIGGER_KINDS; `body` is what stands under its key.

    Pydantic's ValidationError has one reason a field; KeyError for an unknown kind.
    """
    return TRIGGER_KINDS[kind].model_validate(body)


def _whole_seconds(duration: timedelta) -> timedelta:
    if duration % _SECOND:
        near = format_duration(max(_SECOND, duration - duration % _SECOND))
        raise ValueError(f"{format_duration(duration)} is not in whole seconds: write {near}")
    return duration


def _under_every(duration: timedelta, info: ValidationInfo) -> timedelta:
    every = info.data.get("every")
    if every is not None and duration >= every:
        shown = format_duration(duration)
        raise ValueError(f"{shown} is not under every ({format_duration(every)})")
    return duration


def _is_zone(name: str) -> bool:
    if not _ZONE.fullmatch(name) or name in _NO_ZONES:
        return False
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # a folder, as in `America`, is OSError
        return False
    return True


def _zone_hint(name: str) -> str:
    known = {zone.lower(): zone for zone in available_timezones()}
    near = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.8)
    return f"write {known[near[0]]}" if near else "write an IANA name such as Europe/Berlin"
