"""Where one event of an input ends and the next begins, in flat memory; nothing is parsed.

Brackets are counted, not matched: a text of wrong brackets is refused when it is parsed.
"""

import json
import re
from collections.abc import Callable
from typing import Final, Protocol

from activityctl.domain.events.envelope import MAX_EVENT_BYTES

_CHUNK: Final = 256 * 1024
_SPACE: Final = re.compile(rb"[ \t\r\n]*+")
_BLANKS: Final = re.compile(rb"[ \t\r]*+")
# What stands between two brackets; a string is passed whole, or not at all when it goes on.
_FILLER: Final = re.compile(rb'(?:[^"\[\]{}]++|"(?:[^"\\]++|\\.)*+")*+', re.DOTALL)
_FILLER_OF_ITEM: Final = re.compile(rb'(?:[^"\[\]{},]++|"(?:[^"\\]++|\\.)*+")*+', re.DOTALL)
_STRING_REST: Final = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
_CONTINUATIONS: Final = bytes(range(0x80, 0xC0))
"""The bytes of UTF-8 that begin no character."""
_QUOTE, _OPEN, _COMMA, _CLOSE_ARRAY, _NEWLINE = ord('"'), b"[{", ord(","), ord("]"), b"\n"


class ReadBuffer:
    """The part of an input that is looked at, and the place where it begins."""

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self.text = b""
        self.start = 0
        """All of the text before has been passed."""
        self.line = 1
        self.column = 1
        self._read = read

    @property
    def rest(self) -> int:
        """How many bytes are at hand."""
        return len(self.text) - self.start

    def grow(self) -> bool:
        """Read on; False when the input is over."""
        chunk = self._read(_CHUNK)
        self.text = self.text[self.start :] + chunk
        self.start = 0
        return bool(chunk)

    def peek(self, length: int) -> bytes:
        """Return the next bytes at hand, and pass none."""
        return self.text[self.start : self.start + length]

    def take(self, length: int) -> bytes:
        """Pass bytes at hand, and return them."""
        passed = self.peek(length)
        self.start += len(passed)
        lines = passed.count(_NEWLINE)
        if lines:
            self.line += lines
            self.column = 1
        last_line = passed[passed.rfind(_NEWLINE) + 1 :] if lines else passed
        self.column += len(last_line.translate(None, _CONTINUATIONS))
        return passed

    def drop(self, mark: bytes) -> None:
        """Pass a mark that counts as no column, if it is what comes next."""
        if self.text.startswith(mark, self.start):
            self.start += len(mark)

    def skip_space(self) -> bool:
        """Pass white space; tell whether anything follows."""
        return self.skip_while(_SPACE)

    def skip_while(self, pattern: re.Pattern[bytes]) -> bool:
        """Pass all that fits a pattern of single bytes; tell whether anything follows."""
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
    """Finds where an event ends; `begin` makes it ready for the next one."""

    seen: int
    """How many bytes from the window's start need not be looked at again."""

    @property
    def has_ended(self) -> bool:
        """Whether the input may end here."""
        ...

    def begin(self) -> None:
        """Be ready for the event at the window's start."""
        ...

    def extent(self, window: ReadBuffer) -> int | None:
        """Return the event's length; None when it goes on after what is at hand."""
        ...


class LineFraming:
    """An event ends with its line."""

    has_ended = True

    def __init__(self) -> None:
        self.seen = 0

    def begin(self) -> None:
        """Be ready for the event at the window's start."""
        self.seen = 0

    def extent(self, window: ReadBuffer) -> int | None:
        """Return the line's length; None when it goes on after what is at hand."""
        end = window.text.find(_NEWLINE, window.start + self.seen)
        if end < 0:
            self.seen = window.rest
            return None
        return end - window.start


class BracketFraming:
    """An event ends where its brackets do; an item of an array, at the comma or `]` after it."""

    def __init__(self, *, is_item: bool) -> None:
        self.seen = 0
        self._is_item = is_item
        self._depth = 0
        self._is_in_string = False

    @property
    def has_ended(self) -> bool:
        """Whether the input may end here."""
        return not self._depth and not self._is_in_string

    def begin(self) -> None:
        """Be ready for the event at the window's start."""
        self.seen = 0
        self._depth = 0
        self._is_in_string = False

    def extent(self, window: ReadBuffer) -> int | None:
        """Return the event's length; None when it goes on after what is at hand."""
        text = window.text
        at = window.start + self.seen
        while True:
            is_bare_item = self._is_item and not self._depth
            filler = _FILLER_OF_ITEM if is_bare_item else _FILLER
            at = _end(_STRING_REST if self._is_in_string else filler, text, at)
            if at == len(text) or (self._is_in_string and text[at] != _QUOTE):
                self.seen = at - window.start  # before a backslash whose other half is not read
                return None
            if is_bare_item and not self._is_in_string and text[at] in (_COMMA, _CLOSE_ARRAY):
                return at - window.start
            self._pass(text[at])
            at += 1
            if self.has_ended and not self._is_item:
                return at - window.start

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


def is_sequence(window: ReadBuffer) -> bool:
    """Tell whether events follow one another by their brackets, rather than one a line.

    The first event decides: ended on its first line, with no other behind it, it is one of
    JSON lines. On many lines it is one of a sequence, unless it is no JSON and a line below it
    is an object by itself: then it is a broken line. Nothing is passed.
    """
    if window.peek(1) != b"{":
        return False
    nesting = BracketFraming(is_item=False)
    while (length := nesting.extent(window)) is None:
        if nesting.seen > MAX_EVENT_BYTES or not window.grow():
            break
    first = window.peek(window.rest if length is None else length)
    if _NEWLINE not in first:
        return length is not None and _has_object_behind(window, length)
    if length is not None and _is_object(first):
        return True
    while window.rest < MAX_EVENT_BYTES and window.grow():
        pass
    below = window.peek(MAX_EVENT_BYTES).split(_NEWLINE)[1:]
    return not any(line.startswith(b"{") and _is_object(line) for line in below)


def _has_object_behind(window: ReadBuffer, length: int) -> bool:
    """Tell whether another object begins on the line on which the first one ended."""
    while True:
        at = _end(_BLANKS, window.text, window.start + length)
        if at < len(window.text):
            return window.text.startswith(b"{", at)
        if window.rest > length + MAX_EVENT_BYTES or not window.grow():
            return False


def _is_object(text: bytes) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False
