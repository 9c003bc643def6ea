"""Durations and times as people write them, and the ranges between two of them."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from activityctl.errors import UsageError

_SPAN: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_HAS_LOST_PLUS: Final = re.compile(r"^ |T.* \d\d:\d\d$")
"""A text of a URL, where a plus sign that is not encoded means a space."""
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse_seconds(text: str) -> float:
    """Return the seconds of a duration such as `30s`, `5m` or `1h30m`.

    UsageError for any other text.
    """
    parts = _SPAN.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise UsageError(f"not a duration: {text!r}", hint="write 30s, 5m, 2h or 1d")
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def parse_moment(text: str, now: datetime) -> datetime:
    """Return the moment that a value of `--since` or `--until` means.

    `2h` and `-2h` are two hours ago, `+2h` is in two hours. A date is its midnight in UTC. A time
    without an offset is in UTC. UsageError for any other text.
    """
    if text == "now":
        return now
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return _moment_of_duration(text, now)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _moment_of_duration(text: str, now: datetime) -> datetime:
    is_future = text.startswith("+")
    try:
        distance = timedelta(seconds=parse_seconds(text[1:] if text[:1] in {"+", "-"} else text))
        return now + distance if is_future else now - distance
    except (UsageError, OverflowError) as error:
        hint = (
            "write 2h (two hours ago), +2h (in two hours), now, 2026-12-31 or 2026-12-31T18:00:00Z"
        )
        if _HAS_LOST_PLUS.search(text):
            hint = "in a URL write %2B for +: %2B2h, 2026-12-31T18:00:00%2B01:00"
        raise UsageError(f"not a point in time: {text!r}", hint=hint) from error


def parse_time_range(
    since: str | None, until: str | None, now: datetime
) -> tuple[datetime | None, datetime | None]:
    """Return the start and the end of a time range; None for an end that is not given.

    UsageError if the end is before the start.
    """
    first = None if since is None else parse_moment(since, now)
    last = None if until is None else parse_moment(until, now)
    if first is not None and last is not None and last < first:
        hint = f"for a time in the future, write --until +{until}" if is_duration(until) else None
        raise UsageError(f"--until {until} is before --since {since}", hint=hint)
    return first, last


def is_duration(text: str | None) -> bool:
    """Tell whether the text is a duration without a sign, such as `2h`."""
    try:
        return text is not None and parse_seconds(text) >= 0
    except UsageError:
        return False
