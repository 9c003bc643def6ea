"""Points in time as options name them: RFC 3339, or a span from now on or back."""

from datetime import datetime, timedelta

from activityctl.cli.options import seconds_of
from activityctl.errors import UsageError


def point_of(text: str, now: datetime) -> datetime:
    """Return the point that `now`, `2h` (from now), `-1d` (ago) or RFC 3339 text names.

    UsageError says how to write it; a time without an offset from UTC names none.
    """
    if text == "now":
        return now
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return _moved(text, now)
    if moment.tzinfo is None:
        raise UsageError(
            f"{text} has no offset from UTC", hint="write 2026-12-31T18:00:00Z, or with +01:00"
        )
    return moment


def _moved(text: str, now: datetime) -> datetime:
    try:
        seconds = seconds_of(text.removeprefix("-"))
        return now + timedelta(seconds=-seconds if text.startswith("-") else seconds)
    except (UsageError, OverflowError) as error:
        raise UsageError(
            f"not a point in time: {text!r}",
            hint="write 2026-12-31T18:00:00Z, 2h for in two hours, -1d for a day ago",
        ) from error
