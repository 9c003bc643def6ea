"""Places: how many tasks one worker carries out at the same time, whatever calls they come in."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Final

from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from activityctl.steps.attempts import heartbeats

_PATIENCE: Final = 5.0
"""Seconds for which a call for one task waits; its own time runs meanwhile."""
_AGAIN: Final = timedelta(seconds=1)
_MANY: Final = 500
"""While so many tasks wait for a place, no further firing is started."""
_HELD_BACK: Final = 5.0
"""Seconds for which all further firings, urgent ones too, wait at most: these may be long tasks."""


class Places:
    """The places for tasks. Each call gets its first one before further tasks of other calls do."""

    def __init__(
        self,
        count: int,
        *,
        patience: float = _PATIENCE,
        many: int = _MANY,
        held_back: float = _HELD_BACK,
    ) -> None:
        """`count` is the number of places; there are never more calls than that."""
        self._free = count
        self._patience = patience
        self._many = many
        self._held_back = held_back
        self._are_few = asyncio.Event()
        self._are_few.set()
        self._calls: deque[asyncio.Future[None]] = deque()
        self._others: deque[asyncio.Future[None]] = deque()

    @property
    def waiting(self) -> int:
        """How many tasks wait for a place."""
        return len(self._calls) + len(self._others)

    async def wait_for_fewer(self) -> None:
        """Wait while many tasks wait for a place, but not for long.

        A burst waits in Postgres then, and not as open runs in the memory of this worker.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(self._held_back):
                await self._are_few.wait()

    @asynccontextmanager
    async def one(self, *, is_further: bool = False) -> AsyncIterator[None]:
        """Wait for a place and hold it; `is_further` for those after the first task of a call."""
        await self._take(self._others if is_further else self._calls)
        try:
            yield
        finally:
            self._release()

    @asynccontextmanager
    async def soon(self) -> AsyncIterator[None]:
        """Hold a place for a call of one task; let Temporal call again if none is free soon."""
        if self._free == 0:
            async with heartbeats():
                await self._take(self._calls, self._patience)
        else:
            self._free -= 1
        try:
            yield
        finally:
            self._release()

    async def _take(self, queue: deque[asyncio.Future[None]], within: float | None = None) -> None:
        if self._free > 0:
            self._free -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.append(turn)
        self._count()
        try:
            await asyncio.wait([turn], timeout=within)
        except asyncio.CancelledError:
            self._leave(queue, turn)
            raise
        if not turn.done():
            self._leave(queue, turn)
            raise ApplicationError(
                "this worker has no place for the task now",
                type="no_place",
                next_retry_delay=_AGAIN,
                category=ApplicationErrorCategory.BENIGN,
            )

    def _leave(self, queue: deque[asyncio.Future[None]], turn: asyncio.Future[None]) -> None:
        if turn.done():  # the place came at the same time
            self._release()
        else:
            queue.remove(turn)
            self._count()

    def _release(self) -> None:
        for queue in (self._calls, self._others):
            if queue:
                queue.popleft().set_result(None)
                self._count()
                return
        self._free += 1

    def _count(self) -> None:
        if self.waiting < self._many:
            self._are_few.set()
        else:
            self._are_few.clear()
