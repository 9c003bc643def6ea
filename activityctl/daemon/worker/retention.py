"""Retention: removes old events and old started firings, in small batches."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final

from activityctl.domain.values.duration import format_duration
from activityctl.ports import EventArchive, Outbox

_LOG = logging.getLogger(__name__)
_BATCH: Final = 500
_PAUSE: Final = 0.05
"""Seconds between two batches, so that other queries are not delayed."""


class Retention:
    """Removes old rows; several can work at once and do not wait for one another."""

    def __init__(
        self, archive: EventArchive, outbox: Outbox, keep: timedelta, *, batch: int = _BATCH
    ) -> None:
        """`keep` is how long events and firings are kept; zero keeps them for ever."""
        self._archive = archive
        self._outbox = outbox
        self._keep = keep
        self._batch = batch

    async def sweep(self) -> int:
        """Remove rows that are too old and no longer needed; return how many.

        Events are removed first, because a firing is kept while one of its events is. If that
        fails, the error is raised after the firings had their turn.
        """
        if not self._keep:
            return 0
        try:
            events = await self._sweep("events", self._archive.remove)
        except Exception:  # the other kind is swept all the same
            await self._sweep("firings", self._outbox.remove)
            raise
        return events + await self._sweep("firings", self._outbox.remove)

    async def _sweep(self, what: str, remove: Callable[[timedelta, int], Awaitable[int]]) -> int:
        total = 0
        try:
            while removed := await remove(self._keep, self._batch):
                total += removed
                if removed < self._batch:
                    break
                await asyncio.sleep(_PAUSE)
        finally:
            if total:
                _LOG.info("removed %d %s older than %s", total, what, format_duration(self._keep))
        return total
