"""Mailbox: the lines of a log that one stream has not sent yet."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from activityctl.api.log_streams.lines import Line

_MOST_LINES: Final = 500
_MOST_BYTES: Final = 128 * 1024
"""How much waits for a client that reads slowly. A single longer line has room too."""


class Mailbox:
    """Gets what the one reader of all streams deals out.

    When there is too much in it, it forgets all, and its stream has to look into the log itself.
    """

    def __init__(self) -> None:
        self.must_look = True
        """Whether the stream has to read pages of the log: not all came here."""
        self._lines: list[Line] = []
        self._bytes = 0
        self._news = asyncio.Event()
        self._error: BaseException | None = None

    def deal(self, lines: Sequence[Line], *, is_all: bool) -> None:
        """Put lines in; without `is_all`, the stream has to look for others."""
        self._lines += lines
        self._bytes += sum(line.size for line in lines)
        is_too_much = len(self._lines) > _MOST_LINES or self._bytes > _MOST_BYTES
        if not is_all or (is_too_much and len(self._lines) > 1):
            self.must_look = True
        if self.must_look:
            self._forget()
        self.wake()

    def wake(self, error: BaseException | None = None) -> None:
        """End the wait of `take`, with an error if there is one."""
        self._error = error or self._error
        self._news.set()

    def begin_to_look(self) -> None:
        """Forget what came until now: a page that is read from now on has it."""
        self.must_look = False
        self._forget()

    async def take(self, seconds: float) -> list[Line]:
        """Return what came, in the order of the log; wait up to so many seconds for it."""
        if not self._news.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._news.wait()
        self._news.clear()
        if self._error is not None:
            raise self._error
        lines = self._lines
        self._forget()
        return lines

    def _forget(self) -> None:
        self._lines, self._bytes = [], 0
