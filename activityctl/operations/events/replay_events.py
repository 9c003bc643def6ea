"""Route archived events again to the subscriptions of this moment, once for each replay."""

import asyncio
from collections.abc import Callable
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
"""The most firings of a replay that wait for the dispatcher, so that others are not delayed."""
_PAUSE: Final = 0.1


async def replay_archived_events(
    archive: EventArchive,
    preview: ReplayPreview,
    now: datetime,
    *,
    timeout_seconds: float | None,
    on_progress: OnProgress = lambda _read, _total: None,
    on_recorded: Callable[[int], None] = lambda _count: None,
) -> int:
    """Route the events again and return the number of new firings; a repeat adds none.

    With a timeout, at most about _MOST_WAITING firings wait for the dispatcher at once, and
    WaitTimeoutError says how many are stored when time is up. Without a timeout, all firings are
    stored at once.
    """
    loop = asyncio.get_running_loop()
    deadline = None if timeout_seconds is None else loop.time() + timeout_seconds
    total, read = 0, 0
    async for page, replayed in replayed_pages(archive, preview.request, preview.targets, now):
        if replayed.firings and deadline is not None:
            await _wait_for_dispatcher(archive, preview.request, deadline, total)
        total += await archive.write_replayed(
            replayed.firings, replayed.verdicts, now, replayed.refused
        )
        on_recorded(total)
        read += len(page)
        on_progress(read, preview.events)
    return total


async def _wait_for_dispatcher(
    archive: EventArchive, request: ReplayRequest, deadline: float, total: int
) -> None:
    """Wait until fewer than _MOST_WAITING firings of the replay wait for the dispatcher."""
    loop = asyncio.get_running_loop()
    while await archive.waiting(replay_key(request.replay, "")) >= _MOST_WAITING:
        if loop.time() >= deadline:
            raise WaitTimeoutError(
                "the dispatcher did not start all firings in time; "
                f"{count_noun(total, 'firing is', 'firings are')} stored",
                hint="activityctl status; then repeat the command: no event runs twice",
            )
        await asyncio.sleep(_PAUSE)
