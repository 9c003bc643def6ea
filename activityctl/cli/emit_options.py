"""The event that `emit` makes of its options, and how it fills in what a sender left out."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from activityctl import wiring
from activityctl.cli.session import now
from activityctl.domain.events.envelope import MAX_EVENT_BYTES, SPEC_VERSION, fill
from activityctl.domain.events.input import InvalidEvent, ParsedEvent, RawEvent
from activityctl.domain.values.ids import canonical_json
from activityctl.domain.values.model import JsonValue
from activityctl.errors import UsageError

_ORIGIN: Final = RawEvent("", 1, 0, 0, b"")
"""An event of options stands in no file."""


@dataclass(frozen=True, slots=True)
class EventOptions:
    """What the options say of an event; None is left out."""

    attributes: Mapping[str, str | None]
    """type, source, subject, id and time."""
    data: str | None
    """JSON, @FILE or - for standard input."""
    extensions: Sequence[str]
    """name=value."""

    @property
    def is_given(self) -> bool:
        """Whether any of the options is there."""
        named = any(value is not None for value in self.attributes.values())
        return named or self.data is not None or bool(self.extensions)

    def event(self) -> ParsedEvent | InvalidEvent:
        """Return the event; UsageError or InvalidInputError when it cannot be made."""
        value: dict[str, JsonValue] = {"specversion": SPEC_VERSION}
        value |= {name: text for name, text in self.attributes.items() if text is not None}
        for name, text in map(_extension, self.extensions):
            if name in value:
                raise UsageError(f"{name} is given twice", hint=f"use --{name}, or it once")
            value[name] = text
        if self.data is not None:
            value["data"] = _data(self.data)
        return _sized(value)


def _extension(pair: str) -> tuple[str, str]:
    name, equals, text = pair.partition("=")
    if not equals or not name:
        raise UsageError(f"not an extension: {pair!r}", hint="write --extension tenant=eu")
    return name, text


def _data(option: str) -> JsonValue:
    """Return the data that the option names, read strictly."""
    if option == "-" or option.startswith("@"):
        path = option.removeprefix("@")
        name = "<stdin>" if path == "-" else path
        return wiring.parse_event_data(wiring.read_event_data(path), name)
    return wiring.parse_event_data(option, "--data")


def _sized(value: dict[str, JsonValue]) -> ParsedEvent | InvalidEvent:
    """Return the event, refused when its text is too long to be sent in any other way."""
    text = canonical_json(value).encode("utf-8", "surrogatepass")
    if len(text) > MAX_EVENT_BYTES:
        return _ORIGIN.refused(f"larger than {MAX_EVENT_BYTES:,} bytes", column=1)
    return ParsedEvent(_ORIGIN, value)


DEFAULT_SOURCE: Final = "/activityctl/emit"
"""The source of an event made of options that name none."""


def fill_in(value: JsonValue) -> tuple[JsonValue, tuple[str, ...]]:
    """Put in the specversion, id and time that a sender left out."""
    return fill(value, now(), lambda: str(uuid.uuid4()))


def fill_in_by_hand(value: JsonValue) -> tuple[JsonValue, tuple[str, ...]]:
    """Put in the source, too."""
    return fill(value, now(), lambda: str(uuid.uuid4()), DEFAULT_SOURCE)


def fill_nothing(value: JsonValue) -> tuple[JsonValue, tuple[str, ...]]:
    """Leave it as it is."""
    return value, ()
