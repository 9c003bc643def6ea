"""Retention: removes events whose time is over, a few at a time."""

import asyncio
import logging
from datetime import timedelta
from typing import Final

from activityctl.domain.duration import format_duration
from activityctl.ports import EventArchive

_LOG = logging.getLogger(__name__)
_BATCH: Final = 500
_PAUSE: Final = 0.05
"""Seconds between two batches, in which Postgres serves others."""


class Retention:
    """Any number of them may work at once; none waits for another."""

    def __init__(self, archive: EventArchive, keep: timedelta, *, batch: int = _BATCH) -> None:
        """`keep` is how long events are kept; zero keeps them for ever."""
        self._archive = archive
        self._keep = keep
        self._batch = batch

    async def sweep(self) -> int:
        """Remove the events that are too old and that nothing waits for; return how many."""
        if not self._keep:
            return 0
        total = 0
        try:
            while removed := await self._archive.remove(self._keep, self._batch):
                total += removed
                if removed < self._batch:
                    break
                await asyncio.sleep(_PAUSE)
        finally:
            if total:
                _LOG.info("removed %d events older than %s", total, format_duration(self._keep))
        return total
