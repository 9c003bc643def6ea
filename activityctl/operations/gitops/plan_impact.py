"""Plan against events: which events of the past the changed triggers would match, or no longer."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from activityctl.domain.events.query import EventQuery
from activityctl.domain.events.stored_event import ArrivedEvent
from activityctl.domain.gitops.plan import Plan, Present
from activityctl.domain.gitops.trigger_change import event_trigger_changes, event_types_and_sources
from activityctl.domain.gitops.trigger_impact import EventImpact, ImpactCounter
from activityctl.ports import EventArchive

MOST_EVENTS: Final = 100_000
"""The newest events that a plan is held against; a person waits for it."""
_PAGE: Final = 1_000


async def compare_with_events(
    archive: EventArchive,
    plan: Plan,
    present: Present,
    span: str,
    age: timedelta,
    now: datetime,
    *,
    most: int = MOST_EVENTS,
    on_read: Callable[[int, int], None] = lambda _read, _total: None,
) -> EventImpact:
    """Hold the newest events of that age against the event triggers that the plan changes.

    Events of types and sources that none of these wants are neither read nor counted. Memory
    stays flat; `on_read` is told how many of how many events have been looked at.
    """
    changes = event_trigger_changes(plan, present)
    types, sources = event_types_and_sources(changes)
    stretch = EventQuery(now - age, now, types, sources)
    total = await archive.count(stretch)
    comparison, read = ImpactCounter(changes), 0
    last: ArrivedEvent | None = None
    wanted = min(total, most) if changes else 0
    while read < wanted:
        page = await archive.page(stretch, last, min(_PAGE, wanted - read), newest_first=True)
        if not page:
            break
        for event in page:
            comparison.look_at(event)
        last, read = page[-1], read + len(page)
        on_read(read, wanted)
        await asyncio.sleep(0)
    return EventImpact(span, stretch, total, read, comparison.impacts())
