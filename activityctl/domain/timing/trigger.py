"""Trigger: the cron and interval triggers of YAML, validated; `due_times` computes their times."""

import json
from collections.abc import Mapping
from datetime import timedelta
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from pydantic import Field, ValidationInfo, field_validator

from activityctl.domain.timing.cron import MACROS, parse_cron
from activityctl.domain.timing.options import Clocked, Dst
from activityctl.domain.values.duration import Duration, format_duration
from activityctl.domain.values.model import JsonValue
from activityctl.domain.values.timezone import ZoneName

_SECOND: Final = timedelta(seconds=1)
_TRIGGERS_KEPT: Final = 1024
SCHEDULE_PATTERN: Final = rf"^\s*({'|'.join(MACROS)}|[^@\s]\S*([ \t]+\S+){{4}})\s*$"
"""The pattern of a schedule in JSON Schema: a macro or five fields."""


class CronTrigger(Clocked):
    """Due at the minutes of a cron expression in a time zone."""

    allow_never: bool = Field(
        default=False,
        description="Allow a schedule that never fires, such as 31 February.",
        examples=[True],
    )
    schedule: str = Field(
        description="Five fields (minute hour day-of-month month day-of-week) or a macro such as "
        "@daily. If day-of-month and day-of-week are both restricted, a day must match only one "
        "of them. A field that begins with * is not restricted.",
        examples=["0 2 * * 1-5", "@daily"],
        json_schema_extra={"pattern": SCHEDULE_PATTERN},
    )
    timezone: ZoneName = Field(
        default="UTC", description="IANA name of the time zone.", examples=["Europe/Berlin"]
    )
    dst: Dst = Field(
        default=Dst(),
        description="What happens when the clocks change.",
        examples=[{"gap": "shift", "overlap": "both"}],
    )

    @field_validator("schedule")
    @classmethod
    def _is_cron(cls, schedule: str, info: ValidationInfo) -> str:
        if parse_cron(schedule).never_fires and not info.data.get("allow_never"):
            raise ValueError(
                f"{schedule!r} never fires: none of its months has such a day; "
                "write allowNever: true if this is intended"
            )
        return schedule


class IntervalTrigger(Clocked):
    """Due at a fixed interval, counted from 1970-01-01T00:00:00Z plus the offset."""

    every: Duration = Field(
        description="The interval, in whole seconds, at least 1s.", examples=["30m"]
    )
    offset: Duration = Field(
        default=timedelta(0),
        description="Moves each due time this much later. Must be shorter than `every`.",
        examples=["5m"],
    )

    @field_validator("every")
    @classmethod
    def _is_interval(cls, every: timedelta, info: ValidationInfo) -> timedelta:
        if every < _SECOND:
            raise ValueError(f"{format_duration(every)} is too short: write 1s or more")
        jitter = info.data.get("jitter")
        if jitter is not None and jitter >= every:
            shown = format_duration(jitter)
            raise ValueError(f"{format_duration(every)} is not longer than the jitter ({shown})")
        return _whole_seconds(every)

    @field_validator("offset")
    @classmethod
    def _is_offset(cls, offset: timedelta, info: ValidationInfo) -> timedelta:
        every = info.data.get("every")
        if every is not None and _whole_seconds(offset) >= every:
            shown = format_duration(offset)
            raise ValueError(f"{shown} is not shorter than every ({format_duration(every)})")
        return offset


Trigger = CronTrigger | IntervalTrigger

CLOCK_KINDS: Final[Mapping[str, type[CronTrigger | IntervalTrigger]]] = MappingProxyType(
    {"cron": CronTrigger, "interval": IntervalTrigger}
)
"""The kinds of trigger that follow the clock and so have a schedule, by their key in YAML."""


def trigger_of(kind: str, body: JsonValue) -> Trigger:
    """Return the trigger of a kind in CLOCK_KINDS; `body` is the value under its key in YAML.

    Raise pydantic's ValidationError with one reason per field, or KeyError for another kind.
    """
    return CLOCK_KINDS[kind].model_validate(body)


@lru_cache(maxsize=_TRIGGERS_KEPT)  # thousands of subscriptions share a definition's triggers
def parsed_trigger(kind: str, body: str) -> Trigger:
    """Return the trigger of a kind, as `trigger_of`; `body` is the canonical JSON of the value."""
    return trigger_of(kind, json.loads(body))


def _whole_seconds(duration: timedelta) -> timedelta:
    if duration % _SECOND:
        near = format_duration(max(_SECOND, duration - duration % _SECOND))
        raise ValueError(f"{format_duration(duration)} is not in whole seconds: write {near}")
    return duration
