"""Parses five-field cron into a calendar, and compiles a calendar to ranges; no time zones.

The accepted syntax is that of crontab(5) in Vixie cron and its successors, without their
extensions: Temporal's server silently reads some of the extensions as something else.
"""

import calendar
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field, replace
from datetime import date
from functools import lru_cache
from typing import Final

from activityctl.domain.values.duration import parse_duration
from activityctl.domain.values.plurals import count_noun
from activityctl.frozen_dataclass import frozen_dataclass

ValueRange = tuple[int, int, int]
"""First value, last value (inclusive), step."""

MACROS: Final[Mapping[str, str]] = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_INTERVALS: Final[Mapping[str, str]] = {
    "second": "1s",
    "minute": "1m",
    "hour": "1h",
    "day": "1d",
    "week": "7d",
}
_MAX_TEXT: Final = 500
_LEAP_YEAR: Final = 2000


@frozen_dataclass
class _Field:
    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()
    """Three-letter names of the values, starting with that of `low`."""
    top: int = field(default=-1)
    """The highest number that may be written, if it is greater than `high`."""

    @property
    def all(self) -> frozenset[int]:
        return frozenset(range(self.low, self.high + 1))

    @property
    def allowed(self) -> str:
        named = f" or {self.names[0]}-{self.names[-1]}" if self.names else ""
        return f"{self.low}-{max(self.high, self.top)}{named}"


_MINUTE: Final = _Field("minute", 0, 59)
_HOUR: Final = _Field("hour", 0, 23)
_DAY: Final = _Field("day-of-month", 1, 31)
_MONTH: Final = _Field("month", 1, 12, tuple(name.lower() for name in calendar.month_abbr[1:]))
_WEEKDAY: Final = _Field("day-of-week", 0, 6, ("sun", "mon", "tue", "wed", "thu", "fri", "sat"), 7)
_FIELDS: Final = (_MINUTE, _HOUR, _DAY, _MONTH, _WEEKDAY)
_SPECIAL: Final = {
    "?": "? is not supported: write *",
    "#": "# (the n-th weekday) is not supported in 5-field cron",
    "L": "L (the last day) is not supported in 5-field cron",
    "W": "W (the nearest working day) is not supported in 5-field cron",
    "H": "H (a hashed value) is not supported in 5-field cron: write a fixed value and add jitter",
}


@frozen_dataclass
class CalendarSpec:
    """A calendar as ranges in ascending order; a time matches if all fields match."""

    minutes: tuple[ValueRange, ...]
    hours: tuple[ValueRange, ...]
    days_of_month: tuple[ValueRange, ...]
    months: tuple[ValueRange, ...]
    days_of_week: tuple[ValueRange, ...]
    """0 is Sunday."""


