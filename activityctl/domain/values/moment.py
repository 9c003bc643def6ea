"""Points in time, days and times of day as they are written in YAML; no time zone rules."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Annotated, Final

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

_MOMENT: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2})?(Z|z|[+-][0-9]{2}:[0-9]{2})?"
)
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_CLOCK: Final = re.compile(r"([0-9]{2}):([0-9]{2})")
_MINUTES_A_DAY: Final = 24 * 60


def parse_moment(text: object) -> datetime:
    """Return the point in time of an RFC 3339 text, in UTC and whole seconds.

    Raise ValueError with the way to write it for any other text. The offset is required,
    because a local time alone is not a point in time.
    """
    if isinstance(text, datetime):
        return text
    if not isinstance(text, str) or not (found := _MOMENT.fullmatch(text)):
        is_day = isinstance(text, str) and _DAY.fullmatch(text)
        example = f"{text}T00:00:00Z" if is_day else "2026-12-31T18:00:00Z"
        raise ValueError(f"{text!r} is not a point in time: write {example}")
    if found[2] is None:
        raise ValueError(f"{text!r} has no offset from UTC: write {text}Z or {text}+01:00")
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{text!r} is not a point in time: {error}") from None


def format_moment(moment: datetime) -> str:
    """Return the text that `parse_moment` reads back."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True, slots=True, order=True)
class DaySpan:
    """The days from `first` to `last`, both included."""

    first: date
    last: date

    def __contains__(self, day: date) -> bool:
        """Return whether the day is in the span."""
        return self.first <= day <= self.last

    def __str__(self) -> str:
        """Return the span as it is written in YAML."""
        if self.first == self.last:
            return self.first.isoformat()
        return f"{self.first.isoformat()}/{self.last.isoformat()}"


def parse_days(text: object) -> DaySpan:
    """Return the days of a text such as `2026-12-24` or `2026-12-24/2027-01-02`.

    Raise ValueError with the way to write it for any other text.
    """
    if isinstance(text, DaySpan):
        return text
    if not isinstance(text, str):
        raise ValueError(f"{text!r} is not a day: write 2026-12-24 or 2026-12-24/2027-01-02")  # noqa: TRY004  # pydantic turns ValueError alone into a finding
    first_text, slash, last_text = text.partition("/")
    first = _day(first_text)
    last = _day(last_text) if slash else first
    if last < first:
        raise ValueError(f"{text!r} ends before it begins: write {last}/{first}")
    return DaySpan(first, last)


def _day(text: str) -> date:
    if not _DAY.fullmatch(text):
        raise ValueError(f"{text!r} is not a day: write 2026-12-24 or 2026-12-24/2027-01-02")
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is not a day: {error}") from None


def parse_clock(text: object) -> int:
    """Return the minutes after midnight of a text such as `08:30`; `24:00` is the day's end."""
    if isinstance(text, int) and not isinstance(text, bool):
        return text
    found = _CLOCK.fullmatch(text) if isinstance(text, str) else None
    minutes = int(found[1]) * 60 + int(found[2]) if found else _MINUTES_A_DAY + 1
    if found is None or int(found[2]) >= 60 or minutes > _MINUTES_A_DAY:  # noqa: PLR2004  # minutes per hour
        is_short = isinstance(text, str) and re.fullmatch(r"[0-9]:[0-5][0-9]", text)
        example = f"0{text}" if is_short else "08:30"
        raise ValueError(f"{text!r} is not a time of day: write {example}, in quotes")
    return minutes


def format_clock(minutes: int) -> str:
    """Return the text that `parse_clock` reads back."""
    return "24:00" if minutes == _MINUTES_A_DAY else time(*divmod(minutes, 60)).strftime("%H:%M")


Moment = Annotated[
    datetime,
    BeforeValidator(parse_moment),
    PlainSerializer(format_moment, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""A field of a model: a point in time, in YAML as RFC 3339 with an offset."""

Days = Annotated[
    DaySpan,
    BeforeValidator(parse_days),
    PlainSerializer(str, when_used="json"),
    WithJsonSchema(
        {"type": "string", "pattern": rf"^{_DAY.pattern}(/{_DAY.pattern})?$"},
    ),
]
"""A field of a model: a day or a span of days."""

Clock = Annotated[
    int,
    BeforeValidator(parse_clock),
    PlainSerializer(format_clock, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": r"^([01][0-9]|2[0-3]):[0-5][0-9]$|^24:00$"}),
]
"""A field of a model: a time of day, in code as minutes after midnight."""
