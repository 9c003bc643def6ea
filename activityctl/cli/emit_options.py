"""Make the event of the options of `emit`, and add the fields that a sender left out."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Final

from activityctl import wiring
from activityctl.cli.session import now
from activityctl.domain.events.envelope import SPEC_VERSION, fill
from activityctl.domain.events.input import InvalidEvent, ParsedEvent, made_event
from activityctl.domain.values.model import JsonValue
from activityctl.errors import UsageError
from activityctl.frozen_dataclass import frozen_dataclass


@frozen_dataclass
class EventOptions:
    """The options that make an event; None if an option is not given."""

    attributes: Mapping[str, str | None]
    """type, source, subject, id and time."""
    data: str | None
    """JSON, @FILE, or - for standard input."""
    extensions: Sequence[str]
    """Texts of the form name=value."""

    @property
    def is_given(self) -> bool:
        """Whether any of the options is given."""
        has_attribute = any(value is not None for value in self.attributes.values())
        return has_attribute or self.data is not None or bool(self.extensions)

    def event(self) -> ParsedEvent | InvalidEvent:
        """Return the event; UsageError or InvalidInputError if the options make none."""
        value: dict[str, JsonValue] = {"specversion": SPEC_VERSION}
        value |= {name: text for name, text in self.attributes.items() if text is not None}
        for name, text in map(_extension, self.extensions):
            if name in value:
                raise UsageError(
                    f"{name} is given twice", hint=f"give it once, as --{name} if there is one"
                )
            value[name] = text
        if self.data is not None:
            value["data"] = _data(self.data)
        return made_event(value)


def _extension(pair: str) -> tuple[str, str]:
    name, equals, text = pair.partition("=")
    if not equals or not name:
        raise UsageError(f"not an extension: {pair!r}", hint="write --extension tenant=eu")
    return name, text


def _data(option: str) -> JsonValue:
    """Return the data of the option, its file or standard input; parsed strictly."""
    if option == "-" or option.startswith("@"):
        path = option.removeprefix("@")
        name = "<stdin>" if path == "-" else path
        return wiring.parse_event_data(wiring.read_event_data(path), name)
    return wiring.parse_event_data(option, "--data")


DEFAULT_SOURCE: Final = "/activityctl/emit"
"""The source of an event whose options give none."""


def fill_in(value: JsonValue) -> tuple[JsonValue, tuple[str, ...]]:
    """Return the event with specversion, id and time, and the names of the fields added."""
    return fill(value, now(), lambda: str(uuid.uuid4()))


def fill_in_with_source(value: JsonValue) -> tuple[JsonValue, tuple[str, ...]]:
    """Do as `fill_in`, and add the source."""
    return fill(value, now(), lambda: str(uuid.uuid4()), DEFAULT_SOURCE)
