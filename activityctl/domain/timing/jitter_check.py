"""Checks that the jitter of a cron trigger keeps firings in their order; uses no clock.

The model of an interval trigger checks its jitter itself.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise, takewhile
from typing import Final

from activityctl.domain.timing.due_times import nominal_times
from activityctl.domain.timing.trigger import CronTrigger, trigger_of
from activityctl.domain.values.duration import format_duration
from activityctl.domain.values.finding import Finding
from activityctl.domain.values.model import JsonValue
from activityctl.domain.values.moment import format_moment

_REFERENCE: Final = datetime(2026, 1, 1, tzinfo=UTC)
_CHECKED_SPAN: Final = timedelta(days=800)
"""Over two years, so that a yearly time occurs twice, and clocks go forward and back."""
_MAX_TIMES_CHECKED: Final = 10_000
"""A schedule with several times an hour has each of its distances among so many times."""
_SHORTEST: Final = timedelta(minutes=1)
"""The shortest time between two firings of any cron schedule."""


def check_jitter(kind: str, body: JsonValue) -> Iterator[Finding]:
    """Find a jitter that is not shorter than the shortest time between two nominal times.

    With such a jitter a firing could start after the next one. The check covers 800 days from
    2026, or from startAt if that is later, and at most 10,000 times.
    """
    if kind != "cron":
        return
    trigger = trigger_of(kind, body)
    if not isinstance(trigger, CronTrigger) or trigger.jitter < _SHORTEST:
        return
    closest = min(_distances(trigger), default=None)
    if closest is None or trigger.jitter < closest[0]:
        return
    distance, first, second = closest
    reason = (
        f"{format_duration(trigger.jitter)} is not shorter than {format_duration(distance)}, "
        f"the shortest time between two firings ({format_moment(first)} and "
        f"{format_moment(second)}): the first could start after the second"
    )
    yield Finding(("jitter",), reason)


def _distances(trigger: CronTrigger) -> Iterator[tuple[timedelta, datetime, datetime]]:
    start = max(_REFERENCE, trigger.start_at or _REFERENCE) - timedelta.resolution
    times = takewhile(lambda time: time <= start + _CHECKED_SPAN, nominal_times(trigger, start))
    pairs = pairwise(islice(times, _MAX_TIMES_CHECKED))
    return ((later - first, first, later) for first, later in pairs)
