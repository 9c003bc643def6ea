"""Finds where one event of an input ends and the next begins, in constant memory.

Nothing is parsed. Brackets are counted, not matched: text with wrong brackets is refused later,
when it is parsed.
"""

import json
import re
from collections.abc import Callable
from typing import Final, Protocol

from activityctl.domain.events.envelope import MAX_EVENT_BYTES

_CHUNK: Final = 256 * 1024
_SPACE: Final = re.compile(rb"[ \t\r\n]*+")
_BLANKS: Final = re.compile(rb"[ \t\r]*+")
# Text without brackets. A complete string is matched as a whole, an incomplete one not at all.
_FILLER: Final = re.compile(rb'(?:[^"\[\]{}]++|"(?:[^"\\]++|\\.)*+")*+', re.DOTALL)
_FILLER_OF_ITEM: Final = re.compile(rb'(?:[^"\[\]{},]++|"(?:[^"\\]++|\\.)*+")*+', re.DOTALL)
_STRING_REST: Final = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
_CONTINUATIONS: Final = bytes(range(0x80, 0xC0))
"""The bytes of UTF-8 that continue a character: they do not count as columns."""
_QUOTE, _OPEN, _COMMA, _CLOSE_ARRAY, _NEWLINE = ord('"'), b"[{", ord(","), ord("]"), b"\n"


class ReadBuffer:
    """The part of an input that is in memory, with the line and column where it starts."""

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self.text = b""
        self.start = 0
        """Index of the first byte that is not consumed yet."""
        self.line = 1
        self.column = 1
        self.chunks = 0
        """How often the input was read."""
        self._read = read

    @property
    def rest(self) -> int:
        """How many bytes are in memory and not consumed yet."""
        return len(self.text) - self.start

    def grow(self) -> bool:
        """Read the next chunk; return False at the end of the input."""
        chunk = self._read(_CHUNK)
        self.chunks += 1
        self.text = self.text[self.start :] + chunk
        self.start = 0
        return bool(chunk)

    def peek(self, length: int) -> bytes:
        """Return the next bytes in memory without consuming them."""
        return self.text[self.start : self.start + length]

    def take(self, length: int) -> bytes:
        """Consume bytes that are in memory, and return them."""
        taken = self.peek(length)
        self.start += len(taken)
        lines = taken.count(_NEWLINE)
        if lines:
            self.line += lines
            self.column = 1
        last_line = taken[taken.rfind(_NEWLINE) + 1 :] if lines else taken
        self.column += len(last_line.translate(None, _CONTINUATIONS))
        return taken

    def take_line(self, blanks: bytes, limit: int) -> bytes | None:
        """Consume the end of a line and the whole next one, and return that without its end.

        Return None, and consume nothing, unless both are in memory, and the next line has at most
        `limit` bytes and none of the blanks at its start and end. This is for the many plain
        lines: `take` does more for each.
        """
        start = self.start + 1
        end = self.text.find(_NEWLINE, start)
        if self.text[self.start : start] != _NEWLINE or end <= start or end - start > limit:
            return None
        line = self.text[start:end]
        if line[0] in blanks or line[-1] in blanks:
            return None
        self.start = end
        self.line += 1
        self.column = 1 + len(line)
        return line

    def drop(self, mark: bytes) -> None:
        """Consume a mark, if it comes next, without counting it as a column."""
        if self.text.startswith(mark, self.start):
            self.start += len(mark)

    def skip_space(self) -> bool:
        """Consume white space; return whether anything follows."""
        return self.skip_while(_SPACE)

    def skip_while(self, pattern: re.Pattern[bytes]) -> bool:
        """Consume all that matches a pattern of single bytes; return whether anything follows."""
        while True:
            found = pattern.match(self.text, self.start)
            length = found.end() - self.start if found else 0
            if length:
                self.take(length)
            if self.rest:
                return True
            if not self.grow():
                return False


