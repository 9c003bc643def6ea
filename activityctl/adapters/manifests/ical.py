"""Returns the days of an iCalendar file; `referenced_files` reads its bytes.

The file is evaluated in a separate process with limits on CPU time and memory, because a few lines
can describe billions of events.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from activityctl.domain.manifests.calendar import merge_days
from activityctl.domain.values.moment import DaySpan, parse_days

if TYPE_CHECKING:
    from icalendar import Component

YEARS: Final = DaySpan(date(2020, 1, 1), date(2040, 12, 31))
"""Days outside of this span are left out."""

_CPU_SECONDS: Final = 5
_BYTES_PER_CPU_SECOND: Final = 25_000
"""A larger file may take longer: 3,000 yearly events in 1 MB need 7 s on one of our machines."""
_WALL_FACTOR: Final = 12
"""Seconds for each second of CPU time, on a machine that has much else to do."""
_MEMORY_BYTES: Final = 1024**3
_DAY: Final = timedelta(days=1)
_TIME_PROPERTIES: Final = frozenset(
    {"DTSTART", "DTEND", "DURATION", "RRULE", "RDATE", "EXDATE", "RECURRENCE-ID", "STATUS"}
)
"""Properties that say when an event takes place; errors in others do not matter here."""


@lru_cache(maxsize=64)
def read_days(content: bytes) -> tuple[DaySpan, ...]:
    """Return the days from 2020 to 2040 on which the file has events, in order.

    Each event counts in its own time zone. Recurrences are expanded (RFC 5545), cancelled events
    are left out. Raises ValueError if the file is invalid or has no such day.
    """
    cpu_seconds = _CPU_SECONDS + len(content) // _BYTES_PER_CPU_SECOND
    too_much = (
        f"takes more than {cpu_seconds} s to read;"
        " remove old events, and events that recur more often than daily"
    )
    try:
        process = subprocess.run(  # noqa: S603  # our own module; it reads the file from stdin
            [sys.executable, "-P", "-m", __name__, str(cpu_seconds)],
            input=content,
            capture_output=True,
            timeout=_WALL_FACTOR * cpu_seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ValueError(too_much) from None
    if process.returncode != 0:
        raise ValueError(too_much)
    answer = json.loads(process.stdout)
    if "error" in answer:
        raise ValueError(answer["error"])
    return tuple(parse_days(text) for text in answer["days"])


def _answer(content: bytes) -> dict[str, Any]:
    """Return the days, or what is wrong with the file, as a JSON object."""
    try:
        days = merge_days(_days(content))
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError) as error:
        # The parsers raise all of these for input that is not a calendar.
        lines = str(error).splitlines() or [type(error).__name__]
        return {"error": f"is not a valid iCalendar file: {lines[0][:200]}"}
    if not days:
        return {"error": "has no event from 2020 to 2040"}
    return {"days": [str(span) for span in days]}


def _days(content: bytes) -> Iterator[DaySpan]:
    import recurring_ical_events
    from icalendar import Calendar

    calendars = Calendar.from_ical(content.decode("utf-8-sig"), multiple=True)
    if not calendars:
        raise ValueError("it has no complete VCALENDAR")
    for calendar in calendars:
        for event in calendar.walk("VEVENT"):
            _check_times(event)
        past = YEARS.last + _DAY
        query = recurring_ical_events.of(calendar, components=[_occurrences()])
        for start, end, status in query.between(YEARS.first, past):
            if status.upper() != "CANCELLED" and (span := _days_of(start, end)):
                yield span


def _occurrences() -> Any:
    """Return the library's reader of events, whose occurrences are start, end and status.

    Its own occurrences are copies of the whole event, which takes most of the time.
    """
    from recurring_ical_events import EventAdapter

    class Occurrences(EventAdapter):  # type: ignore[misc] # the library has no types
        def as_component(self, start: Any = None, stop: Any = None, *_: Any) -> "_Occurrence":
            status = str(self._component.get("STATUS", ""))
            return _Occurrence(start or self.start, stop or self.end, status)

    return Occurrences


class _Occurrence(NamedTuple):
    start: date
    end: date
    status: str

    def __setitem__(self, key: str, value: Any) -> None:
        """Do nothing: the library sets the number of a change."""


def _check_times(event: "Component") -> None:
    """Raise ValueError if the event has no start, or if a property of its time is wrong."""
    name = event.get("SUMMARY") or event.get("UID") or "without a name"
    for key, reason in event.errors:
        if key in _TIME_PROPERTIES:
            raise ValueError(f"event {str(name)!r}: {key}: {reason}")
    if "DTSTART" not in event:
        raise ValueError(f"event {str(name)!r} has no DTSTART")
    if ends_early := _wrong_end(event):
        raise ValueError(f"event {str(name)!r}: {ends_early}")


def _wrong_end(event: Any) -> str:
    """Return what is wrong with the end of an event, or an empty text (RFC 5545, 3.6.1)."""
    start = event["DTSTART"].dt
    if "DURATION" in event and event["DURATION"].dt < timedelta(0):
        return "its DURATION is negative"
    if "DTEND" not in event:
        return ""
    end = event["DTEND"].dt
    if isinstance(start, datetime) != isinstance(end, datetime):
        return "one of DTSTART and DTEND is a date, the other a time of day"
    if isinstance(start, datetime) and (start.tzinfo is None) != (end.tzinfo is None):
        start, end = start.replace(tzinfo=None), end.replace(tzinfo=None)
    return "DTEND is before DTSTART" if end < start else ""


def _days_of(start: date, end: date) -> DaySpan | None:
    """Return the days on which an occurrence takes place; None if all are outside of YEARS."""
    if isinstance(start, datetime) and isinstance(end, datetime):
        if start.tzinfo is not None and end.tzinfo is not None:
            end = end.astimezone(start.tzinfo)
        if end > start:
            # An event that ends at midnight does not take place on that day.
            end -= timedelta.resolution
        first, last = start.date(), end.date()
    else:
        first, last = start, max(start, end - _DAY)
    if last < YEARS.first or first > YEARS.last:
        return None
    return DaySpan(max(first, YEARS.first), min(last, YEARS.last))


def _main() -> None:
    import resource

    cpu_seconds = int(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds))
    if sys.platform == "linux":  # other systems refuse this limit or count unused memory
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answer = json.dumps(_answer(sys.stdin.buffer.read()))
    sys.stdout.write(answer)
    sys.stdout.flush()
    os._exit(0)  # freeing a large calendar object by object takes longer than reading it


if __name__ == "__main__":
    _main()
