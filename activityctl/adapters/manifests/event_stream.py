"""Reads the events of a file or of standard input one at a time, in constant memory.

An input is a JSON array of events, JSON lines, or events one after the other, each on any number
of lines. Whether an event is a valid CloudEvent is not checked here.
"""

import re
from collections.abc import Iterator
from typing import BinaryIO, Final

from activityctl.adapters.manifests.event_framing import (
    BracketFraming,
    Framing,
    LineFraming,
    ReadBuffer,
    is_sequence,
)
from activityctl.adapters.manifests.event_items import read_items
from activityctl.adapters.manifests.plain_json import canonical_if_plain, plain_value
from activityctl.adapters.manifests.strict_json import InvalidJsonError, parse_json
from activityctl.domain.events.envelope import MAX_EVENT_BYTES
from activityctl.domain.events.input import InvalidEvent, ParsedEvent, RawEvent
from activityctl.errors import Problem

_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_LONGEST_MARK: Final = 4
_FOREIGN_MARKS: Final = (b"\xff\xfe", b"\xfe\xff", b"\0\0\xfe\xff")
_COMPRESSED: Final = (b"\x1f\x8b", b"PK\x03\x04", b"\x28\xb5\x2f\xfd")
_BLANKS: Final = b" \t\r\n"
_JUNK: Final = re.compile(rb"[^{\[\n]*+")


def read_events(stream: BinaryIO, name: str) -> Iterator[ParsedEvent | InvalidEvent]:
    """Yield each event of the input, in order: parsed strictly, or refused with the reason.

    Integers outside -2^63..2^64-1 become their decimal strings. After a refused event, reading
    goes on with the next one: in JSON lines always, otherwise as long as the brackets match.
    A truncated input gives its complete events, then one refusal. `name` is the file name in the
    problems. Raises only what the stream raises.
    """
    for item in _items(stream, name):
        yield _read(item) if isinstance(item, RawEvent) else item


def read_event(text: bytes, name: str) -> ParsedEvent | InvalidEvent:
    """Return the one event of a text, as `read_events` would yield it."""
    event = RawEvent(name, 1, 1, 1, text)
    if len(text) > MAX_EVENT_BYTES:
        return event.refused(f"larger than {MAX_EVENT_BYTES:,} bytes")
    return _read(event)


def _items(stream: BinaryIO, name: str) -> Iterator[RawEvent | ParsedEvent | InvalidEvent]:
    """Yield the text of each event, an event that finding its end has parsed, or a refusal."""
    buffer = ReadBuffer(getattr(stream, "read1", stream.read))
    while buffer.rest < _LONGEST_MARK and buffer.grow():
        pass
    if reason := _unsupported_reason(buffer.peek(_LONGEST_MARK)):
        yield InvalidEvent(1, Problem(name, 0, 0, "", reason))
        return
    buffer.drop(_BYTE_ORDER_MARK)
    if not buffer.skip_space():
        return
    splitter = _EventSplitter(buffer, name)
    if buffer.peek(1) == b"[":
        yield from splitter.items_of_array()
    elif is_sequence(buffer):
        yield from splitter.sequence()
    else:
        yield from splitter.lines()


def _read(event: RawEvent) -> ParsedEvent | InvalidEvent:
    return _read_plainly(event) or _read_strictly(event)


def _read_plainly(event: RawEvent) -> ParsedEvent | None:
    """Return the event if its text is plain JSON: this takes half as long."""
    try:
        text = event.text.decode()
        value, end = plain_value(text, 0)
    except (ValueError, RecursionError):
        return None
    canonical = canonical_if_plain(text, value) if end == len(text) else None
    return None if canonical is None else ParsedEvent(event, value, canonical)


def _read_strictly(event: RawEvent) -> ParsedEvent | InvalidEvent:
    try:
        return ParsedEvent(event, parse_json(event.text, wide_integers_as_text=True))
    except InvalidJsonError as error:
        return event.refused(error.reason, line=error.line, column=error.column)


