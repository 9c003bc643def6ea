"""The queue releaser: lets queued runs in and releases backfill firings when slots are free."""

import asyncio
from typing import Final

from activityctl.ports import Backfills, Gates, RunStarter

_AT_ONCE: Final = 100
_TRY_AGAIN_AFTER: Final = 0.25
"""Seconds to wait when a throttle is open but its next run could not be let in."""


class QueueReleaser:
    """Lets runs in; several can work at once, and each run is let in only once.

    A run that was let in is started again until it has begun.
    """

    def __init__(self, gates: Gates, backfills: Backfills, starter: RunStarter) -> None:
        self._gates = gates
        self._backfills = backfills
        self._starter = starter

    async def release(self) -> float | None:
        """Let in the next runs; return the seconds until a throttle allows another, or None.

        UnreachableError while Temporal does not answer; the runs already let in start later.
        """
        await self._backfills.release(_AT_ONCE)
        let_in = await self._gates.let_in(_AT_ONCE)
        await asyncio.gather(*(self._starter.start(firing) for firing in let_in))
        seconds = await self._gates.seconds_to_release()
        return seconds or (None if seconds is None else _TRY_AGAIN_AFTER)
