"""The events of a file or of standard input, one at a time; what an event is stands elsewhere.

An input is an array of events, JSON lines, or events one after the other, each on as many lines
as it likes. Memory stays flat whatever the length of the input.
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
    """Yield each event of the input in its order, parsed strictly, or why it is refused.

    Integers outside -2^63..2^64-1 become their decimal strings (DESIGN section 2). After a
    refused event the next one follows: in JSON lines always, elsewhere while brackets balance.
    An input that is cut off gives its complete events, then one refusal. `name` stands in the
    problems. Raises nothing but what the stream raises.
    """
    for item in split_events(stream, name):
        yield item if isinstance(item, InvalidEvent) else _read(item)


def split_events(stream: BinaryIO, name: str) -> Iterator[RawEvent | InvalidEvent]:
    """Yield the text of each event, unparsed; what can be refused without parsing is."""
    window = ReadBuffer(getattr(stream, "read1", stream.read))
    while window.rest < _LONGEST_MARK and window.grow():
        pass
    if reason := _unsupported_reason(window.peek(_LONGEST_MARK)):
        yield InvalidEvent(1, Problem(name, 0, 0, "", reason))
        return
    window.drop(_BYTE_ORDER_MARK)
    if not window.skip_space():
        return
    cutter = _EventSplitter(window, name)
    if window.peek(1) == b"[":
        yield from cutter.items_of_array()
    elif is_sequence(window):
        yield from cutter.sequence()
    else:
        yield from cutter.lines()


def _read(event: RawEvent) -> ParsedEvent | InvalidEvent:
    try:
        return ParsedEvent(event, parse_json(event.text, wide_integers_as_text=True))
    except InvalidJsonError as error:
        return event.refused(error.reason, line=error.line, column=error.column)


def _unsupported_reason(start: bytes) -> str:
    """Return why an input that starts so is none of ours; empty when it may be."""
    if start.startswith(_COMPRESSED):
        return "the input is compressed; decompress it first"
    if start.startswith(_FOREIGN_MARKS) or b"\0" in start[:2]:
        return "the input is UTF-16 or UTF-32; events are read as UTF-8"
    return ""


class _EventSplitter:
    """Cuts the events out of a window, by one of three framings."""

    def __init__(self, window: ReadBuffer, name: str) -> None:
        self._window = window
        self._name = name
        self._number = 0

    def lines(self) -> Iterator[RawEvent | InvalidEvent]:
        """One event a line; blank lines do not count."""
        framing = LineFraming()
        while self._window.skip_space():
            yield self._cut(framing)

    def sequence(self) -> Iterator[RawEvent | InvalidEvent]:
        """Events one after the other, each ending where its brackets do."""
        framing = BracketFraming(is_item=False)
        while self._window.skip_space():
            if self._window.peek(1) in (b"{", b"["):
                yield self._cut(framing)
            else:
                refused = self._refused("not the start of an event, which is a JSON object")
                self._window.skip_while(_JUNK)
                yield refused

    def items_of_array(self) -> Iterator[RawEvent | InvalidEvent]:
        """The items of one array, which is all that the input holds."""
        framing = BracketFraming(is_item=True)
        self._window.take(1)
        separator = b","
        if self._window.skip_space() and self._window.peek(1) == b"]":
            separator = self._window.take(1)
        while separator == b"," and self._window.skip_space():
            yield self._cut(framing)
            if not framing.has_ended:
                return
            separator = self._window.take(1)
        if separator != b"]":
            yield self._refused("the input ends before the array does")
        elif self._window.skip_space():
            yield self._refused("text after the end of the array")

    def _cut(self, framing: Framing) -> RawEvent | InvalidEvent:
        window = self._window
        place = self._place()
        framing.begin()
        is_large = False
        while (length := framing.extent(window)) is None:
            is_large = is_large or self._is_too_large(framing.seen)
            if is_large:
                window.take(framing.seen)
                framing.seen = 0
            if not window.grow():
                length = window.rest
                break
        is_large = is_large or self._is_too_large(length)
        text = window.take(length).rstrip(_BLANKS)
        if is_large:
            return place.refused(f"larger than {MAX_EVENT_BYTES:,} bytes")
        if not framing.has_ended:
            return place.refused("the input ends within this event")
        if not text:
            return place.refused("an event is missing here")
        return RawEvent(place.file, place.number, place.line, place.column, text)

    def _is_too_large(self, length: int) -> bool:
        return length > MAX_EVENT_BYTES and (
            length > 2 * MAX_EVENT_BYTES  # blanks without end would fill the memory as well
            or len(self._window.peek(length).rstrip(_BLANKS)) > MAX_EVENT_BYTES
        )

    def _place(self) -> RawEvent:
        self._number += 1
        return RawEvent(self._name, self._number, self._window.line, self._window.column, b"")

    def _refused(self, reason: str) -> InvalidEvent:
        return self._place().refused(reason)
