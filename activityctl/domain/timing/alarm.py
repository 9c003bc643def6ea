"""Alarm: the schedule spec that makes Temporal wake us at each due time of a trigger.

An alarm may also wake us at other times. Only `misfires` decides which times fire.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final, assert_never
from zoneinfo import ZoneInfo

from activityctl.domain.timing.cron import CronCalendar, parse_cron
from activityctl.domain.timing.trigger import CronTrigger, IntervalTrigger, Trigger
from activityctl.domain.values.ids import content_hash
from activityctl.domain.values.model import JsonValue
from activityctl.domain.values.moment import format_moment

_HOURS: Final = frozenset(range(24))
_DAYS: Final = frozenset(range(1, 32))
_MONTHS: Final = frozenset(range(1, 13))
_WEEKDAYS: Final = frozenset(range(7))
_PROBES: Final = tuple(datetime(2026, month, 1, tzinfo=UTC) for month in (1, 4, 7, 10))
"""Moments at which a zone's offset is checked; a wrong result only makes a wake-up late."""


@dataclass(frozen=True, slots=True)
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

    @property
    def content_hash(self) -> str:
        """The hash of the alarm; when it changes, the schedule in Temporal must be updated."""
        return content_hash(
            [
                sorted(_calendar_json(calendar) for calendar in self.calendars),
                sorted(
                    [every.total_seconds(), offset.total_seconds()]
                    for every, offset in self.intervals
                ),
                self.timezone,
                [
                    None if bound is None else format_moment(bound)
                    for bound in (self.start_at, self.end_at)
                ],
            ]
        )


def alarm_of(trigger: Trigger) -> Alarm:
    """Return the alarm that Temporal must have for the trigger."""
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
            return Alarm(without_any_hour, frozenset(), zone, trigger.start_at, trigger.end_at)
        case IntervalTrigger():
            intervals = frozenset({(trigger.every, trigger.offset)})
            return Alarm(intervals=intervals, start_at=trigger.start_at, end_at=trigger.end_at)
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


def _calendar_json(calendar: CronCalendar) -> JsonValue:
    fields = (
        calendar.minutes,
        calendar.hours,
        calendar.days_of_month,
        calendar.months,
        calendar.days_of_week,
    )
    return [sorted(values) for values in fields]
