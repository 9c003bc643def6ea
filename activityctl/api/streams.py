"""Streams of log entries: one connection to Postgres wakes all that follow a log."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

from activityctl.api.refusals import BusyError
from activityctl.domain.values.log import Cursor, LogEntry, LogFilter
from activityctl.errors import UnreachableError
from activityctl.operations.runs.follow_logs import follow_logs
from activityctl.ports import Logbook, Signals

MOST_STREAMS: Final = 500
_IDLE_SECONDS: Final = 10.0
"""How often a log is looked at without a notification, because one may be lost in an outage."""
_BEAT_SECONDS: Final = 15.0
_WAITING_ENTRIES: Final = 100
"""So many entries wait for a client that reads slowly; then the log is not read further."""


class Streams:
    """The streams of a server. It implements the Signals port for them, with one connection."""

    def __init__(self, signals: Signals) -> None:
        self._signals = signals
        self._followers: set[_Follower] = set()
        self._listener: asyncio.Task[None] | None = None
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
        for follower in self._followers:
            follower.wake("")

    async def follow(
        self,
        logbook: Logbook,
        wanted: LogFilter,
        after: Cursor,
        ask_again: Callable[[], Awaitable[LogFilter]] | None = None,
    ) -> AsyncIterator[LogEntry | None]:
        """Yield the entries as they come, and None when there was none for a while."""
        entries: asyncio.Queue[LogEntry | None] = asyncio.Queue(_WAITING_ENTRIES)

        async def read() -> None:
            followed = follow_logs(
                logbook,
                self,
                wanted,
                after=after,
                has_ended=lambda: self._is_stopping,
                ask_again=ask_again,
            )
            async for entry in followed:
                await entries.put(entry)

        reader = asyncio.create_task(read())
        try:
            while not (reader.done() and entries.empty()):
                entry = await _next(entries, reader)
                if entry is not None or not reader.done():
                    yield entry
            reader.result()
        finally:
            reader.cancel()
            with suppress(asyncio.CancelledError, UnreachableError):
                await reader

    @asynccontextmanager
    async def listening(self, channel: str) -> AsyncIterator[AsyncIterator[str]]:
        """Iterate over the notifications that the shared connection hears."""
        follower = _Follower()
        self._followers.add(follower)
        if self._listener is None or self._listener.done():
            self._listener = asyncio.create_task(self._listen(channel))
        try:
            yield follower.payloads()
        finally:
            self._followers.discard(follower)
            if not self._followers and self._listener is not None:
                self._listener.cancel()
                self._listener = None

    async def _listen(self, channel: str) -> None:
        try:
            async with self._signals.listening(channel) as payloads:
                for follower in self._followers:  # what came before is looked for now
                    follower.wake("")
                async for payload in payloads:
                    if payload:
                        for follower in self._followers:
                            follower.wake(payload)
        except UnreachableError as error:
            for follower in self._followers:
                follower.fail(error)


class _Follower:
    """What one stream has not looked at yet."""

    def __init__(self) -> None:
        self._payloads: set[str] = set()
        self._error: UnreachableError | None = None
        self._has_news = asyncio.Event()

    def wake(self, payload: str) -> None:
        self._payloads.add(payload)
        self._has_news.set()

    def fail(self, error: UnreachableError) -> None:
        self._error = error
        self._has_news.set()

    async def payloads(self) -> AsyncIterator[str]:
        """Yield each payload once, and an empty text when there was none for a while."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_IDLE_SECONDS):
                    await self._has_news.wait()
            if self._error is not None:
                raise self._error
            self._has_news.clear()
            news, self._payloads = self._payloads, set()
            for payload in news or {""}:
                yield payload


async def _next(
    entries: asyncio.Queue[LogEntry | None], reader: asyncio.Task[None]
) -> LogEntry | None:
    """Return the next entry; None if none comes for a while, or no more comes."""
    with suppress(asyncio.QueueEmpty):
        return entries.get_nowait()
    getting = asyncio.create_task(entries.get())
    try:
        await asyncio.wait(
            {getting, reader}, timeout=_BEAT_SECONDS, return_when=asyncio.FIRST_COMPLETED
        )
        return getting.result() if getting.done() else None
    finally:
        getting.cancel()
