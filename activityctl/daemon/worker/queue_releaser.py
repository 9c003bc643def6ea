"""The usher: lets in the runs that queue and releases backfilled firings, as places get free."""

import asyncio
from typing import Final

from activityctl.ports import Backfills, Gates, RunStarter

_AT_ONCE: Final = 100
_TRY_AGAIN_AFTER: Final = 0.25
"""Seconds to wait while a throttle is open for a run that could not be let in."""


class QueueReleaser:
    """Any number of them may work; a run is let in once, and started until it has begun."""

    def __init__(self, gates: Gates, backfills: Backfills, starter: RunStarter) -> None:
        self._gates = gates
        self._backfills = backfills
        self._starter = starter

    async def release(self) -> float | None:
        """Let in whose turn it is; return the seconds until a throttle lets the next one in.

        UnreachableError while Temporal is away; who was let in is started later.
        """
        await self._backfills.release(_AT_ONCE)
        turn = await self._gates.let_in(_AT_ONCE)
        await asyncio.gather(*(self._starter.start(firing) for firing in turn))
        seconds = await self._gates.seconds_to_release()
        return seconds or (None if seconds is None else _TRY_AGAIN_AFTER)
