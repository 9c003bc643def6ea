"""Events of an input with their places, and those of them that are refused; no reading here."""

from dataclasses import dataclass

from activityctl.domain.values.model import JsonValue
from activityctl.errors import InvalidEventError, Problem


@dataclass(frozen=True, slots=True)
class InvalidEvent:
    """An event of an input that is not taken; the number counts all events from 1."""

    number: int
    problem: Problem


@dataclass(frozen=True, slots=True)
class RawEvent:
    """One event as it stands in an input: not yet parsed, white space around it removed."""

    file: str
    number: int
    """Counts from 1, refused events too."""
    line: int
    column: int
    """In characters, from 1."""
    text: bytes

    def refused(
        self, reason: str, path: str = "", *, line: int = 1, column: int = 1
    ) -> InvalidEvent:
        """Return the refusal; line and column count from 1 within this text."""
        in_file = self.line + line - 1
        across = self.column + column - 1 if line == 1 else column
        return InvalidEvent(self.number, Problem(self.file, in_file, across, path, reason))

    def refused_for(self, error: InvalidEventError) -> InvalidEvent:
        """Return the refusal of a text that is JSON and no event."""
        return self.refused(error.reason, error.field)


@dataclass(frozen=True, slots=True)
class ParsedEvent:
    """One event of an input with its JSON value; whether it is a CloudEvent is still open."""

    origin: RawEvent
    value: JsonValue