@frozen_dataclass
class CronCalendar:
    """The minutes of local time that match a cron expression; weekday 0 is Sunday."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days_of_month: frozenset[int]
    months: frozenset[int]
    days_of_week: frozenset[int]
    either_day: bool
    """True: a day must be in one of the two sets of days. False: it must be in both."""
    any_hour: bool = False
    """Whether the hour field begins with *, so that the expression has no time of day."""

    @property
    def never_fires(self) -> bool:
        """Whether none of the months has one of the days, as in 31 February."""
        longest = (calendar.monthrange(_LEAP_YEAR, month)[1] for month in self.months)
        return not self.either_day and min(self.days_of_month) > max(longest)

    def has_day(self, day: date) -> bool:
        """Return whether the calendar has times on that day."""
        by_date = day.day in self.days_of_month
        by_weekday = day.isoweekday() % 7 in self.days_of_week
        matches = by_date or by_weekday if self.either_day else by_date and by_weekday
        return matches and day.month in self.months

    def alternatives(self) -> tuple["CronCalendar", ...]:
        """Return calendars whose union is this one; in each of them all fields must match."""
        if not self.either_day:
            return (self,)
        if _DAY.all == self.days_of_month or _WEEKDAY.all == self.days_of_week:
            return (
                replace(self, days_of_month=_DAY.all, days_of_week=_WEEKDAY.all, either_day=False),
            )
        return (
            replace(self, days_of_week=_WEEKDAY.all, either_day=False),
            replace(self, days_of_month=_DAY.all, either_day=False),
        )


@lru_cache(maxsize=1024)  # thousands of subscriptions share the triggers of a definition
def parse_cron(text: str) -> CronCalendar:
    """Return the calendar of a 5-field cron expression or of a macro such as `@daily`.

    If day-of-month and day-of-week are both restricted, a day must match one of them, else
    it must match both. As in crontab(5), a field that begins with `*` is not restricted, so
    `0 0 */2 * 1` means the odd days of the month that are Mondays. Raise ValueError with the
    field, its value and, where there is one, the way to write it.
    """
    fields = _split(text.strip())
    minutes, hours, days_of_month, months, days_of_week = (
        _parse_field(spec, part) for spec, part in zip(_FIELDS, fields, strict=True)
    )
    return CronCalendar(
        minutes,
        hours,
        days_of_month,
        months,
        days_of_week,
        either_day=not fields[2].startswith("*") and not fields[4].startswith("*"),
        any_hour=fields[1].startswith("*"),
    )


def compile_calendar(cron: CronCalendar) -> CalendarSpec:
    """Return the ranges of a calendar in which all fields must match.

    Equal calendars give equal specs, even if their expressions were written differently.
    """
    return CalendarSpec(
        _value_ranges(cron.minutes),
        _value_ranges(cron.hours),
        _value_ranges(cron.days_of_month),
        _value_ranges(cron.months),
        _value_ranges(cron.days_of_week),
    )


def cron_text(cron: CronCalendar) -> str:
    """Return one spelling of the calendar: equal calendars have equal texts, other ones others.

    Whether the hour field begins with `*` makes no difference. If a day must match both fields,
    the last one begins with `&`: cron has no short form for that.
    """
    minute, hour, month = (
        _field_text(spec, values)
        for spec, values in ((_MINUTE, cron.minutes), (_HOUR, cron.hours), (_MONTH, cron.months))
    )
    is_any_day = cron.either_day and len(cron.alternatives()) == 1
    day = "*" if is_any_day else _field_text(_DAY, cron.days_of_month)
    weekday = "*" if is_any_day else _field_text(_WEEKDAY, cron.days_of_week)
    must_be_both = not cron.either_day and "*" not in {day, weekday}
    return f"{minute} {hour} {day} {month} {'&' if must_be_both else ''}{weekday}"


def _field_text(spec: _Field, values: frozenset[int]) -> str:
    ordered = sorted(values)
    step = ordered[1] - ordered[0] if len(ordered) > 1 else 0
    if step and ordered == list(range(spec.low, spec.high + 1, step)):
        return "*" if step == 1 else f"*/{step}"
    return ",".join(text for part in _value_ranges(values) for text in _range_texts(*part))


def _range_texts(first: int, last: int, step: int) -> list[str]:
    if last - first <= step:
        return [str(value) for value in sorted({first, last})]
    return [f"{first}-{last}" + (f"/{step}" if step > 1 else "")]


def parse_weekdays(text: str) -> frozenset[int]:
    """Return the days of the week in the fifth field of cron; 0 is Sunday.

    Raise ValueError like `parse_cron`.
    """
    return _parse_field(_WEEKDAY, text.strip())


def _split(text: str) -> list[str]:
    if len(text) > _MAX_TEXT:
        raise ValueError(f"the schedule has {len(text)} characters; the maximum is {_MAX_TEXT}")
    if text.startswith("@"):
        text = _expand_macro(text)
    if re.match(r"(CRON_)?TZ=", text):
        raise ValueError("the time zone is a separate field: write timezone: next to schedule:")
    fields = re.split(r"[ \t]+", text)
    if len(fields) != len(_FIELDS):
        found = len(fields) if text else 0
        names = " ".join(spec.name for spec in _FIELDS)
        more = "; seconds and years are not supported" if found > len(_FIELDS) else ""
        raise ValueError(f"{count_noun(found, 'field')} instead of 5 ({names}){more}")
    return fields


def _expand_macro(macro: str) -> str:
    if macro in MACROS:
        return MACROS[macro]
    if macro.startswith("@every"):
        every = _interval_of(macro.removeprefix("@every").strip(" _-"))
        raise ValueError(f"{macro!r} is not cron: write a trigger `interval: {{every: {every}}}`")
    raise ValueError(f"unknown macro {macro!r}; known: {', '.join(MACROS)}")


def _interval_of(words: str) -> str:
    """Return the duration that `@every` names in some crons; for other words, an example."""
    try:
        parse_duration(words)
    except ValueError:
        return _INTERVALS.get(words.lower(), "5m")
    return words


def _parse_field(spec: _Field, text: str) -> frozenset[int]:
    values: set[int] = set()
    for part in text.split(","):
        try:
            values.update(_parse_part(spec, part))
        except ValueError as error:
            raise ValueError(f"{spec.name} {text!r}: {error}") from None
    return frozenset(value % 7 if spec is _WEEKDAY else value for value in values)


def _parse_part(spec: _Field, part: str) -> range:
    if not part:
        raise ValueError("a value is empty: remove the extra comma")
    base, slash, step_text = part.partition("/")
    step = _parse_step(step_text) if slash else 1
    first, last = _parse_range(spec, base)
    if first > last:
        raise ValueError(f"a range cannot wrap around: write {_unwrapped(spec, first, last, step)}")
    if slash and base != "*" and "-" not in base:
        raise ValueError(f"a step needs a range: write {base}-{spec.high}/{step}")
    if slash and step > last - first:
        _check_lone_value(spec, base, first, step)
    return range(first, last + 1, step)


def _check_lone_value(spec: _Field, base: str, first: int, step: int) -> None:
    """Refuse a step that leaves one value, except `*/7` as a weekday and `*/31` as a day.

    A day field that begins with `*` must match together with the other one: `1 1 1-7 * */7` is
    the first Sunday of a month. With a plain 0 it would be a Sunday or one of seven days.
    """
    most = spec.high - spec.low + 1
    if base != "*" or spec not in (_DAY, _WEEKDAY):
        raise ValueError(f"with the step {step} only {first} matches: write {first}")
    if step > most:
        raise ValueError(f"with the step {step} only {first} matches: write */{most}")


def _parse_step(text: str) -> int:
    if not _is_number(text) or int(text) == 0:
        raise ValueError(f"the step {text!r} is not a whole number of 1 or more")
    return int(text)


def _parse_range(spec: _Field, base: str) -> tuple[int, int]:
    if base == "*":
        return spec.low, spec.high
    if base.startswith("-"):
        raise ValueError(f"{base!r} is not within {spec.allowed}")
    first_text, dash, last_text = base.partition("-")
    first = _parse_value(spec, first_text)
    return first, _parse_value(spec, last_text) if dash else first


def _unwrapped(spec: _Field, first: int, last: int, step: int) -> str:
    """Return the text that means the same as a range that wraps around."""
    if first > spec.high:
        return f"{spec.low}-{last}" if last > spec.low else f"{spec.low}"
    values = [*range(first, spec.high + 1), *range(spec.low, last + 1)]
    if step > 1:
        return ",".join(str(value) for value in values[::step])
    parts = ((first, spec.high), (spec.low, last))
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in parts)


def _parse_value(spec: _Field, text: str) -> int:
    if text.lower() in spec.names:
        return spec.names.index(text.lower()) + spec.low
    if _is_number(text):
        if spec.low <= int(text) <= max(spec.high, spec.top):
            return int(text)
        raise ValueError(f"{text} is not within {spec.allowed}")
    if spec.names and text[:3].lower() in spec.names and text.isalpha():
        raise ValueError(f"{text!r} is not a short name: write {text[:3].lower()}")
    for sign, reason in _SPECIAL.items():
        if sign in text.upper():
            raise ValueError(reason)
    raise ValueError(f"{text!r} is not within {spec.allowed}")


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[0-9]{1,4}", text) is not None


def _value_ranges(values: Iterable[int]) -> tuple[ValueRange, ...]:
    return tuple(_even_ranges(sorted(values)))


def _even_ranges(values: list[int]) -> Iterator[ValueRange]:
    start = 0
    while start < len(values):
        end = start + 1
        step = values[end] - values[start] if end < len(values) else 1
        while end < len(values) and values[end] - values[end - 1] == step:
            end += 1
        yield (values[start], values[end - 1], step)
        start = end
