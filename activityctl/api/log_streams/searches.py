"""Searches: how many searches of the log there are at once, so that others have Postgres too."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final
from weakref import WeakValueDictionary

from activityctl.api.refusals import BusyError
from activityctl.domain.values.log import LogFilter

_MOST: Final = 4
"""Of the connections to Postgres, others need the rest; a search can take 30 seconds."""
_MOST_OF_ONE: Final = 2
"""So many are those of one caller, so that another one finds a place, too."""
_SECONDS: Final = 5.0


class Searches:
    """The places for searches of the log. A filter that selects nothing needs none."""

    def __init__(
        self, most: int = _MOST, of_one: int = _MOST_OF_ONE, seconds: float = _SECONDS
    ) -> None:
        self._places = asyncio.Semaphore(most)
        self._of_one = of_one
        self._seconds = seconds
        self._own: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        """The places of each caller that searches or waits."""

    @asynccontextmanager
    async def place(self, wanted: LogFilter, caller: str) -> AsyncIterator[None]:
        """Take a place until the block ends; BusyError if there is none in time."""
        if not wanted.is_search:
            yield
            return
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(self._seconds):
                    await stack.enter_async_context(self.awaited_place(caller))
            except TimeoutError:
                raise BusyError(
                    "too many searches of logs are at work; nothing was read",
                    hint="try again later, or read the log without level, grep, task and times",
                    retry_after=self._seconds,
                ) from None
            yield

    @asynccontextmanager
    async def awaited_place(self, caller: str) -> AsyncIterator[None]:
        """Take a place until the block ends; wait for it as long as it takes."""
        own = self._own.get(caller)
        if own is None:
            own = self._own[caller] = asyncio.Semaphore(self._of_one)
        async with own, self._places:
            yield
