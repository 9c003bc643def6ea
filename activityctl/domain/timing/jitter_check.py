"""The check of a cron trigger's jitter against its schedule: firings stay in their order; no clock.

An interval's is checked as it is read.
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
_LOOKED_FAR: Final = timedelta(days=800)
"""Over two years, so that a yearly time comes twice, and the clocks change each way."""
_LOOKED_AT: Final = 10_000
"""So many of what is due more than once an hour repeat every distance that there is."""
_SHORTEST: Final = timedelta(minutes=1)
"""No two times of a cron schedule are closer."""


def check_jitter(kind: str, body: JsonValue) -> Iterator[Finding]:
    """Find a jitter as long as the shortest distance of two nominal times, or longer.

    With it a firing could start after the one that follows it. Looks at 800 days from 2026, or
    from startAt if that is later, and at no more than 10,000 times.
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
        f"{format_duration(trigger.jitter)} is not under {format_duration(distance)}, the shortest "
        f"time between two firings ({format_moment(first)} and {format_moment(second)}): the "
        "first could start after the second"
    )
    yield Finding(("jitter",), reason)


def _distances(trigger: CronTrigger) -> Iterator[tuple[timedelta, datetime, datetime]]:
    start = max(_REFERENCE, trigger.start_at or _REFERENCE) - timedelta.resolution
    times = takewhile(lambda one: one <= start + _LOOKED_FAR, nominal_times(trigger, start))
    return ((later - first, first, later) for first, later in pairwise(islice(times, _LOOKED_AT)))
