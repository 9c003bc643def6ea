"""Firing: when a trigger is due, its nominal times, and its jitter; what becomes of them is not.

Times are computed as a reader of the schedule means them, not as the scheduling server does:
that one loses, doubles and moves firings when the clocks change.
"""

import hashlib
import heapq
from collections.abc import Iterator
from dataclasses import dataclass
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

_SECOND: Final = timedelta(seconds=1)
_DAY: Final = timedelta(days=1)
_MILLISECOND: Final = timedelta(milliseconds=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class DueTime:
    """A nominal time, or the instant in whose place the clocks jumped over one."""

    at: datetime
    """UTC."""
    missing_local_time: datetime | None = None
    """The local time, naive, that does not exist that day: nothing fires. None when it does."""

    @property
    def skip_reason(self) -> str | None:
        """Say why nothing fires; None for a nominal time."""
        if self.missing_local_time is None:
            return None
        return f"{self.missing_local_time:%H:%M} does not exist that day"


def due_times(trigger: Trigger, after: datetime) -> Iterator[DueTime]:
    """Yield the nominal times and, between them, what `dst.gap: skip` leaves out, ascending.

    A schedule that names a time of day, in an hour field that does not begin with `*`, owes a
    word for each one that does not exist. It stands where `gap: shift` would put it; where that
    is a nominal time anyway, nothing is left out. Bounds and ValueError as `nominal_times`.
    """
    if not isinstance(trigger, CronTrigger):
        return map(DueTime, nominal_times(trigger, after))
    times = _CronTimes.of(trigger).due_times(_first(trigger, after))
    last = trigger.end_at
    return times if last is None else takewhile(lambda one: one.at <= last, times)


def nominal_times(trigger: Trigger, after: datetime) -> Iterator[datetime]:
    """Yield the due times strictly after `after`, ascending, in UTC and whole seconds.

    Within startAt and endAt, both inclusive, and from 1970; without jitter, exclusions, windows
    and maxFirings. A cron trigger's end with LAST_YEAR.

    When the clocks go on, `dst.gap` skips a local time that does not exist, or shifts it on by
    the gap's length, as RFC 5545 (3.3.5) does: it is read with the offset before the change.
    When they go back, `dst.overlap` takes the first coming of a local time that comes twice, or
    both; left out, both for a schedule whose hour field begins with `*`, else the first. No
    instant comes twice.
    ValueError when `after` is naive.
    """
    times = _times(trigger, _first(trigger, after))
    last = trigger.end_at
    return times if last is None else takewhile(lambda one: one <= last, times)


def jitter_of(
    subscription_id: str, trigger_name: str, nominal: datetime, limit: timedelta
) -> timedelta:
    """Return how much later than `nominal` the firing may start: from 0 to under `limit`.

    Whole milliseconds, the same for the same arguments, evenly spread over firings.
    """
    steps = limit // _MILLISECOND
    if steps <= 0:
        return timedelta(0)
    text = "\n".join((subscription_id, trigger_name, firing_key(nominal)))
    number = int.from_bytes(hashlib.sha256(text.encode()).digest())
    return number % steps * _MILLISECOND


def _first(trigger: Trigger, after: datetime) -> datetime:
    """Return the first whole second after it that startAt allows."""
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


@dataclass(frozen=True, slots=True)
class _CronTimes:
    """A calendar's times in a zone, a UTC day at a time."""

    calendar: WallCalendar
    zone: ZoneInfo
    repeats: bool
    """Whether a wall time's second coming counts."""
    shifts: bool
    """Whether a wall time that does not exist counts."""

    @classmethod
    def of(cls, trigger: CronTrigger) -> "_CronTimes":
        calendar = wall_calendar(trigger.schedule)
        overlap = trigger.dst.overlap
        repeats = calendar.calendar.any_hour if overlap is None else overlap is Overlap.BOTH
        return cls(calendar, ZoneInfo(trigger.timezone), repeats, trigger.dst.gap is Gap.SHIFT)

    def times(self, first: datetime) -> Iterator[datetime]:
        """Yield the times from `first` on."""
        for start, end in self._days(first):
            yield from self._within(start, end)

    def due_times(self, first: datetime) -> Iterator[DueTime]:
        """Yield the times from `first` on, and what is left out between them."""
        for start, end in self._days(first):
            due = map(DueTime, self._within(start, end))
            yield from heapq.merge(due, self._omitted(start, end), key=lambda one: one.at)

    def _days(self, first: datetime) -> Iterator[tuple[datetime, datetime]]:
        """Yield the UTC days, the first from `first` on, that may have any."""
        day = self._next_day(datetime.combine(first.date(), time(), UTC))
        while day is not None:
            yield max(day, first), day + _DAY
            day = self._next_day(day + _DAY)

    def _next_day(self, day: datetime) -> datetime | None:
        """Return the first UTC day, from that one on, that may have any.

        A day of wall time lies within the UTC day of that date and its two neighbours.
        """
        found = next(self.calendar.days((day - _DAY).date()), None)
        return None if found is None else max(day, datetime.combine(found - _DAY, time(), UTC))

    def _within(self, first: datetime, end: datetime) -> Iterator[datetime]:
        # A day back, since no gap and no overlap is longer: Samoa left out a whole day in 2011.
        found = list(offset_periods(self.zone, first - _DAY, end))
        natural = (one for stretch in found for one in self._natural(stretch, first))
        if not self.shifts:
            yield from natural
            return
        shifted = (one for stretch in found for one in self._shifted(stretch, first, end))
        previous = None
        for one in heapq.merge(natural, shifted):
            if one != previous:
                yield one
            previous = one

    def _omitted(self, first: datetime, end: datetime) -> Iterator[DueTime]:
        """Yield what a shift would add."""
        if self.shifts or self.calendar.calendar.any_hour:
            return
        for stretch in offset_periods(self.zone, first - _DAY, end):
            shifted = list(self._shifted(stretch, first, end))
            known = set(self._within(first, end)) if shifted else set()
            for one in shifted:
                if one not in known:
                    yield DueTime(one, (one + stretch.before).replace(tzinfo=None))

    def _natural(self, stretch: OffsetPeriod, first: datetime) -> Iterator[datetime]:
        low = max(stretch.start, first) + stretch.offset
        if not self.repeats:
            low = max(low, stretch.start + stretch.before)
        return self._read(low, stretch.end + stretch.offset, stretch.offset)

    def _shifted(self, stretch: OffsetPeriod, first: datetime, end: datetime) -> Iterator[datetime]:
        low = max(stretch.start, first) + stretch.before
        high = min(stretch.start + stretch.offset, end + stretch.before)
        return self._read(low, high, stretch.before)

    def _read(self, low: datetime, high: datetime, offset: timedelta) -> Iterator[datetime]:
        """Yield the instants of the calendar's wall times, read with that offset."""
        walls = self.calendar.between(low.replace(tzinfo=None), high.replace(tzinfo=None))
        for wall in walls:
            yield wall.replace(tzinfo=UTC) - offset
