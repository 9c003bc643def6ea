"""LiveLog: writes what a command prints into the log of the run while it runs, within bounds."""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from activityctl.domain.values.untrusted import storable
from activityctl.ports import TaskCall

FIRST_SECONDS: Final = 2.0
"""A command that ends earlier writes no lines: its output is in the result of the task."""
EVERY_SECONDS: Final = 1.0
LINES_AT_ONCE: Final = 10
BYTES_AT_ONCE: Final = 4_096
MAX_LINES: Final = 1_000
"""How many lines an attempt may write; the others are counted."""
_LONGEST_LINE: Final = 2_000


class LiveLog:
    """The lines of one attempt. Call `finish` when it has ended."""

    def __init__(self, call: TaskCall, first_seconds: float = FIRST_SECONDS) -> None:
        self._call = call
        self._first_seconds = first_seconds
        self._waiting: list[tuple[str, str]] = []
        self._flushing: deque[tuple[str, str]] = deque()
        self._bytes = 0
        self._rest: dict[str, bytes] = {}
        self._written = 0
        self._left_out = 0
        self._has_begun = False
        # A secret of several lines can be masked only in the whole output.
        self._is_silent = any("\n" in form for form in call.mask.forms)
        self._writing = asyncio.ensure_future(self._write())

    def of(self, stream: str) -> Callable[[bytes], None]:
        """Return what takes the bytes of this stream as they come."""
        return lambda data: self._add(stream, data)

    async def finish(self) -> None:
        """Write the last lines, if the command ran long enough for lines to be written."""
        self._writing.cancel()
        with suppress(asyncio.CancelledError):
            await self._writing
        if self._has_begun and not self._is_silent:
            for stream, rest in self._rest.items():
                self._keep(stream, rest)
            await self._flush()

    def _add(self, stream: str, data: bytes) -> None:
        if self._is_silent:
            return
        *lines, rest = (self._rest.get(stream, b"") + data).split(b"\n")
        for line in lines:
            self._keep(stream, line)
        if len(rest) > _LONGEST_LINE:  # only counted from here on, until it ends
            self._keep(stream, rest)
            rest = b""
        self._rest[stream] = rest

    def _keep(self, stream: str, line: bytes) -> None:
        text = line.decode("utf-8", errors="replace").rstrip()
        if not text:
            return
        is_full = len(self._waiting) >= LINES_AT_ONCE or self._bytes + len(line) > BYTES_AT_ONCE
        if is_full or self._written + len(self._waiting) >= MAX_LINES:
            self._left_out += 1
            return
        self._waiting.append((stream, text))
        self._bytes += len(line)

    async def _write(self) -> None:
        await asyncio.sleep(self._first_seconds)
        self._has_begun = True
        while not self._is_silent:
            await self._flush()
            await asyncio.sleep(EVERY_SECONDS)

    async def _flush(self) -> None:
        """Write what waits. A line is taken out at once with its write: `finish` may cancel it."""
        self._flushing.extend(self._waiting)
        self._waiting, self._bytes = [], 0
        while self._flushing:
            stream, text = self._flushing.popleft()
            masked = self._call.mask.end(self._call.mask.beginning(text))
            message = f"task {self._call.name}: {storable(masked[:_LONGEST_LINE])}"
            self._written += 1
            await self._call.log("info", message, {"stream": stream})
        if self._left_out:
            left_out, self._left_out = self._left_out, 0
            message = f"task {self._call.name}: {left_out} more lines are not in the log"
            await self._call.log("info", message, {"leftOut": left_out})
