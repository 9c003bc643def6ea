"""Decides whether a firing may start when it is due, later, or not at all."""

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import Final, Literal
from zoneinfo import ZoneInfo

from activityctl.domain.timing.cron import parse_weekdays
from activityctl.domain.timing.due_times import nominal_times
from activityctl.domain.timing.options import Bounded, Exclusion, ExecutionWindow, Outside
from activityctl.domain.timing.trigger import Trigger
from activityctl.domain.values.moment import DaySpan, format_clock, format_moment
from activityctl.frozen_dataclass import frozen_dataclass

DaysByCalendar = Mapping[str, tuple[DaySpan, ...]]
"""The days of each calendar, by its name."""
LONGEST_WAIT: Final = timedelta(days=366)
"""The longest time that a firing waits for its window."""

_SECOND: Final = timedelta(seconds=1)
_MINUTE: Final = timedelta(minutes=1)
_DAY: Final = timedelta(days=1)
_WHOLE_DAY: Final = 24 * 60
_REFERENCE: Final = datetime(2026, 1, 1, tzinfo=UTC)
_MAX_TIMES_CHECKED: Final = 1_000
_CHECKED_SPAN: Final = timedelta(days=3_652)


@frozen_dataclass
class StartResult:
    """Whether and when a firing may start."""

    starts_at: datetime | None
    """When it starts, in UTC; None if it does not start."""
    outcome: Literal["starts", "waits", "skipped", "missed"]
    reason: str | None
    """Why it does not start when it is due; None if it does."""


def find_start(
    bounds: Bounded, moment: datetime, timezone: str, calendars: DaysByCalendar
) -> StartResult:
    """Return when a firing due at that moment may start, or why it does not start.

    `timezone` is the trigger's zone, UTC for one that has none. Excluded days are checked
    before the window. A waiting firing starts at the first UTC minute after the moment whose
    wall time is inside the window and not on an excluded day. If there is none within
    LONGEST_WAIT, the firing is skipped. A calendar that is not in the mapping has no days.
    """
    limits = _Limits(bounds, timezone, calendars)
    if excluded := limits.exclusion_at(moment):
        return StartResult(None, "skipped", excluded)
    window = bounds.window
    if window is None or limits.is_open_at(moment):
        return StartResult(moment, "starts", None)
    outside = f"outside its window ({limits.window_text})"
    match window.outside:
        case Outside.SKIP:
            return StartResult(None, "skipped", outside)
        case Outside.MISS:
            return StartResult(None, "missed", outside)
        case Outside.WAIT:
            opening = limits.opening_after(moment)
    if opening is None:
        where = " on a day that is not excluded" if bounds.exclude else ""
        return StartResult(None, "skipped", f"{outside}, which does not open within a year{where}")
    return StartResult(opening, "waits", outside)


def never_starts_reason(trigger: Trigger, timezone: str, calendars: DaysByCalendar) -> str | None:
    """Return why no firing of the trigger can ever start; None if one can, or none is due.

    The check covers ten years from 2026, or from startAt if that is later. It jumps over
    firings that cannot start, and checks at most a thousand. It uses no clock.
    """
    reason = None
    for nominal in _candidate_times(trigger, _Limits(trigger, timezone, calendars)):
        start = find_start(trigger, nominal, timezone, calendars)
        if start.starts_at is not None:
            return None
        reason = reason or f"the firing of {format_moment(nominal)} is {start.reason}"
    return reason and f"no firing would ever start; {reason}"


def _candidate_times(trigger: Trigger, limits: "_Limits") -> Iterator[datetime]:
    """Yield nominal times; after each, jump to the first one that may start."""
    nominal = next(nominal_times(trigger, _REFERENCE - _SECOND), None)
    horizon = (nominal or _REFERENCE) + _CHECKED_SPAN
    for _ in range(_MAX_TIMES_CHECKED):
        if nominal is None or nominal > horizon:
            return
        yield nominal
        start = limits.next_start(nominal) or nominal + LONGEST_WAIT
        after = max(nominal, start - _SECOND)
        nominal = next(nominal_times(trigger, after), None)


