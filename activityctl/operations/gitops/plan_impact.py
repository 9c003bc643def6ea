"""Compare a plan with stored events: which of them the changed triggers would match."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from activityctl.domain.events.query import EventQuery
from activityctl.domain.events.stored_event import ArrivedEvent
from activityctl.domain.gitops.plan import Plan, Present
from activityctl.domain.gitops.trigger_change import event_trigger_changes, event_types_and_sources
from activityctl.domain.gitops.trigger_impact import EventImpact, ImpactCounter
from activityctl.domain.values.duration import format_duration
from activityctl.domain.values.time_range import is_duration, parse_time_range
from activityctl.errors import UsageError
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.ports import EventArchive

MOST_EVENTS: Final = 100_000
"""The most events that a plan is compared with, newest first; a person waits for it."""
_PAGE: Final = 1_000
_SECOND: Final = timedelta(seconds=1)


@frozen_dataclass
class EventRange:
    """The arrival times of the events to compare with."""

    first: datetime
    last: datetime
    span: str
    """The length of the range, for the JSON output."""


def event_range(since: str | None, until: str | None, at: datetime) -> EventRange | None:
    """Return the time range of the events; None without `--since`."""
    first, last = parse_time_range(since, until, at)
    if first is None:
        if until is not None:
            raise UsageError("--until needs --since", hint="write for example --since 7d")
        return None
    if first > (last or at):
        raise UsageError(f"--since {since} is in the future", hint="write 7d for seven days ago")
    if last is None and since is not None and is_duration(span := since.removeprefix("-")):
        return EventRange(first, at, span)
    seconds = ((last or at) - first) // _SECOND
    return EventRange(first, last or at, format_duration(seconds * _SECOND))


async def compare_with_events(
    archive: EventArchive,
    plan: Plan,
    present: Present,
    events: EventRange,
    *,
    most: int = MOST_EVENTS,
    on_read: Callable[[int, int], None] = lambda _read, _total: None,
) -> EventImpact:
    """Match the events of the range, newest first, with the triggers that the plan changes.

    Events whose type or source none of these triggers accepts are neither read nor counted.
    Memory does not grow with the number of events. `on_read` is called with the number of
    events read and the number to read.
    """
    changes = event_trigger_changes(plan, present)
    types, sources = event_types_and_sources(changes)
    query = EventQuery(events.first, events.last, types, sources)
    total = await archive.count(query)
    counter, read = ImpactCounter(changes), 0
    last: ArrivedEvent | None = None
    wanted = min(total, most) if changes else 0
    while read < wanted:
        page = await archive.page(query, last, min(_PAGE, wanted - read), newest_first=True)
        if not page:
            break
        for event in page:
            counter.look_at(event)
        last, read = page[-1], read + len(page)
        on_read(read, wanted)
        await asyncio.sleep(0)
    return EventImpact(events.span, query, total, read, counter.impacts())
