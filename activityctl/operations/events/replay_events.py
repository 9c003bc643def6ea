"""Replay events: feed archived events again to subscriptions as they are now, once a replay."""

import asyncio
from datetime import datetime
from typing import Final

from activityctl.domain.values.ids import replay_key
from activityctl.domain.values.plurals import count_noun
from activityctl.errors import WaitTimeoutError
from activityctl.operations.events.replay_preview import (
    OnProgress,
    ReplayPreview,
    ReplayRequest,
    replayed_pages,
)
from activityctl.ports import EventArchive

_MOST_WAITING: Final = 500
"""Firings of a replay that wait for the dispatcher at once; what others ask for comes between."""
_PAUSE: Final = 0.1


async def replay_archived_events(
    archive: EventArchive,
    found: ReplayPreview,
    now: datetime,
    *,
    timeout_seconds: float | None,
    on_progress: OnProgress = lambda _read, _total: None,
) -> int:
    """Feed the events again and return how many firings are new; a repeat adds none.

    With a timeout, no more than _MOST_WAITING firings wait for the dispatcher at once, and
    WaitTimeoutError says how far it has come when time is up. Without one, all are recorded.
    """
    loop = asyncio.get_running_loop()
    deadline = None if timeout_seconds is None else loop.time() + timeout_seconds
    total, read = 0, 0
    async for page, fed in replayed_pages(archive, found.order, found.audience, now):
        if fed.firings and deadline is not None:
            await _room(archive, found.order, deadline, total)
        total += await archive.write_replayed(fed.firings, fed.verdicts, now, fed.refused)
        read += len(page)
        on_progress(read, found.events)
    return total


async def _room(archive: EventArchive, order: ReplayRequest, deadline: float, total: int) -> None:
    """Wait until the dispatcher has started most of what was fed before."""
    loop = asyncio.get_running_loop()
    while await archive.waiting(replay_key(order.replay, "")) >= _MOST_WAITING:
        if loop.time() >= deadline:
            raise WaitTimeoutError(
                "time is up before the dispatcher took all; "
                f"{count_noun(total, 'firing is', 'firings are')} recorded",
                hint="activityctl status; then repeat the command: no event runs twice",
            )
        await asyncio.sleep(_PAUSE)
