"""Duration: reads and formats a length of time as it is written in YAML."""

import re
from datetime import timedelta
from typing import Annotated, Final

from pydantic import (
    AfterValidator,
    BeforeValidator,
    PlainSerializer,
    ValidationInfo,
    WithJsonSchema,
)

from activityctl.domain.values.model import is_written

MAX_DURATION: Final = timedelta(days=3650)
"""Ten years; a longer one is taken for a typing error."""

_HOW: Final = "write 250ms, 30s, 5m, 6h, 2d, 1h30m or ISO 8601 such as PT1H30M"
_SHORT: Final = re.compile(
    r"(?:(?P<days>[0-9]+)d)?(?:(?P<hours>[0-9]+)h)?(?:(?P<minutes>[0-9]+)m(?!s))?"
    r"(?:(?P<seconds>[0-9]+)s)?(?:(?P<milliseconds>[0-9]+)ms)?"
)
_ISO: Final = re.compile(
    r"P(?:(?P<weeks>[0-9]+)W|(?:(?P<days>[0-9]+)D)?"
    r"(?:T(?=[0-9])(?:(?P<hours>[0-9]+)H)?(?:(?P<minutes>[0-9]+)M)?"
    r"(?:(?P<seconds>[0-9]+)(?:\.(?P<fraction>[0-9]{1,6}))?S)?)?)"
)
DURATION_PATTERN: Final = re.sub(
    r"\(\?P<\w+>", "(", rf"^(?:(?=[0-9]){_SHORT.pattern}|(?=P[0-9T]){_ISO.pattern})$"
)
"""The pattern for JSON Schema, in the ECMA-262 dialect, so its groups have no names."""
_MICROSECONDS: Final = {
    "weeks": 604_800_000_000,
    "days": 86_400_000_000,
    "hours": 3_600_000_000,
    "minutes": 60_000_000,
    "seconds": 1_000_000,
    "milliseconds": 1_000,
}
_MAX_TEXT: Final = 64


def parse_duration(text: str) -> timedelta:
    """Return the duration of a text such as `250ms`, `30s`, `1h30m`, `2d` or ISO 8601 `PT1H30M`.

    Each unit may occur once, the largest first. ISO years and months are refused, because
    they have no fixed length. Raise ValueError with the way to write it for any other text.
    """
    if text.startswith(("-", "P-", "PT-")):
        raise ValueError(f"{text!r} is negative; a duration cannot be negative: {_HOW}")
    pattern = _ISO if text.startswith("P") else _SHORT
    match = pattern.fullmatch(text) if len(text) <= _MAX_TEXT else None
    parts = {} if match is None else {k: v for k, v in match.groupdict().items() if v is not None}
    if not parts:
        raise ValueError(f"{text[:_MAX_TEXT]!r} is not a duration: {_hint(text)}")
    microseconds = int(parts.pop("fraction", "").ljust(6, "0"))
    microseconds += sum(int(number) * _MICROSECONDS[unit] for unit, number in parts.items())
    if microseconds > MAX_DURATION // timedelta(microseconds=1):
        raise ValueError(
            f"{text!r} is over ten years; the longest duration is {MAX_DURATION.days}d"
        )
    return timedelta(microseconds=microseconds)


def format_duration(duration: timedelta) -> str:
    """Return the text that `parse_duration` reads back: largest unit first, no zero parts.

    A duration that is not in whole milliseconds is written in ISO 8601. Raise ValueError for
    a negative one.
    """
    if duration < timedelta(0):
        raise ValueError(f"{duration} is negative; a duration cannot be negative")
    rest = duration // timedelta(microseconds=1)
    if rest % 1_000:
        return f"PT{rest // 1_000_000}.{rest % 1_000_000:06d}S"
    text = ""
    for unit, symbol in zip(list(_MICROSECONDS)[1:], ("d", "h", "m", "s", "ms"), strict=True):
        count, rest = divmod(rest, _MICROSECONDS[unit])
        text += f"{count}{symbol}" if count else ""
    return text or "0s"


def _hint(text: str) -> str:
    if text.isdecimal() and text.isascii():
        return f"write {text}s for seconds"
    if text.startswith("P") and re.search(r"^P[^T]*[YM]", text):
        return "years and months have no fixed length, write days such as P30D"
    if text.lower() != text and _SHORT.fullmatch(text.lower()):
        return f"write {text.lower()}"
    return _HOW


def _from_yaml(value: object) -> object:
    if isinstance(value, str):
        return parse_duration(value)
    if isinstance(value, bool) or not isinstance(value, int | float | timedelta):
        raise ValueError(f"should be a duration: {_HOW}")  # noqa: TRY004 pydantic wants ValueError
    if not isinstance(value, timedelta):
        unit = f"{value}s" if isinstance(value, int) and value >= 0 else "30s"
        raise ValueError(f"a plain number has no unit: write {unit}")  # noqa: TRY004 as above
    if not timedelta(0) <= value <= MAX_DURATION:
        raise ValueError(f"{value} is not between 0 and {MAX_DURATION.days} days")
    return value


def _check_written(duration: timedelta, info: ValidationInfo) -> timedelta:
    if not duration and is_written(info):
        raise ValueError("should be longer than 0s")
    return duration


Duration = Annotated[
    timedelta,
    BeforeValidator(_from_yaml),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"type": "string", "pattern": DURATION_PATTERN, "examples": ["1h30m"]}),
]
"""A field of a model: text in YAML (a plain number is refused), a timedelta in code."""

LimitDuration = Annotated[Duration, AfterValidator(_check_written)]
"""A duration for a limit: 0s, which leaves no time, is refused in what a person writes."""
