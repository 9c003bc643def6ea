"""Retention: removes events and started firings whose time is over, a few at a time."""

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
"""Seconds between two batches, in which Postgres serves others."""


class Retention:
    """Any number of them may work at once; none waits for another."""

    def __init__(
        self, archive: EventArchive, outbox: Outbox, keep: timedelta, *, batch: int = _BATCH
    ) -> None:
        """`keep` is how long both are kept; zero keeps them for ever."""
        self._archive = archive
        self._outbox = outbox
        self._keep = keep
        self._batch = batch

    async def sweep(self) -> int:
        """Remove what is too old and nothing needs; return how many rows.

        Events first: a firing stays while one of its events does.
        """
        if not self._keep:
            return 0
        events = await self._sweep("events", self._archive.remove)
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
