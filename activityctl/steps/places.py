"""Places: how many tasks one worker carries out at the same time, whatever calls they come in."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final

from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from activityctl.steps.attempts import heartbeats

_PATIENCE: Final = 5.0
"""Seconds for which a call for one task waits; its own time runs meanwhile."""
_AGAIN: Final = timedelta(seconds=1)


class Places:
    """The places for tasks. Each call gets its first one before further tasks of other calls do."""

    def __init__(self, count: int, *, patience: float = _PATIENCE) -> None:
        """`count` is the number of places; there are never more calls than that."""
        self._free = count
        self._patience = patience
        self._calls: deque[asyncio.Future[None]] = deque()
        self._others: deque[asyncio.Future[None]] = deque()

    @property
    def waiting(self) -> int:
        """How many tasks wait for a place."""
        return len(self._calls) + len(self._others)

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

    def _release(self) -> None:
        for queue in (self._calls, self._others):
            if queue:
                queue.popleft().set_result(None)
                return
        self._free += 1