class Framing(Protocol):
    """Finds the end of an event. Call `begin` before each event."""

    scanned: int
    """How many bytes from the start of the buffer need not be scanned again."""

    @property
    def has_ended(self) -> bool:
        """Whether the text scanned so far can be a complete event."""
        ...

    def begin(self) -> None:
        """Prepare for the event at the start of the buffer."""
        ...

    def find_end(self, buffer: ReadBuffer) -> int | None:
        """Return the event's length; None when its end is not in memory yet."""
        ...


class LineFraming:
    """Framing of JSON lines: an event ends with its line."""

    has_ended = True

    def __init__(self) -> None:
        self.scanned = 0

    def begin(self) -> None:
        """Prepare for the event at the start of the buffer."""
        self.scanned = 0

    def find_end(self, buffer: ReadBuffer) -> int | None:
        """Return the line's length; None when its end is not in memory yet."""
        end = buffer.text.find(_NEWLINE, buffer.start + self.scanned)
        if end < 0:
            self.scanned = buffer.rest
            return None
        return end - buffer.start


class BracketFraming:
    """Framing by brackets.

    An event ends with its last bracket. An item of an array ends before the next `,` or `]`.
    """

    def __init__(self, *, is_item: bool) -> None:
        self.scanned = 0
        self._is_item = is_item
        self._depth = 0
        self._is_in_string = False

    @property
    def has_ended(self) -> bool:
        """Whether the text scanned so far can be a complete event."""
        return not self._depth and not self._is_in_string

    def begin(self) -> None:
        """Prepare for the event at the start of the buffer."""
        self.scanned = 0
        self._depth = 0
        self._is_in_string = False

    def find_end(self, buffer: ReadBuffer) -> int | None:
        """Return the event's length; None when its end is not in memory yet."""
        text = buffer.text
        at = buffer.start + self.scanned
        while True:
            is_bare_item = self._is_item and not self._depth
            filler = _FILLER_OF_ITEM if is_bare_item else _FILLER
            at = _end(_STRING_REST if self._is_in_string else filler, text, at)
            if at == len(text) or (self._is_in_string and text[at] != _QUOTE):
                self.scanned = at - buffer.start  # stops before a backslash at the end
                return None
            if is_bare_item and not self._is_in_string and text[at] in (_COMMA, _CLOSE_ARRAY):
                return at - buffer.start
            self._pass(text[at])
            at += 1
            if self.has_ended and not self._is_item:
                return at - buffer.start

    def _pass(self, byte: int) -> None:
        if byte == _QUOTE:
            self._is_in_string = not self._is_in_string
        elif byte in _OPEN:
            self._depth += 1
        elif self._depth:
            self._depth -= 1


def _end(pattern: re.Pattern[bytes], text: bytes, start: int) -> int:
    found = pattern.match(text, start)
    return found.end() if found else start


def is_sequence(buffer: ReadBuffer) -> bool:
    """Return whether events follow one another by their brackets, not one on each line.

    The first event decides. If it ends on its first line and no other object follows on that
    line, the input is JSON lines. If it takes several lines, the input is a sequence. Exception:
    if it is not valid JSON and a later line is an object by itself, it is one broken line of
    JSON lines. Nothing is consumed.
    """
    if buffer.peek(1) != b"{":
        return False
    brackets = BracketFraming(is_item=False)
    while (length := brackets.find_end(buffer)) is None:
        if brackets.scanned > MAX_EVENT_BYTES or not buffer.grow():
            break
    first = buffer.peek(buffer.rest if length is None else length)
    if _NEWLINE not in first:
        return length is not None and _is_followed_by_object(buffer, length)
    if length is not None and _is_object(first):
        return True
    while buffer.rest < MAX_EVENT_BYTES and buffer.grow():
        pass
    below = buffer.peek(MAX_EVENT_BYTES).split(_NEWLINE)[1:]
    return not any(line.startswith(b"{") and _is_object(line) for line in below)


def _is_followed_by_object(buffer: ReadBuffer, length: int) -> bool:
    """Return whether another object begins on the line where the first one ends."""
    while True:
        at = _end(_BLANKS, buffer.text, buffer.start + length)
        if at < len(buffer.text):
            return buffer.text.startswith(b"{", at)
        if buffer.rest > length + MAX_EVENT_BYTES or not buffer.grow():
            return False


def _is_object(text: bytes) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False
