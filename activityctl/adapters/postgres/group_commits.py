"""GroupCommits: what is asked for at nearly the same time is written in one transaction.

Who is alone is not kept waiting. Only while many ask does a request wait some milliseconds for
others. A request that cannot be written with the others is written by itself, so each has its own
outcome.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import Final, Generic, TypeVar

from activityctl.frozen_dataclass import frozen_dataclass

_Request = TypeVar("_Request")
_Result = TypeVar("_Result")

_LOG = logging.getLogger(__name__)
_MOST: Final = 50
"""Requests of one transaction."""
_AT_ONCE: Final = 4
"""Transactions at the same time, so that one which waits for a lock does not hold up all others."""
_MANY: Final = 5
_WITHIN: Final = 0.2
"""So many sources must have asked within so many seconds for a request to wait for others."""
_WAIT: Final = 0.02


@frozen_dataclass
class Asked(Generic[_Request]):
    """A request with what it is about."""

    key: str
    """Two requests with the same key are never in one transaction."""
    source: str
    """Who asks. One source that asks often, each time after the last answer, is still alone."""
    what: _Request


class Pace:
    """Says how long a request waits for others."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._recent: deque[tuple[float, str]] = deque(maxlen=4 * _MANY)

    def wait(self, source: str) -> float:
        """Return the seconds that a request of this source waits now; 0 unless many ask."""
        now = self._monotonic()
        self._recent.append((now, source))
        sources = {each for at, each in self._recent if now - at <= _WITHIN}
        return _WAIT if len(sources) >= _MANY else 0.0


class GroupCommits(Generic[_Request, _Result]):
    """Gathers requests, and writes them together."""

    def __init__(
        self,
        write: Callable[[Sequence[_Request]], Awaitable[Sequence[_Result | None]]],
        pace: Pace | None = None,
    ) -> None:
        """`write` is one transaction; it returns the result of each request, in their order.

        If it raises, or returns None for a request of several, that one is written by itself.
        """
        self._write = write
        self._pace = pace or Pace()
        self._waiting: dict[asyncio.Future[_Result | None], Asked[_Request]] = {}
        self._is_full = asyncio.Event()
        self._seconds = 0.0
        self._work: asyncio.Task[None] | None = None
        self._writing: set[asyncio.Task[None]] = set()

    async def write(self, asked: Asked[_Request]) -> _Result | None:
        """Write the request, with others that come now; return or raise its own outcome.

        If the caller is cancelled while it is written, it may have been written or not.
        """
        answer: asyncio.Future[_Result | None] = asyncio.get_running_loop().create_future()
        self._waiting[answer] = asked
        self._seconds = self._pace.wait(asked.source)
        if len(self._waiting) >= _MOST:
            self._is_full.set()
        if self._work is None:  # nothing in it belongs to the one that asks first
            self._work = asyncio.create_task(self._write_all(), context=Context())
        try:
            return await answer
        finally:
            self._waiting.pop(answer, None)

    async def _write_all(self) -> None:
        """Wait for others, then write, until no request is left."""
        try:
            while self._waiting:
                await self._gather()
                group = self._next_group()
                if group:
                    writing = asyncio.create_task(self._write_group(group))
                    self._writing.add(writing)
                    writing.add_done_callback(self._writing.discard)
                while len(self._writing) >= _AT_ONCE:
                    await asyncio.wait(self._writing, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._work = None

    async def _gather(self) -> None:
        if not self._seconds or len(self._waiting) >= _MOST:
            return
        self._is_full.clear()
        try:
            async with asyncio.timeout(self._seconds):
                await self._is_full.wait()
        except TimeoutError:
            return

    def _next_group(self) -> dict["asyncio.Future[_Result | None]", Asked[_Request]]:
        """Take requests with different keys, the oldest first."""
        group: dict[asyncio.Future[_Result | None], Asked[_Request]] = {}
        keys: set[str] = set()
        for answer, asked in list(self._waiting.items()):
            if answer.done():  # its caller was cancelled
                del self._waiting[answer]
            elif asked.key not in keys and len(group) < _MOST:
                keys.add(asked.key)
                group[answer] = self._waiting.pop(answer)
        return group

    async def _write_group(
        self, group: dict["asyncio.Future[_Result | None]", Asked[_Request]]
    ) -> None:
        if len(group) == 1:
            ((answer, asked),) = group.items()
            await self._write_alone(answer, asked)
            return
        try:
            results = await self._write([asked.what for asked in group.values()])
        except Exception as error:  # noqa: BLE001  # of one of them; each learns its own
            _LOG.debug("%d requests are written one by one: %s", len(group), error)
            results = [None] * len(group)
        alone = []
        for (answer, asked), result in zip(group.items(), results, strict=True):
            if result is None:
                alone.append(self._write_alone(answer, asked))
            elif not answer.done():
                answer.set_result(result)
        await asyncio.gather(*alone)

    async def _write_alone(
        self, answer: "asyncio.Future[_Result | None]", asked: Asked[_Request]
    ) -> None:
        if answer.done():  # nobody waits for it any more
            return
        try:
            (result,) = await self._write([asked.what])
        except Exception as error:  # noqa: BLE001  # given to who has asked
            if not answer.done():
                answer.set_exception(error)
        else:
            if not answer.done():
                answer.set_result(result)