def _unsupported_reason(start: bytes) -> str:
    """Return why an input that starts with these bytes is refused; empty when it is not."""
    if start.startswith(_COMPRESSED):
        return "the input is compressed; decompress it first"
    if start.startswith(_FOREIGN_MARKS) or b"\0" in start[:2]:
        return "the input is UTF-16 or UTF-32; convert it to UTF-8"
    return ""


class _EventSplitter:
    """Splits the input into events, by one of three framings."""

    def __init__(self, buffer: ReadBuffer, name: str) -> None:
        self._buffer = buffer
        self._name = name
        self._number = 0
        self._chunks = 0
        """How often the input had been read when items in memory were last looked for."""

    def lines(self) -> Iterator[RawEvent | InvalidEvent]:
        """Yield one event for each line; skip blank lines."""
        framing = LineFraming()
        buffer = self._buffer
        while buffer.skip_space():
            yield self._cut(framing)
            while line := buffer.take_line(_BLANKS, MAX_EVENT_BYTES):
                self._number += 1
                yield RawEvent(self._name, self._number, buffer.line, 1, line)

    def sequence(self) -> Iterator[RawEvent | InvalidEvent]:
        """Yield events that follow one another; each ends with its last bracket."""
        framing = BracketFraming(is_item=False)
        while self._buffer.skip_space():
            if self._buffer.peek(1) in (b"{", b"["):
                yield self._cut(framing)
            else:
                refused = self._refused("expected an event, which is a JSON object: {...}")
                self._buffer.skip_while(_JUNK)
                yield refused

    def items_of_array(self) -> Iterator[RawEvent | ParsedEvent | InvalidEvent]:
        """Yield the items of the one array that the input is."""
        framing = BracketFraming(is_item=True)
        self._buffer.take(1)
        separator = b","
        if self._buffer.skip_space() and self._buffer.peek(1) == b"]":
            separator = self._buffer.take(1)
        while separator == b"," and self._buffer.skip_space():
            yield from self._items_in_memory()
            if not self._buffer.skip_space():
                break
            yield self._cut(framing)
            if not framing.has_ended:
                return
            separator = self._buffer.take(1)
        if separator != b"]":
            yield self._refused("the array is not closed; the input ends before its ]")
        elif self._buffer.skip_space():
            yield self._refused("unexpected text after the end of the array")

    def _items_in_memory(self) -> Iterator[RawEvent | ParsedEvent]:
        """Yield the next items that are in memory, once for each part of the input.

        So the time does not grow with the square of the length, whatever the items are.
        """
        if self._chunks < self._buffer.chunks:
            self._chunks = self._buffer.chunks
            self._number = yield from read_items(self._buffer, self._name, self._number)

    def _cut(self, framing: Framing) -> RawEvent | InvalidEvent:
        buffer = self._buffer
        position = self._next_position()
        framing.begin()
        is_large = False
        while (length := framing.find_end(buffer)) is None:
            is_large = is_large or self._is_too_large(framing.scanned)
            if is_large:
                buffer.take(framing.scanned)
                framing.scanned = 0
            if not buffer.grow():
                length = buffer.rest
                break
        is_large = is_large or self._is_too_large(length)
        text = buffer.take(length).rstrip(_BLANKS)
        if is_large:
            return position.refused(f"larger than {MAX_EVENT_BYTES:,} bytes")
        if not framing.has_ended:
            return position.refused("this event is incomplete; the input ends before its end")
        if not text:
            return position.refused("expected an event before this comma or bracket")
        return RawEvent(position.file, position.number, position.line, position.column, text)

    def _is_too_large(self, length: int) -> bool:
        return length > MAX_EVENT_BYTES and (
            length > 2 * MAX_EVENT_BYTES  # endless blanks would fill the memory too
            or len(self._buffer.peek(length).rstrip(_BLANKS)) > MAX_EVENT_BYTES
        )

    def _next_position(self) -> RawEvent:
        """Return where the next event starts, as an event without text."""
        self._number += 1
        return RawEvent(self._name, self._number, self._buffer.line, self._buffer.column, b"")

    def _refused(self, reason: str) -> InvalidEvent:
        return self._next_position().refused(reason)
