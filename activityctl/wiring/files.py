"""Reads what people write: manifests, events and JSON, from files and options."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from io import BytesIO
from typing import TYPE_CHECKING, Final

from activityctl.domain.events.envelope import MAX_EVENT_BYTES
from activityctl.domain.events.input import InvalidEvent, ParsedEvent
from activityctl.domain.values.model import JsonValue
from activityctl.ports import ManifestSource

if TYPE_CHECKING:
    from activityctl.adapters.manifests.event_source import EventSource
    from activityctl.adapters.manifests.manifests import YamlManifests

_MAX_REQUEST_BYTES: Final = MAX_EVENT_BYTES + 64 * 1024
"""A body and its headers."""


def manifest_source() -> "YamlManifests":
    """Return the reader of YAML files; it keeps what it has read."""
    from activityctl.adapters.manifests.manifests import YamlManifests

    return YamlManifests()


def to_yaml(value: object) -> str:
    """Return YAML in the given order, which our strict loader reads as it was."""
    from activityctl.adapters.manifests.yaml_text import to_yaml as write

    return write(value)


def sent_manifests(
    files: Sequence[tuple[str, bytes]],
    icals: Mapping[str, bytes],
    unread: Mapping[tuple[str, str], str],
) -> ManifestSource:
    """Return the reader of manifests that a client has sent; it reads nothing of the disk."""
    from activityctl.adapters.manifests.sent_files import SentManifests

    return SentManifests(files, icals, unread)


def parse_json(
    text: bytes | str, name: str, *, example: str, max_bytes: int | None = None
) -> JsonValue:
    """Return the value of strict JSON; errors start with the name, such as that of an option."""
    from activityctl.adapters.manifests.strict_json import MAX_BYTES, parse_named

    return parse_named(text, name, example=example, max_bytes=max_bytes or MAX_BYTES)


def open_events(path: str) -> "AbstractContextManager[EventSource]":
    """Open a file of events, or standard input for `-`."""
    from activityctl.adapters.manifests.event_source import open_source

    return open_source(path)


def parse_events(text: bytes, name: str) -> Iterator[ParsedEvent | InvalidEvent]:
    """Yield the events of a text: a JSON array, or JSON lines; `name` is that of the text."""
    from activityctl.adapters.manifests.event_stream import read_events

    return read_events(BytesIO(text), name)


def parse_event(text: bytes, name: str) -> ParsedEvent | InvalidEvent:
    """Return the one event of a text; `name` is that of the text."""
    from activityctl.adapters.manifests.event_stream import read_event

    return read_event(text, name)


def read_event_data(path: str) -> bytes:
    """Return the content of a file, or of standard input for `-`, up to the size of an event."""
    from activityctl.adapters.manifests.event_source import read_text

    return read_text(path, MAX_EVENT_BYTES)


def read_saved_request(path: str) -> bytes:
    """Return the content of a file with an HTTP request, or of standard input for `-`."""
    from activityctl.adapters.manifests.event_source import read_text

    return read_text(path, _MAX_REQUEST_BYTES)


def parse_hook_body(content: bytes) -> JsonValue:
    """Return the value of the strict JSON of a web hook's body, which an event can have."""
    from activityctl.adapters.manifests.strict_json import MAX_DEPTH, parse_json

    return parse_json(
        content,
        max_bytes=MAX_EVENT_BYTES,
        max_depth=MAX_DEPTH - 1,
        wide_integers_as_text=True,
    )


def parse_event_data(text: bytes | str, name: str) -> JsonValue:
    """Return the value of strict JSON for the `data` of an event; errors start with the name."""
    from activityctl.adapters.manifests.strict_json import MAX_DEPTH, parse_named

    return parse_named(
        text,
        name,
        example="""write a string with quotes: '"text"'""",
        max_bytes=MAX_EVENT_BYTES,
        max_depth=MAX_DEPTH - 1,
        wide_integers_as_text=True,
    )
