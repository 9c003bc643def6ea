"""Reads the events of a request: the content modes of the HTTP binding of CloudEvents."""

import base64
import re
from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import unquote

from starlette.datastructures import Headers

from activityctl import wiring
from activityctl.api.bodies import LARGEST_BATCH, LARGEST_BODY, require_uncompressed
from activityctl.api.refusals import UnsupportedMediaTypeError
from activityctl.domain.events.input import InvalidEvent, ParsedEvent, made_event
from activityctl.domain.values.model import JsonValue
from activityctl.errors import InvalidEventError, InvalidInputError

Input = Iterator[ParsedEvent | InvalidEvent]
NAME: Final = "body"
"""What the positions of problems name in place of a file."""
BATCH: Final = "application/cloudevents-batch+json"
_CLOUDEVENTS: Final = "application/cloudevents"
STRUCTURED: Final = "application/cloudevents+json"
LINES: Final = ("application/x-ndjson", "application/jsonl", "application/x-jsonlines")
_JSON: Final = "application/json"
_JSON_ENDINGS: Final = ("/json", "+json")
_PREFIX: Final = "ce-"
_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\.)*)"')
_ESCAPED: Final = re.compile(r"\\(.)")
_OF_BODY: Final = ("data", "data_base64", "datacontenttype")
_HINT: Final = f"send {STRUCTURED}, {BATCH} or {LINES[0]}, or the headers ce-id, ce-source and more"


class EventInput:
    """Which of the content modes a request has."""

    def __init__(self, headers: Headers) -> None:
        """Raises UnsupportedMediaTypeError if it is none."""
        self._headers = headers
        self._type = headers.get("content-type", "").partition(";")[0].strip().lower()
        has_attributes = "ce-specversion" in headers or "ce-id" in headers
        # In the other modes the body has the attributes, and headers may repeat them (3.2.3).
        self._is_binary = has_attributes and not self._type.startswith(_CLOUDEVENTS)
        self.is_batch = not self._is_binary and self._type in {BATCH, *LINES}
        """Whether there may be several events, of which each has its own outcome."""
        is_known = self._is_binary or self.is_batch or self._type in {STRUCTURED, _JSON}
        if not is_known:
            raise UnsupportedMediaTypeError(
                f"events are not sent as {self._type or 'a body without Content-Type'}", hint=_HINT
            )
        require_uncompressed(headers)

    @property
    def limit(self) -> int:
        """The largest body, in bytes."""
        return LARGEST_BATCH if self.is_batch else LARGEST_BODY

    def events(self, body: bytes) -> Input:
        """Return the events of the body; InvalidInputError if a batch is no JSON array."""
        if self._is_binary:
            return iter([_binary_event(self._headers, self._type, body)])
        if not self.is_batch:
            return iter([wiring.parse_event(body, NAME)])
        if self._type == BATCH and body.lstrip()[:1] != b"[":
            raise InvalidInputError(
                f"{BATCH} is a JSON array of events", hint=f"send JSON lines as {LINES[0]}"
            )
        return wiring.parse_events(body, NAME)


def _binary_event(headers: Headers, media_type: str, body: bytes) -> ParsedEvent | InvalidEvent:
    """Return the event whose attributes are headers; errors are about the whole event."""
    value = _attributes(headers)
    if body:
        if (content_type := headers.get("content-type")) is not None:
            value["datacontenttype"] = content_type
        value |= _data(media_type, body)
    return made_event(value, NAME)


def _attributes(headers: Headers) -> dict[str, JsonValue]:
    """Return the attributes; their values are percent-encoded UTF-8 (HTTP binding, 3.1.3.2).

    A value may also stand in double quotes (RFC 9110, 5.6.4), which are not part of it.
    """
    value: dict[str, JsonValue] = {}
    for header, text in headers.items():
        if not header.startswith(_PREFIX):
            continue
        name = header.removeprefix(_PREFIX)
        if name in value:
            raise InvalidEventError(name, f"the header {header} is given twice")
        if name in _OF_BODY:
            raise InvalidEventError(name, f"the header {header} is not allowed; send it as body")
        try:
            value[name] = unquote(_unquoted(text), errors="strict")
        except UnicodeDecodeError:
            raise InvalidEventError(name, f"the header {header} is not UTF-8") from None
    return value


def _unquoted(text: str) -> str:
    """Return the text of a quoted string; any other text as it is."""
    found = _QUOTED.fullmatch(text)
    return text if found is None else _ESCAPED.sub(r"\1", found[1])


def _data(media_type: str, body: bytes) -> Mapping[str, JsonValue]:
    """Return the data: JSON as its value, text as a string, anything else as base64."""
    if media_type.endswith(_JSON_ENDINGS):
        return {"data": wiring.parse_event_data(body, NAME)}
    if media_type.startswith("text/"):
        try:
            return {"data": body.decode()}
        except UnicodeDecodeError:
            pass
    return {"data_base64": base64.b64encode(body).decode()}
