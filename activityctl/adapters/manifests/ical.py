"""The days of an iCalendar file; which file that is, is `beside`'s.

The file is worked out in a process of its own, with bounds on its time and memory: a few lines
can ask for billions of events.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from activityctl.domain.manifests.calendar import merge_days
from activityctl.domain.values.moment import DaySpan, parse_days

if TYPE_CHECKING:
    from icalendar import Component

YEARS: Final = DaySpan(date(2020, 1, 1), date(2040, 12, 31))
"""Events count as far as they fall within."""

_CPU_SECONDS: Final = 5
_WALL_SECONDS: Final = 60
_MEMORY_BYTES: Final = 1024**3
_DAY: Final = timedelta(days=1)
_TOO_MUCH: Final = "takes too long to work out: its events recur too often"
_TELLING: Final = frozenset(
    {"DTSTART", "DTEND", "DURATION", "RRULE", "RDATE", "EXDATE", "RECURRENCE-ID", "STATUS"}
)
"""Properties that say when an event is; a fault elsewhere does not matter here."""


@lru_cache(maxsize=64)
def read_days(content: bytes) -> tuple[DaySpan, ...]:
    """Return the days from 2020 to 2040 that the file's events touch, in their order.

    Each event counts in its own zone; recurrences are worked out (RFC 5545), cancelled ones left
    out. ValueError says what is wrong with the file, or that there is no such day.
    """
    try:
        done = subprocess.run(  # noqa: S603  # our own module; the file is data on its input
            [sys.executable, "-P", "-m", __name__],
            input=content,
            capture_output=True,
            timeout=_WALL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ValueError(_TOO_MUCH) from None
    if done.returncode != 0:
        raise ValueError(_TOO_MUCH)
    answer = json.loads(done.stdout)
    if "error" in answer:
        raise ValueError(answer["error"])
    return tuple(parse_days(text) for text in answer["days"])


def _answer(content: bytes) -> dict[str, Any]:
    """Return the days, or what is wrong with the file, as JSON."""
    try:
        days = merge_days(_days(content))
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError) as error:
        # The parsers raise all of these for what is no calendar.
        lines = str(error).splitlines() or [type(error).__name__]
        return {"error": f"is no iCalendar file that can be read: {lines[0][:200]}"}
    if not days:
        return {"error": "has no event from 2020 to 2040"}
    return {"days": [str(span) for span in days]}


def _days(content: bytes) -> Iterator[DaySpan]:
    import recurring_ical_events
    from icalendar import Calendar

    calendars = Calendar.from_ical(content.decode("utf-8-sig"), multiple=True)
    if not calendars:
        raise ValueError("it holds no whole VCALENDAR")
    for calendar in calendars:
        for event in calendar.walk("VEVENT"):
            _require_sound(event)
        past = YEARS.last + _DAY
        for event in recurring_ical_events.of(calendar).between(YEARS.first, past):
            if str(event.get("STATUS", "")).upper() != "CANCELLED" and (found := _touched(event)):
                yield found


def _require_sound(event: "Component") -> None:
    name = event.get("SUMMARY") or event.get("UID") or "without a name"
    for key, reason in event.errors:
        if key in _TELLING:
            raise ValueError(f"event {str(name)!r}: {key}: {reason}")
    if "DTSTART" not in event:
        raise ValueError(f"event {str(name)!r} has no DTSTART")


def _touched(event: Any) -> DaySpan | None:
    """Return the days that an occurrence touches, as far as they are in YEARS."""
    start, end = event["DTSTART"].dt, event["DTEND"].dt
    if isinstance(start, datetime) and isinstance(end, datetime):
        if start.tzinfo is not None and end.tzinfo is not None:
            end = end.astimezone(start.tzinfo)
        if end > start:
            end -= timedelta.resolution  # one that ends at midnight does not touch that day
        first, last = start.date(), end.date()
    else:
        first, last = start, max(start, end - _DAY)
    if last < YEARS.first or first > YEARS.last:
        return None
    return DaySpan(max(first, YEARS.first), min(last, YEARS.last))


def _main() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_SECONDS, _CPU_SECONDS))
    if sys.platform == "linux":  # elsewhere the limit is refused or counts what is not used
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answer = json.dumps(_answer(sys.stdin.buffer.read()))
    sys.stdout.write(answer)
    sys.stdout.flush()
    os._exit(0)  # freeing a large calendar object by object takes longer than reading it


if __name__ == "__main__":
    _main()
