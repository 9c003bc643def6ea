"""Alarm: what Temporal holds for a trigger, so that it wakes us at every time when it is due.

It may wake us at other times too: `settlement` alone decides what fires.
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
"""Moments at which a zone's offset is looked up; a wrong guess costs a late wake-up."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """When Temporal wakes us, in a form in which equal timings are equal values."""

    calendars: frozenset[CronCalendar] = frozenset()
    """In each of them every field must match."""
    intervals: frozenset[tuple[timedelta, timedelta]] = frozenset()
    """Distance and offset of each."""
    timezone: str = "UTC"
    start_at: datetime | None = None
    end_at: datetime | None = None
    extras: tuple[str, ...] = ()
    """What the product never writes: excluded times, jitter, seconds, years."""

    @property
    def content_hash(self) -> str:
        """Changes whenever Temporal must be made to hold something else."""
        return content_hash(
            [
                sorted(_calendar_json(one) for one in self.calendars),
                sorted(
                    [every.total_seconds(), offset.total_seconds()]
                    for every, offset in self.intervals
                ),
                self.timezone,
                [
                    None if one is None else format_moment(one)
                    for one in (self.start_at, self.end_at)
                ],
            ]
        )


def alarm_of(trigger: Trigger) -> Alarm:
    """Return what Temporal shall hold for the trigger."""
    match trigger:
        case CronTrigger():
            calendars = parse_cron(trigger.schedule).alternatives()
            zone = (
                "UTC"
                if _is_of_any_day(calendars) and _has_whole_hours(trigger.timezone)
                else trigger.timezone
            )
            plain = frozenset(replace(one, any_hour=False) for one in calendars)
            return Alarm(plain, frozenset(), zone, trigger.start_at, trigger.end_at)
        case IntervalTrigger():
            every = frozenset({(trigger.every, trigger.offset)})
            return Alarm(intervals=every, start_at=trigger.start_at, end_at=trigger.end_at)
        case other:
            assert_never(other)


def _is_of_any_day(calendars: tuple[CronCalendar, ...]) -> bool:
    """Whether only minutes are restricted: the same then in every zone of whole hours.

    In UTC the server does not lose the hour or two around a change of the clocks.
    """
    return all(
        one.hours == _HOURS
        and one.days_of_month == _DAYS
        and one.months == _MONTHS
        and one.days_of_week == _WEEKDAYS
        for one in calendars
    )


def _has_whole_hours(timezone: str) -> bool:
    zone = ZoneInfo(timezone)
    offsets = [moment.astimezone(zone).utcoffset() or timedelta(0) for moment in _PROBES]
    return all(offset % timedelta(hours=1) == timedelta(0) for offset in offsets)


def _calendar_json(one: CronCalendar) -> JsonValue:
    return [
        sorted(values)
        for values in (one.minutes, one.hours, one.days_of_month, one.months, one.days_of_week)
    ]
