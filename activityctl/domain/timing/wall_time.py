"""Wall time: the local times of a calendar and the offset periods of a zone; no triggers."""

from bisect import bisect_left
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from activityctl.domain.timing.cron import CronCalendar, parse_cron
from activityctl.frozen_dataclass import frozen_dataclass

LAST_YEAR: Final = 2100
"""The last year of cron schedules, as in Temporal's server."""

_LAST_DAY: Final = date(LAST_YEAR, 12, 31)
_DAY: Final = timedelta(days=1)
_SECOND: Final = timedelta(seconds=1)


@frozen_dataclass
class WallCalendar:
    """The wall times of a cron expression: naive and in whole minutes."""

    calendar: CronCalendar
    hours: tuple[int, ...]
    minutes: tuple[int, ...]

    def days(self, first: date, last: date = _LAST_DAY) -> Iterator[date]:
        """Yield the days with times from `first` to `last`, ascending; none after LAST_YEAR."""
        day, last = first, min(last, _LAST_DAY)
        if self.calendar.never_fires:
            return
        while day <= last:
            if day.month not in self.calendar.months:
                day = (day.replace(day=28) + 4 * _DAY).replace(day=1)
                continue
            if self.calendar.has_day(day):
                yield day
            day += _DAY

    def between(self, first: datetime, end: datetime) -> Iterator[datetime]:
        """Yield the wall times from `first` up to but not including `end`, ascending."""
        if first >= end:
            return
        for day in self.days(first.date(), end.date()):
            start = bisect_left(self.hours, first.hour) if day == first.date() else 0
            for hour in self.hours[start:]:
                for minute in self.minutes:
                    wall = datetime.combine(day, time(hour, minute))
                    if wall >= end:
                        return
                    if wall >= first:
                        yield wall


@lru_cache(maxsize=1024)
def wall_calendar(schedule: str) -> WallCalendar:
    """Return the wall times of a cron expression; raise ValueError like `parse_cron`."""
    calendar = parse_cron(schedule)
    return WallCalendar(calendar, tuple(sorted(calendar.hours)), tuple(sorted(calendar.minutes)))


@frozen_dataclass
class OffsetPeriod:
    """A range of time, up to but not including `end`, in which a zone has one offset."""

    start: datetime
    end: datetime
    offset: timedelta
    before: timedelta
    """The offset before `start`. Wall times repeat if it is greater than `offset`.

    If it is less, some wall times do not exist.
    """


def offset_periods(zone: ZoneInfo, start: datetime, end: datetime) -> Iterator[OffsetPeriod]:
    """Yield the periods from `start` to `end`, both in UTC, ascending and without gaps.

    It is assumed that a zone changes its offset at whole seconds, and does not change it and
    change it back within a day.
    """
    before = _offset(zone, start)
    while start < end:
        offset = _offset(zone, start)
        change = _first_change(zone, start, end, offset)
        yield OffsetPeriod(start, change, offset, before)
        before, start = offset, change


def _first_change(zone: ZoneInfo, start: datetime, end: datetime, offset: timedelta) -> datetime:
    while start < end:
        next_start = min(start + _DAY, end)
        if _offset(zone, next_start) != offset:
            return _change_between(zone, start, next_start, offset)
        start = next_start
    return end


def _change_between(zone: ZoneInfo, same: datetime, other: datetime, offset: timedelta) -> datetime:
    while other - same > _SECOND:
        middle = same + (other - same) // (2 * _SECOND) * _SECOND
        if _offset(zone, middle) == offset:
            same = middle
        else:
            other = middle
    return other


def _offset(zone: ZoneInfo, moment: datetime) -> timedelta:
    return moment.astimezone(zone).replace(tzinfo=UTC) - moment
