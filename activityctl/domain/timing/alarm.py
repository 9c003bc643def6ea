"""Alarm: the schedule spec that makes Temporal wake us at each due time of some triggers.

Triggers with the same timing share an alarm. It may also wake us at other times, such as before
the `startAt` of a trigger. Only `misfires` decides which times fire.
"""

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final, assert_never
from zoneinfo import ZoneInfo

from activityctl.domain.timing.cron import CronCalendar, cron_text, parse_cron
from activityctl.domain.timing.options import Gap, Overlap
from activityctl.domain.timing.trigger import (
    CronTrigger,
    IntervalTrigger,
    Trigger,
    parsed_trigger,
)
from activityctl.domain.values.duration import format_duration
from activityctl.domain.values.ids import ALARM_PREFIX, AlarmId, canonical_json
from activityctl.domain.values.model import JsonValue
from activityctl.frozen_dataclass import frozen_dataclass

_HOURS: Final = frozenset(range(24))
_DAYS: Final = frozenset(range(1, 32))
_MONTHS: Final = frozenset(range(1, 13))
_WEEKDAYS: Final = frozenset(range(7))
_LONGEST_TEXT: Final = 160
_DIGITS: Final = 12
_KEPT: Final = 1024
_PROBES: Final = tuple(datetime(2026, month, 1, tzinfo=UTC) for month in (1, 4, 7, 10))
"""Moments at which a zone's offset is checked; a wrong result only makes a wake-up late."""


@frozen_dataclass
class Alarm:
    """When Temporal wakes us. Alarms that wake us at the same times are equal values."""

    calendars: frozenset[CronCalendar] = frozenset()
    """A time is due if all fields of one calendar match."""
    intervals: frozenset[tuple[timedelta, timedelta]] = frozenset()
    """Length and offset of each interval."""
    timezone: str = "UTC"
    start_at: datetime | None = None
    end_at: datetime | None = None
    extras: tuple[str, ...] = ()
    """What we never write and somebody else did: excluded times, jitter, seconds, years."""


def alarm_of(trigger: Trigger) -> Alarm:
    """Return the alarm that Temporal must have for the trigger.

    It has no bounds: `startAt`, `endAt` and `maxFirings` are those of one trigger alone.
    """
    match trigger:
        case CronTrigger():
            calendars = parse_cron(trigger.schedule).alternatives()
            zone = (
                "UTC"
                if _restricts_only_minutes(calendars) and _has_whole_hour_offsets(trigger.timezone)
                else trigger.timezone
            )
            without_any_hour = frozenset(
                replace(calendar, any_hour=False) for calendar in calendars
            )
            return Alarm(without_any_hour, frozenset(), zone)
        case IntervalTrigger():
            return Alarm(intervals=frozenset({(trigger.every, trigger.offset)}))
        case other:
            assert_never(other)


def _restricts_only_minutes(calendars: tuple[CronCalendar, ...]) -> bool:
    """Return whether only minutes are restricted.

    Such a schedule has the same times in each zone with whole-hour offsets, so it can be in
    UTC. In a zone with clock changes, the server loses an hour or two around each change.
    """
    return all(
        calendar.hours == _HOURS
        and calendar.days_of_month == _DAYS
        and calendar.months == _MONTHS
        and calendar.days_of_week == _WEEKDAYS
        for calendar in calendars
    )


def _has_whole_hour_offsets(timezone: str) -> bool:
    zone = ZoneInfo(timezone)
    offsets = [moment.astimezone(zone).utcoffset() or timedelta(0) for moment in _PROBES]
    return all(offset % timedelta(hours=1) == timedelta(0) for offset in offsets)


def alarm_id_of(trigger: Trigger) -> AlarmId:
    """Return the id of the trigger's alarm: its timing, in one spelling for all equal timings.

    It is read on Temporal's page, so it is text. A long one is cut and ends in its hash.
    """
    text = _timing_text(trigger)
    if len(text) > _LONGEST_TEXT:
        digest = hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]
        text = f"{text[:_LONGEST_TEXT]}… {digest}"
    return AlarmId(f"{ALARM_PREFIX}{text}")


@lru_cache(maxsize=_KEPT)  # thousands of subscriptions share a definition's triggers
def _stored_alarm_id(kind: str, body: str) -> AlarmId:
    return alarm_id_of(parsed_trigger(kind, body))


@lru_cache(maxsize=_KEPT)
def _stored_alarm(kind: str, body: str) -> Alarm:
    return alarm_of(parsed_trigger(kind, body))


def stored_alarm_id(kind: str, body: dict[str, JsonValue]) -> AlarmId:
    """Return the id of the alarm of a trigger as it is stored: its kind, and the value of that."""
    return _stored_alarm_id(kind, canonical_json(body))


def stored_alarm(kind: str, body: dict[str, JsonValue]) -> Alarm:
    """Return the alarm of a trigger as it is stored."""
    return _stored_alarm(kind, canonical_json(body))


def _timing_text(trigger: Trigger) -> str:
    match trigger:
        case CronTrigger():
            calendar = parse_cron(trigger.schedule)
            parts = [cron_text(calendar), trigger.timezone]
            if trigger.timezone != "UTC":  # its clock never changes
                parts += _dst_texts(trigger, calendar)
            return " ".join(parts)
        case IntervalTrigger():
            every = f"every {format_duration(trigger.every)}"
            return every + (f" offset {format_duration(trigger.offset)}" if trigger.offset else "")
        case other:
            assert_never(other)


def _dst_texts(trigger: CronTrigger, calendar: CronCalendar) -> list[str]:
    """Return what differs from what cron users expect when the clocks change."""
    overlap = trigger.dst.overlap or (Overlap.BOTH if calendar.any_hour else Overlap.FIRST)
    usual = Overlap.BOTH if calendar.hours == _HOURS else Overlap.FIRST
    texts = ["gap=shift"] if trigger.dst.gap is Gap.SHIFT else []
    return [*texts, f"overlap={overlap}"] if overlap is not usual else texts
