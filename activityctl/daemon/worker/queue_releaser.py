"""The queue releaser: lets queued runs in and releases backfill firings when slots are free."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from activityctl.domain.timing.firing import FiringRef
from activityctl.errors import RefusedError
from activityctl.ports import Backfills, Gates, RunStarter
from activityctl.steps.early_admissions import only_start
from activityctl.steps.give_up import GiveUp

_AT_ONCE: Final = 100
_TRY_AGAIN_AFTER: Final = 0.25
"""Seconds to wait when a throttle is open but its next run could not be let in."""


class QueueReleaser:
    """Lets runs in; several can work at once, and each run is let in only once.

    A run that was let in is started again until it has begun.
    """

    def __init__(
        self, gates: Gates, backfills: Backfills, starter: RunStarter, give_up: GiveUp
    ) -> None:
        self.starting: Callable[[Sequence[FiringRef], Awaitable[None]], Awaitable[None]] = (
            only_start
        )
        """Waits for the start of a workflow, and may do something about its firings meanwhile."""
        self._give_up = give_up
        self._gates = gates
        self._backfills = backfills
        self._starter = starter

    async def release(self) -> float | None:
        """Let in the next runs; return the seconds until a throttle allows another, or None.

        A run that Temporal refuses for good ends as failed. If a backfill or a run fails
        otherwise, that is raised after the others had their turn: what was let in starts later.
        """
        parts = (self._backfills.release(_AT_ONCE), self._start_let_in())
        for result in await asyncio.gather(*parts, return_exceptions=True):
            if isinstance(result, BaseException):
                raise result
        seconds = await self._gates.seconds_to_release()
        return seconds or (None if seconds is None else _TRY_AGAIN_AFTER)

    async def _start_let_in(self) -> None:
        starts = [self._start(firing) for firing in await self._gates.let_in(_AT_ONCE)]
        for result in await asyncio.gather(*starts, return_exceptions=True):
            if isinstance(result, BaseException):
                raise result

    async def _start(self, firing: FiringRef) -> None:
        try:
            await self.starting([firing], self._starter.start(firing))
        except RefusedError as error:
            await self._give_up.give_up(firing, error.message)