class _Limits:
    """The window and the excluded days of a trigger, each in its time zone."""

    def __init__(self, bounds: Bounded, timezone: str, calendars: DaysByCalendar) -> None:
        self._exclusion = bounds.exclude or Exclusion()
        self._window = bounds.window or ExecutionWindow()
        self._days_zone = ZoneInfo(self._exclusion.timezone or timezone)
        self._window_zone = ZoneInfo(self._window.timezone or timezone)
        self._weekdays = parse_weekdays(self._window.days)
        self._calendars = calendars

    @property
    def window_text(self) -> str:
        """The window in messages, such as `mon-fri 08:00-18:00 Europe/Berlin`."""
        window, parts = self._window, []
        if window.days != "*":
            parts.append(window.days)
        if (window.from_, window.to) != (0, _WHOLE_DAY):
            parts.append(f"{format_clock(window.from_)}-{format_clock(window.to)}")
        return " ".join([*parts, self._window_zone.key])

    def exclusion_at(self, moment: datetime) -> str | None:
        """Return the reason why the day of that moment is excluded; None if it is not."""
        return self._exclusion_of(moment.astimezone(self._days_zone).date())

    def _exclusion_of(self, day: date) -> str | None:
        if any(day in span for span in self._exclusion.dates):
            return f"excluded: {day}"
        for name in self._exclusion.calendars:
            if any(day in span for span in self._calendars.get(name, ())):
                return f"excluded: {day} (calendar {name})"
        return None

    def is_open_at(self, moment: datetime) -> bool:
        """Return whether the moment is inside the window."""
        wall = moment.astimezone(self._window_zone)
        minute = wall.hour * 60 + wall.minute
        first, end = self._window.from_, self._window.to
        if first < end:
            return first <= minute < end and self._begins_on(wall.date())
        if minute >= first:
            return self._begins_on(wall.date())
        return minute < end and self._begins_on(wall.date() - _DAY)

    def _begins_on(self, day: date) -> bool:
        return day.isoweekday() % 7 in self._weekdays

    def next_start(self, moment: datetime) -> datetime | None:
        """Return the first moment at which a due firing can start, or wait for its window."""
        is_waiting = self._window.outside is Outside.WAIT
        return self._first_start(moment, is_always_open=is_waiting)

    def opening_after(self, moment: datetime) -> datetime | None:
        """Return the first whole minute, not before the moment, in which a firing may start."""
        return self._first_start(moment, is_always_open=False)

    def _first_start(self, moment: datetime, *, is_always_open: bool) -> datetime | None:
        start = moment.astimezone(UTC).replace(second=0, microsecond=0)
        start += _MINUTE if start < moment else timedelta(0)
        zones = (self._window_zone, self._days_zone)
        for begin, end in pairwise(_boundaries(zones, start, start + LONGEST_WAIT)):
            spans = [(begin, end)] if is_always_open else self._open_spans(begin, end)
            for opens, closes in spans:
                for candidate in self._possible_starts(opens, closes):
                    if self.exclusion_at(candidate) is None:
                        return candidate
        return None

    def _open_spans(self, begin: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
        """Yield the open times in a span in which the window's zone has one offset."""
        wall = begin.astimezone(self._window_zone)
        first, last = self._window.from_, self._window.to
        for day in (wall.date() - _DAY, wall.date(), wall.date() + _DAY):
            if self._begins_on(day):
                midnight = datetime.combine(day, time(), UTC) - (wall.utcoffset() or timedelta(0))
                length = last - first if first < last else last - first + _WHOLE_DAY
                opens = midnight + first * _MINUTE
                closes = opens + length * _MINUTE
                if opens < end and closes > begin:
                    yield max(opens, begin), min(closes, end)

    def _possible_starts(self, begin: datetime, end: datetime) -> Iterator[datetime]:
        """Yield the start of a span of at most a day, and the midnight inside it, if any.

        Midnight is in the zone of the excluded days: an excluded day may end there.
        """
        yield begin
        wall = begin.astimezone(self._days_zone)
        midnight = datetime.combine(wall.date() + _DAY, time(), UTC)
        midnight -= wall.utcoffset() or timedelta(0)
        if midnight < end:
            yield midnight


def _boundaries(zones: tuple[ZoneInfo, ...], start: datetime, end: datetime) -> Iterator[datetime]:
    """Yield whole minutes, at most a day apart, between which no zone changes its offset."""
    yield start
    while start < end:
        stop = min(start + _DAY, end)
        for zone in zones:
            stop = _first_change(zone, start, stop)
        yield stop
        start = stop


def _first_change(zone: ZoneInfo, start: datetime, stop: datetime) -> datetime:
    """Return the first minute with another offset than at the start; `stop` if there is none."""
    offset = start.astimezone(zone).utcoffset()
    before, after = 0, (stop - start) // _MINUTE
    if (stop - _MINUTE).astimezone(zone).utcoffset() == offset:
        return stop
    while after - before > 1:
        middle = (before + after) // 2
        if (start + middle * _MINUTE).astimezone(zone).utcoffset() == offset:
            before = middle
        else:
            after = middle
    return start + after * _MINUTE
