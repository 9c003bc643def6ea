"""Firing: when a trigger is due, its nominal times, as the scheduling server computes them.

The server's steps are followed, not an ideal calendar's, so that a preview equals what fires.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import Final, assert_never
from zoneinfo import ZoneInfo

from activityctl.domain.calendar import CronCalendar, parse_cron
from activityctl.domain.trigger import CronTrigger, IntervalTrigger, Trigger

LAST_YEAR: Final = 2100
"""The server's calendars end with this year; so do ours."""

_HOUR: Final = timedelta(hours=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_PAST_LAST_MINUTE: Final = 60
_KEY_FORMAT: Final = "%Y-%m-%dT%H:%M:%SZ"


def nominal_times(trigger: Trigger, after: datetime) -> Iterator[datetime]:
    """Yield the due times strictly after `after`, ascending, in UTC and whole seconds.

    No jitter. A cron trigger's end with LAST_YEAR. At a change of the clocks they are what
    the server (1.32) fires, which is not all that one would wish. A local time that does not
    exist is skipped (after a change of half an hour it is moved on instead). One that comes
    twice fires twice in zones west of Greenwich; in zones east of it, firings of the two hours
    around it may be missing, doubled or an hour late.
    ValueError when `after` is naive.
    """
    if after.tzinfo is None:
        raise ValueError("`after` has no time zone")
    match trigger:
        case CronTrigger():
            yield from _cron_times(trigger, after)
        case IntervalTrigger():
            yield from _interval_times(trigger, after)
        case _:
            assert_never(trigger)


def parse_firing_key(key: str) -> datetime:
    """Return the nominal time that a schedule's firing key names, in UTC.

    The reverse of `firing_ref.firing_key`. ValueError for anything else, as a key by hand.
    """
    nominal = datetime.strptime(key, _KEY_FORMAT).replace(tzinfo=UTC)
    if nominal.strftime(_KEY_FORMAT) != key:
        raise ValueError(f"{key!r} is not written as {_KEY_FORMAT}")
    return nominal


def _interval_times(trigger: IntervalTrigger, after: datetime) -> Iterator[datetime]:
    start = _EPOCH + trigger.offset
    count = (after - start) // trigger.every
    while True:
        count += 1
        try:
            yield start + count * trigger.every
        except OverflowError:
            return


def _cron_times(trigger: CronTrigger, after: datetime) -> Iterator[datetime]:
    zone = ZoneInfo(trigger.timezone)
    walks = [_Walk(one, zone) for one in parse_cron(trigger.schedule).alternatives()]
    found: datetime | None = after.astimezone(UTC).replace(microsecond=0)
    while found is not None:
        present = found
        candidates = [walk.following(present) for walk in walks]
        found = min((one for one in candidates if one is not None), default=None)
        if found is not None:
            yield found


@dataclass(frozen=True)
class _Walk:
    """The server's search for the next match of a calendar, hour of the wall clock by hour.

    Source: the behaviour of the server's calendar search, held by a test against it.
    """

    calendar: CronCalendar
    zone: ZoneInfo

    @cached_property
    def hours(self) -> tuple[int, ...]:
        return tuple(sorted(self.calendar.hours))

    @cached_property
    def minutes(self) -> tuple[int, ...]:
        return tuple(sorted(self.calendar.minutes))

    def following(self, after: datetime) -> datetime | None:
        """Return the first match after that instant; None when LAST_YEAR has none."""
        wall = self._wall(after)
        hour, minute = wall.replace(minute=0, second=0), wall.minute + 1
        repeat = _HOUR if self._wall(after - _HOUR).hour == wall.hour else timedelta(0)
        while hour.year <= LAST_YEAR:
            if minute == _PAST_LAST_MINUTE:
                (hour, repeat), minute = self._next_hour(hour, repeat), 0
            found = self._hour_of_day(hour, minute)
            if found != hour.hour:
                hour = self._next_day(hour) if found is None else hour.replace(hour=found)
                minute, repeat = 0, timedelta(0)
            if found is None:
                continue
            minute = next((one for one in self.minutes if one >= minute), _PAST_LAST_MINUTE)
            if minute < _PAST_LAST_MINUTE:
                instant = self._instant(hour + timedelta(minutes=minute))
                if self._wall(instant).hour == hour.hour:
                    return instant + repeat
                hour, minute = hour + _HOUR, 0
        return None

    def _hour_of_day(self, hour: datetime, minute: int) -> int | None:
        """Return the first matching hour from `hour` on; None when that day has none."""
        if not self._has_day(hour, minute):
            return None
        return next((one for one in self.hours if one >= hour.hour), None)

    def _next_hour(self, hour: datetime, repeat: timedelta) -> tuple[datetime, timedelta]:
        """Go on by an hour, or into the same hour again when the clocks went back."""
        following = hour + _HOUR
        is_longer = self._instant(following) - self._instant(hour) > _HOUR
        return (hour, _HOUR) if is_longer and not repeat else (following, timedelta(0))

    def _has_day(self, hour: datetime, minute: int) -> bool:
        """Ask for the weekday of the instant, not of the date: a skipped midnight parts them."""
        if hour.month not in self.calendar.months or hour.day not in self.calendar.days_of_month:
            return False
        instant = self._instant(hour + timedelta(minutes=minute))
        return self._wall(instant).isoweekday() % 7 in self.calendar.days_of_week

    def _next_day(self, hour: datetime) -> datetime:
        day = date(hour.year, hour.month, hour.day)
        if hour.month not in self.calendar.months:
            day = day.replace(day=28) + timedelta(days=4)
            day = day.replace(day=1)
        else:
            day += timedelta(days=1)
        return datetime(day.year, day.month, day.day)  # noqa: DTZ001 wall time has no zone

    def _wall(self, instant: datetime) -> datetime:
        return instant.astimezone(self.zone).replace(tzinfo=None, fold=0)

    def _instant(self, wall: datetime) -> datetime:
        """Return a wall time's instant as the server's run time does: two guesses at the offset.

        So a repeated time is its first coming west of Greenwich and its second one east of it.
        """
        as_utc = wall.replace(tzinfo=UTC)
        guess = as_utc - self._offset(as_utc)
        return as_utc - self._offset(guess)

    def _offset(self, instant: datetime) -> timedelta:
        offset = instant.astimezone(self.zone).utcoffset()
        return offset if offset is not None else timedelta(0)
