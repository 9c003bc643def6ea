"""Streams of log entries: how many there are, and what each of them sends next."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from activityctl.api.log_streams.feed import LogFeed
from activityctl.api.log_streams.lines import Line
from activityctl.api.log_streams.pages import LogPages
from activityctl.api.log_streams.searches import Searches
from activityctl.api.log_streams.stream import Ask, Stream
from activityctl.api.refusals import BusyError
from activityctl.domain.values.log import Cursor, LogFilter
from activityctl.errors import ActivityctlError
from activityctl.ports import Logbook, Signals

MOST_STREAMS: Final = 500
_BEAT_SECONDS: Final = 15.0
_LOOK_UP_SECONDS: Final = 1.0
"""How often a stream that waits for Postgres looks whether the server stops."""


class Streams:
    """The streams of a server, which share the reading of the log."""

    def __init__(self, logbook: Logbook, signals: Signals, searches: Searches) -> None:
        self._feed = LogFeed(logbook, signals)
        self._pages = LogPages(logbook, searches)
        self._streams: set[Stream] = set()
        self._open = 0
        self._is_stopping = False

    def require_place(self) -> None:
        """Raise BusyError if there is no place for one more stream."""
        if self._open >= MOST_STREAMS or self._is_stopping:
            raise BusyError("there are too many streams; try again later", retry_after=10)

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Take the place of one stream until the block ends."""
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1

    def stop(self) -> None:
        """End all streams soon: the server stops."""
        self._is_stopping = True
        for stream in self._streams:
            stream.wake()

    async def follow(
        self,
        wanted: LogFilter,
        after: Cursor,
        caller: str,
        ask_again: Ask | None = None,
        lost: asyncio.Future[ActivityctlError] | None = None,
    ) -> AsyncIterator[list[Line]]:
        """Yield the lines as they come, each once; an empty list when there was none for a while.

        While Postgres does not answer, nothing comes; then it goes on after the last line. It ends
        when the server stops, or when `lost` says that the caller may not go on. TooSlowError if
        the search of the log takes too long. `caller` takes the places for searches.
        """
        stream = Stream(self._feed, self._pages, wanted, after, caller, ask_again)
        self._streams.add(stream)
        if lost is not None:
            lost.add_done_callback(lambda _: stream.wake())
        try:
            sent_at = time.monotonic()
            async for lines in self._lines(stream, lost):
                if lines or time.monotonic() - sent_at >= _BEAT_SECONDS:
                    yield lines
                    sent_at = time.monotonic()
        finally:
            self._streams.discard(stream)
            stream.leave()

    async def _lines(
        self, stream: Stream, lost: asyncio.Future[ActivityctlError] | None
    ) -> AsyncIterator[list[Line]]:
        """Yield the lines of a stream, and often an empty list, until it has to end."""

        def has_to_end() -> bool:
            return self._is_stopping or (lost is not None and lost.done())

        while not has_to_end():
            if stream.has_caught_up:
                yield await stream.take(_BEAT_SECONDS)
                continue
            work = asyncio.create_task(stream.catch_up())
            try:
                while not (await asyncio.wait({work}, timeout=_LOOK_UP_SECONDS))[0]:
                    yield []
                    if has_to_end():
                        return
            finally:
                work.cancel()
            yield work.result()
