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
from activityctl.ports import EventArchive

MOST_EVENTS: Final = 100_000
"""The most events that a plan is compared with, newest first; a person waits for it."""
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
    """Match the events of the last `age`, newest first, with the triggers that the plan changes.

    Events whose type or source none of these triggers accepts are neither read nor counted.
    Memory does not grow with the number of events. `on_read` is called with the number of
    events read and the number to read.
    """
    changes = event_trigger_changes(plan, present)
    types, sources = event_types_and_sources(changes)
    query = EventQuery(now - age, now, types, sources)
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
    return EventImpact(span, query, total, read, counter.impacts())
