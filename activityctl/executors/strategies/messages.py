"""MessageReader: reads the messages of a strategy's process as they come, within bounds."""

import asyncio
import json
from collections.abc import Callable
from typing import Any, Final

from activityctl.executors.capture import Capture

MAX_MESSAGE_BYTES: Final = 4 << 20
MAX_LOGGED: Final = 1_000
"""How many entries an attempt may write into the log; the others are counted."""


class MessageReader(Capture):
    """Keeps the answer; passes on heartbeats at once, and log entries through a queue."""

    def __init__(self, heartbeat: Callable[[], None]) -> None:
        super().__init__(0)
        self.answer: dict[str, Any] | None = None
        self.is_too_long = False
        self.left_out = 0
        self.entries: asyncio.Queue[tuple[str, str, dict[str, Any]] | None] = asyncio.Queue()
        self._heartbeat = heartbeat
        self._logged = 0
        self._line = bytearray()

    def add(self, data: bytes) -> None:
        """Read the next bytes."""
        self.total += len(data)
        *lines, rest = data.split(b"\n")
        for line in lines:
            self._line += line
            self._read(bytes(self._line))
            self._line.clear()
        self._line += rest
        if len(self._line) > MAX_MESSAGE_BYTES:
            self.is_too_long = True
            self._line.clear()

    def _read(self, line: bytes) -> None:
        try:
            message = json.loads(line)
        except ValueError:
            return  # the rest of a message that was too long
        match message:
            case {"log": [str() as level, str() as text, dict() as facts]}:
                self._log(level, text, facts)
            case {"heartbeat": _}:
                self._heartbeat()
            case {"answer": dict() as answer}:
                self.answer = answer

    def _log(self, level: str, text: str, facts: dict[str, Any]) -> None:
        self._logged += 1
        if self._logged > MAX_LOGGED:
            self.left_out += 1
        else:
            self.entries.put_nowait((level, text, facts))
