"""Events of an input with their positions, and the refused ones; reading happens elsewhere.

What there is for each event is a named tuple: to make a data class takes three times as long.
"""

from typing import NamedTuple

from activityctl.domain.events.envelope import MAX_EVENT_BYTES
from activityctl.domain.values.ids import canonical_json
from activityctl.domain.values.model import JsonValue
from activityctl.errors import InvalidEventError, Problem
from activityctl.frozen_dataclass import frozen_dataclass


@frozen_dataclass
class InvalidEvent:
    """An event of an input that is refused."""

    number: int
    """The event's number in the input, from 1; valid events count too."""
    problem: Problem


class RawEvent(NamedTuple):
    """The text of one event of an input: not parsed, without surrounding white space."""

    file: str
    number: int
    """The event's number in the input, from 1; refused events count too."""
    line: int
    column: int
    """In characters, from 1."""
    text: bytes

    def refused(
        self, reason: str, path: str = "", *, line: int = 1, column: int = 1
    ) -> InvalidEvent:
        """Return this event as refused; line and column count from 1 within its text."""
        file_line = self.line + line - 1
        file_column = self.column + column - 1 if line == 1 else column
        problem = Problem(self.file, file_line, file_column, path, reason)
        return InvalidEvent(self.number, problem)

    def refused_for(self, error: InvalidEventError) -> InvalidEvent:
        """Return this event as refused: its text is JSON, but not a valid event."""
        return self.refused(error.reason, error.field)


class ParsedEvent(NamedTuple):
    """One event of an input with its JSON value; not yet checked to be a CloudEvent."""

    origin: RawEvent
    value: JsonValue
    canonical: str | None = None
    """The canonical text of the value, if it is known already."""


def made_event(value: dict[str, JsonValue], name: str = "") -> ParsedEvent | InvalidEvent:
    """Return an event that was not written as JSON, such as one of options or headers.

    It is an InvalidEvent if it is larger than an event of a file may be. `name` says where it
    comes from, in place of a file.
    """
    origin = RawEvent(name, 1, 0, 0, b"")
    text = canonical_json(value).encode("utf-8", "surrogatepass")
    if len(text) > MAX_EVENT_BYTES:
        return origin.refused(f"larger than {MAX_EVENT_BYTES:,} bytes", column=1)
    return ParsedEvent(origin, value)
