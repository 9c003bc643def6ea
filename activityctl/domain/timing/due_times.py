"""Computes the due times of a trigger and the jitter; it does not decide their outcome.

The times follow the text of the schedule, not Temporal's server: the server loses, doubles
and moves firings when the clocks change.
"""

import hashlib
import heapq
from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from itertools import takewhile
from typing import Final, assert_never
from zoneinfo import ZoneInfo

from activityctl.domain.timing.firing import firing_key
from activityctl.domain.timing.options import Gap, Overlap
from activityctl.domain.timing.trigger import CronTrigger, IntervalTrigger, Trigger
from activityctl.domain.timing.wall_time import (
    OffsetPeriod,
    WallCalendar,
    offset_periods,
    wall_calendar,
)
from activityctl.frozen_dataclass import frozen_dataclass

_SECOND: Final = timedelta(seconds=1)
_DAY: Final = timedelta(days=1)
_MILLISECOND: Final = timedelta(milliseconds=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@frozen_dataclass
class DueTime:
    """A nominal time, or the instant of a local time that does not exist because clocks changed."""

    at: datetime
    """UTC."""
    missing_local_time: datetime | None = None
    """The naive local time that does not exist, so that nothing fires; None for a nominal time."""

    @property
    def skip_reason(self) -> str | None:
        """Why nothing fires; None for a nominal time."""
        if self.missing_local_time is None:
            return None
        return missing_time_text(self.missing_local_time)


def missing_time_text(local_time: datetime) -> str:
    """Return the reason for a local time that a clock change leaves out."""
    return f"{local_time:%H:%M} does not exist on that day (clocks go forward)"


def due_times(trigger: Trigger, after: datetime) -> Iterator[DueTime]:
    """Yield the nominal times and the local times that `dst.gap: skip` skips, ascending.

    A schedule with a time of day, that is, with an hour field that does not begin with `*`,
    yields a skipped entry for each local time that does not exist. The entry is at the instant
    to which `gap: shift` would move it. If that instant is a nominal time anyway, there is no
    such entry. Bounds and ValueError are those of `nominal_times`.
    """
    if not isinstance(trigger, CronTrigger):
        return map(DueTime, nominal_times(trigger, after))
    times = _CronTimes.of(trigger).due_times(_first_second(trigger, after))
    last = trigger.end_at
    return times if last is None else takewhile(lambda due: due.at <= last, times)


def nominal_times(trigger: Trigger, after: datetime) -> Iterator[datetime]:
    """Yield the nominal times strictly after `after`, ascending, in UTC and whole seconds.

    The times are within startAt and endAt, both inclusive, and not before 1970. Jitter,
    exclusions, windows and maxFirings are not applied. The times of a cron trigger end with
    LAST_YEAR. No instant is yielded twice. Raise ValueError if `after` is naive.

    When clocks go forward, `dst.gap` skips a local time that does not exist, or shifts it by
    the length of the gap, as RFC 5545 (3.3.5) does: it is read with the offset before the
    change. When clocks go back, `dst.overlap` yields the first occurrence of a repeated local
    time, or both. The default is both for a schedule whose hour field begins with `*`, and the
    first for any other.
    """
    times = _times(trigger, _first_second(trigger, after))
    last = trigger.end_at
    return times if last is None else takewhile(lambda moment: moment <= last, times)


def jitter_of(
    subscription_id: str, trigger_name: str, nominal: datetime, limit: timedelta
) -> timedelta:
    """Return the delay of a firing after `nominal`: from 0 up to but not including `limit`.

    It is in whole milliseconds, the same for the same arguments, and evenly spread over
    firings.
    """
    steps = limit // _MILLISECOND
    if steps <= 0:
        return timedelta(0)
    text = "\n".join((subscription_id, trigger_name, firing_key(nominal)))
    number = int.from_bytes(hashlib.sha256(text.encode()).digest())
    return number % steps * _MILLISECOND


def _first_second(trigger: Trigger, after: datetime) -> datetime:
    """Return the first whole second after `after` that startAt allows, in UTC."""
    if after.tzinfo is None:
        raise ValueError("`after` has no time zone")
    after = max(after, (trigger.start_at or _EPOCH) - timedelta.resolution)
    return after.astimezone(UTC).replace(microsecond=0) + _SECOND


def _times(trigger: Trigger, first: datetime) -> Iterator[datetime]:
    match trigger:
        case CronTrigger():
            return _CronTimes.of(trigger).times(first)
        case IntervalTrigger():
            return _interval_times(trigger, first)
        case _:
            assert_never(trigger)


def _interval_times(trigger: IntervalTrigger, first: datetime) -> Iterator[datetime]:
    start = _EPOCH + trigger.offset
    count = -((start - first) // trigger.every)
    while True:
        try:
            yield start + count * trigger.every
        except OverflowError:
            return
        count += 1


@frozen_dataclass
class _CronTimes:
    """The times of a calendar in a zone, computed one UTC day after the other."""

    calendar: WallCalendar
    zone: ZoneInfo
    repeats: bool
    """Whether a repeated wall time is due a second time."""
    shifts: bool
    """Whether a wall time that does not exist is shifted; else it is skipped."""

    @classmethod
    def of(cls, trigger: CronTrigger) -> "_CronTimes":
        calendar = wall_calendar(trigger.schedule)
        overlap = trigger.dst.overlap
        repeats = calendar.calendar.any_hour if overlap is None else overlap is Overlap.BOTH
        return cls(calendar, ZoneInfo(trigger.timezone), repeats, trigger.dst.gap is Gap.SHIFT)

    def times(self, first: datetime) -> Iterator[datetime]:
        """Yield the nominal times, starting at `first`."""
        for start, end in self._days(first):
            yield from self._times_between(start, end)

    def due_times(self, first: datetime) -> Iterator[DueTime]:
        """Yield the nominal and the skipped times, starting at `first`."""
        for start, end in self._days(first):
            nominal = map(DueTime, self._times_between(start, end))
            skipped = self._skipped_times(start, end)
            yield from heapq.merge(nominal, skipped, key=lambda due: due.at)

    def _days(self, first: datetime) -> Iterator[tuple[datetime, datetime]]:
        """Yield start and end of each UTC day that may have times; the first starts at `first`."""
        day = self._next_day(datetime.combine(first.date(), time(), UTC))
        while day is not None:
            yield max(day, first), day + _DAY
            day = self._next_day(day + _DAY)

    def _next_day(self, day: datetime) -> datetime | None:
        """Return the first UTC day, starting with `day`, that may have times.

        A day of wall time is within the UTC day of that date, the one before and the one after.
        """
        local_day = next(self.calendar.days((day - _DAY).date()), None)
        if local_day is None:
            return None
        return max(day, datetime.combine(local_day - _DAY, time(), UTC))

    def _times_between(self, first: datetime, end: datetime) -> Iterator[datetime]:
        # A day back, since no gap and no overlap is longer: Samoa left out a whole day in 2011.
        periods = list(offset_periods(self.zone, first - _DAY, end))
        existing = (moment for period in periods for moment in self._existing(period, first))
        if not self.shifts:
            yield from existing
            return
        shifted = (moment for period in periods for moment in self._shifted(period, first, end))
        previous = None
        for moment in heapq.merge(existing, shifted):
            if moment != previous:
                yield moment
            previous = moment

    def _skipped_times(self, first: datetime, end: datetime) -> Iterator[DueTime]:
        """Yield the times that `gap: shift` would add to the nominal times."""
        if self.shifts or self.calendar.calendar.any_hour:
            return
        for period in offset_periods(self.zone, first - _DAY, end):
            shifted = list(self._shifted(period, first, end))
            nominal = set(self._times_between(first, end)) if shifted else set()
            for moment in shifted:
                if moment not in nominal:
                    yield DueTime(moment, (moment + period.before).replace(tzinfo=None))

    def _existing(self, period: OffsetPeriod, first: datetime) -> Iterator[datetime]:
        """Yield the instants of wall times that exist in the period."""
        low = max(period.start, first) + period.offset
        if not self.repeats:
            low = max(low, period.start + period.before)
        return self._instants(low, period.end + period.offset, period.offset)

    def _shifted(self, period: OffsetPeriod, first: datetime, end: datetime) -> Iterator[datetime]:
        """Yield the shifted instants of the wall times in the gap before the period."""
        low = max(period.start, first) + period.before
        high = min(period.start + period.offset, end + period.before)
        return self._instants(low, high, period.before)

    def _instants(self, low: datetime, high: datetime, offset: timedelta) -> Iterator[datetime]:
        """Yield the instants of the calendar's wall times, read with that offset."""
        walls = self.calendar.between(low.replace(tzinfo=None), high.replace(tzinfo=None))
        for wall in walls:
            yield wall.replace(tzinfo=UTC) - offset
