"""Reads the items of a JSON array that are in memory: parsing each also finds its end.

`event_framing` finds the ends of all others, such as one that is not JSON, or the last.
"""

import codecs
import re
from collections.abc import Generator
from typing import Final

from activityctl.adapters.manifests.event_framing import ReadBuffer
from activityctl.adapters.manifests.plain_json import canonical_if_plain, plain_value
from activityctl.domain.events.envelope import MAX_EVENT_BYTES
from activityctl.domain.events.input import ParsedEvent, RawEvent

_SPACE: Final = re.compile(r"[ \t\r\n]*+")


def read_items(
    buffer: ReadBuffer, name: str, number: int
) -> Generator[RawEvent | ParsedEvent, None, int]:
    """Yield the items at the start of the buffer, and consume each with the comma after it.

    Stop before an item that is not JSON, or that is not in memory with its comma. `number` is that
    of the item before; return the number of the last one. An item is not parsed yet if
    `strict_json` has to look at it. Buffer and number are those of the items when all are taken.
    """
    text = _decoded(buffer.peek(buffer.rest))
    line, column, seen, after = buffer.line, buffer.column, 0, 0
    while True:
        start = _past_space(text, after)
        try:
            value, end = plain_value(text, start)
        except (ValueError, RecursionError):
            break
        comma = _past_space(text, end)
        item = text[start:end]
        encoded = item.encode()
        if not text.startswith(",", comma) or len(encoded) > MAX_EVENT_BYTES:
            break
        after = comma + 1
        if lines := text.count("\n", seen, start):
            line, column = line + lines, start - text.rfind("\n", seen, start)
        else:
            column += start - seen
        seen = start
        number += 1
        origin = RawEvent(name, number, line, column, encoded)
        canonical = canonical_if_plain(item, value)
        yield origin if canonical is None else ParsedEvent(origin, value, canonical)
    buffer.take(len(text[:after].encode()))
    return number


def _past_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _decoded(text: bytes) -> str:
    """Return the text without a last character that is not whole; empty if it is not UTF-8."""
    try:
        return codecs.utf_8_decode(text, "strict", False)[0]
    except UnicodeDecodeError:
        return ""
