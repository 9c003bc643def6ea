"""EventEnvelope: one event in the form of CloudEvents 1.0; parsing JSON text happens elsewhere."""

import binascii
import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from activityctl.domain.values import ids
from activityctl.domain.values.model import JsonValue
from activityctl.errors import InvalidEventError

MAX_EVENT_BYTES: Final = 1024 * 1024
"""Maximum size of the JSON text of one event."""
MAX_ATTRIBUTE_BYTES: Final = 1024
"""Maximum size of `id`, `source` and `type`, which are stored in database indexes."""
SPEC_VERSION: Final = "1.0"

_REQUIRED: Final = ("id", "source", "type")
_TEXTS: Final = ("subject", "datacontenttype", "dataschema", "time")
_PLAIN: Final = frozenset((*_REQUIRED, "subject", "dataschema"))
"""Attributes of which each short text of printable ASCII characters is allowed."""
_CHECKED: Final = frozenset({"data", "specversion"})
"""Attributes that need no check among the others."""
_FILLED: Final = ("specversion", "id", "time")
_DATA: Final = ("data", "data_base64")
KNOWN_ATTRIBUTES: Final = frozenset((*_REQUIRED, *_TEXTS, *_DATA, "specversion"))
"""The attributes that CloudEvents 1.0 defines; all others are extensions."""

CHAIN_FEED: Final = "chainfeed"
"""An extension of the events that activityctl itself makes of the logs of chains."""

_EXTENSION: Final = re.compile(r"[a-z0-9]+")
# Characters that the type system of CloudEvents 1.0 does not allow in a String.
_FORBIDDEN: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef"
    + "".join(
        f"{chr(plane + 0xFFFE)}{chr(plane + 0xFFFF)}" for plane in range(0, 0x110000, 0x10000)
    )
    + "]"
)
_MEDIA_TYPE: Final = re.compile(r"[\w!#$&^.+*'`|~%-]+/[\w!#$&^.+*'`|~%-]+\s*(?:;.*)?", re.ASCII)
_TIME: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:)(\d\d)(\.\d+)?([Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)",
    re.ASCII,
)
_LEAP_SECOND: Final = "60"
_STORED: Final = "_stored"
_CANONICAL: Final = "_canonical"


@dataclass(frozen=True)
class EventEnvelope:
    """One valid event; only `envelope_of` creates it."""

    document: Mapping[str, JsonValue]
    """The structured JSON form: what the sender wrote, without null attributes."""
    time: datetime | None
    """When it happened, in UTC, cut to microseconds; the document keeps the sender's text."""
    filled: tuple[str, ...] = ()
    """Names of the attributes that the sender left out and `fill` added."""

    @property
    def id(self) -> str:
        """The sender's id, unique within the source."""
        return self._text("id")

    @property
    def source(self) -> str:
        """The system in which it happened."""
        return self._text("source")

    @property
    def type(self) -> str:
        """The kind of event."""
        return self._text("type")

    @property
    def subject(self) -> str | None:
        """The thing within the source that the event is about."""
        subject: str | None = self.document.get("subject")
        return subject

    @property
    def data(self) -> JsonValue:
        """The payload; None if there is none, or if it is bytes (`data_base64`)."""
        return self.document.get("data")

    @property
    def extensions(self) -> dict[str, str | bool | int]:
        """The attributes that CloudEvents does not define."""
        return {
            name: value for name, value in self.document.items() if name not in KNOWN_ATTRIBUTES
        }

    @property
    def key(self) -> str:
        """Source and id joined by U+001F, which no attribute may contain, so it is unique."""
        return f"{self.source}\x1f{self.id}"

    @property
    def event_id(self) -> ids.EventId:
        """Our id of the event, computed from source and id."""
        return self.stored[0]

    @property
    def digest(self) -> str:
        """The SHA-256 of the event's content, in hex.

        Two events with the same `key` have the same digest only if their content is the same.
        The order of JSON keys and white space do not count. A `time` that `fill` added does not
        count either, because it differs each time the same event is emitted. Everything else
        that `fill` adds is part of the key or always the same.
        """
        left_out = {"time"}.intersection(self.filled)
        return ids.content_hash(
            {name: item for name, item in self.document.items() if name not in left_out}
        )

    @property
    def serialised(self) -> tuple[str, str]:
        """The document's canonical JSON and the digest; cheaper than computing each."""
        return self.stored[1:]

    @property
    def stored(self) -> tuple[ids.EventId, str, str]:
        """Our id, the document's canonical JSON and the digest; computed at the first use."""
        kept: tuple[ids.EventId, str, str] | None = self.__dict__.get(_STORED)
        if kept is None:  # `cached_property` takes a lock for each event
            kept = self.__dict__[_STORED] = self._to_store()
        return kept

    def _to_store(self) -> tuple[ids.EventId, str, str]:
        document = self.document
        uid = ids.event_id(document["source"], document["id"])
        text: str = self.__dict__.get(_CANONICAL) or ids.canonical_json(document)
        if "time" in self.filled:
            return uid, text, self.digest
        return uid, text, hashlib.sha256(text.encode()).hexdigest()

    def _text(self, name: str) -> str:
        text: str = self.document[name]
        return text


def envelope_of(
    value: JsonValue, filled: Iterable[str] = (), canonical: str | None = None
) -> EventEnvelope:
    """Return the event for a JSON value, of which the canonical text may be known already.

    Nothing is added here: call `fill` before, and pass the names that it added as `filled`.
    The JSON parser has already refused text that Postgres cannot store. Attributes are checked
    again here, because people also type them as options. A null attribute counts as absent
    (CloudEvents JSON format, section 3.1). Null `data` is kept unless there is `data_base64`.
    Raises InvalidEventError, which names the wrong field.
    """
    if not isinstance(value, dict):
        raise InvalidEventError("", f"an event is a JSON object, not {_json_type(value)}")
    document = dict(value)
    if None in document.values():
        document = {
            name: item for name, item in value.items() if item is not None or name == "data"
        }
        canonical = None
    if document.get("specversion") != SPEC_VERSION:
        _check_version(document)
    for name in _REQUIRED:
        if name not in document:
            raise InvalidEventError(name, "is missing")
    envelope = EventEnvelope(document, _checked_time(document), tuple(filled))
    envelope.__dict__[_CANONICAL] = canonical
    return envelope


def _check_version(document: Mapping[str, JsonValue]) -> None:
    if "specversion" not in document:
        raise InvalidEventError("specversion", f'is missing; write "{SPEC_VERSION}"')
    check_attribute("specversion", document["specversion"])


def _checked_time(document: dict[str, JsonValue]) -> datetime | None:
    """Check all attributes and the data; return the time, if there is one."""
    time = None
    for name, item in document.items():
        if name in _PLAIN and _is_plain(item):
            continue
        if name == "time":
            _check_text(name, item)
            time = _parse_time(item)
        elif name not in _CHECKED:
            check_attribute(name, item)
    _check_data(document)
    return time


def fill(
    value: JsonValue, now: datetime, make_id: Callable[[], str], source: str | None = None
) -> tuple[JsonValue, tuple[str, ...]]:
    """Add the attributes that a person may leave out; return the event and the added names.

    These are specversion, id, time and, if the caller gives one, the source. A null attribute
    counts as left out. A value that is no JSON object is returned as it is; `envelope_of`
    refuses it.
    """
    if not isinstance(value, dict):
        return value, ()
    wanted = _FILLED if source is None else (*_FILLED, "source")
    if None not in map(value.get, wanted):
        return value, ()
    defaults: dict[str, Callable[[], str]] = {
        "specversion": lambda: SPEC_VERSION,
        "id": make_id,
        "time": lambda: now.astimezone(UTC).isoformat().replace("+00:00", "Z"),
    }
    if source is not None:
        defaults["source"] = lambda: source
    added = {name: make() for name, make in defaults.items() if value.get(name) is None}
    return {**value, **added}, tuple(added)


def fill_nothing(value: JsonValue) -> tuple[JsonValue, tuple[str, ...]]:
    """Return the event unchanged, in place of `fill`."""
    return value, ()


def check_attribute(name: str, item: JsonValue) -> None:
    """Raise InvalidEventError if the attribute cannot have this value, whatever the others are."""
    if name not in KNOWN_ATTRIBUTES:
        _check_extension(name, item)
    elif name in _REQUIRED or name in _TEXTS:
        _check_text(name, item)
    if name == "time":
        _parse_time(item)
    if name == "specversion" and item != SPEC_VERSION:
        raise InvalidEventError(name, f'is not "{SPEC_VERSION}", the only supported version')
    if name == "data_base64":
        _check_base64(item)
    if name in _REQUIRED and len(item.encode()) > MAX_ATTRIBUTE_BYTES:
        raise InvalidEventError(name, f"is longer than {MAX_ATTRIBUTE_BYTES:,} bytes of UTF-8")


def _is_plain(item: JsonValue) -> bool:
    """Whether `check_attribute` surely accepts this text; it costs much less, for many events."""
    return (
        isinstance(item, str)
        and 0 < len(item) <= MAX_ATTRIBUTE_BYTES
        and item.isascii()
        and item.isprintable()
    )


def _check_text(name: str, item: JsonValue) -> None:
    if not isinstance(item, str):
        raise InvalidEventError(name, f"is {_json_type(item)}, not a string")
    if not item:
        raise InvalidEventError(name, "is empty")
    _check_characters(name, item)
    if name == "datacontenttype" and not _MEDIA_TYPE.fullmatch(item):
        raise InvalidEventError(name, "is not a media type such as application/json")


def _check_characters(name: str, text: str) -> None:
    if text.isascii() and text.isprintable():  # this takes far less time than the search
        return
    forbidden = _FORBIDDEN.search(text)
    if forbidden:
        character = f"U+{ord(forbidden[0]):04X} at character {forbidden.start() + 1}"
        raise InvalidEventError(name, f"contains {character}, which CloudEvents does not allow")


def _check_extension(name: str, item: JsonValue) -> None:
    if not _EXTENSION.fullmatch(name):
        reason = "is not a valid attribute name (use only a-z and 0-9)"
        lower = name.lower()
        if lower in KNOWN_ATTRIBUTES:
            raise InvalidEventError(name, f"{reason}; did you mean {lower}?")
        raise InvalidEventError(name, f"{reason}; put your own fields under data")
    if name == CHAIN_FEED:
        raise InvalidEventError(name, "is reserved for events that a worker reads from a chain")
    if isinstance(item, str):
        _check_characters(name, item)
    elif isinstance(item, bool):
        pass
    elif not isinstance(item, int):
        reason = f"is {_json_type(item)}, but an extension is a string, boolean or integer"
        raise InvalidEventError(name, f"{reason}; put your own fields under data")
    elif not -(2**31) <= item < 2**31:
        raise InvalidEventError(name, "is an integer that does not fit in 32 bits; write a string")


def _check_data(document: dict[str, JsonValue]) -> None:
    """Refuse an event with both forms of data. Remove null `data` if there is `data_base64`."""
    if "data_base64" not in document:
        return
    if document.get("data") is not None:
        raise InvalidEventError("data_base64", "cannot be combined with data")
    document.pop("data", None)


def _check_base64(encoded: JsonValue) -> None:
    if not isinstance(encoded, str):
        raise InvalidEventError("data_base64", f"is {_json_type(encoded)}, not a string")
    try:
        binascii.a2b_base64(encoded, strict_mode=True)
    except ValueError as error:
        raise InvalidEventError("data_base64", f"is not base64: {error}") from None


def _parse_time(text: str) -> datetime:
    """Return the UTC time of an RFC 3339 text; a leap second ends its minute."""
    parsed = _TIME.fullmatch(text)
    if parsed is None:
        raise InvalidEventError("time", "is not an RFC 3339 time such as 2026-12-31T18:00:00Z")
    day, minute, second, fraction, offset = parsed.groups("")
    is_leap = second == _LEAP_SECOND
    plain = f"{day}T{minute}{'59' if is_leap else second}{'' if is_leap else fraction}"
    try:
        if offset == "Z" and not is_leap:
            return datetime.fromisoformat(text)
        moment = datetime.fromisoformat(plain + offset.upper()).astimezone(UTC)
        return moment + timedelta(seconds=is_leap)
    except (ValueError, OverflowError):
        raise InvalidEventError("time", f"{text} does not exist in the calendar") from None


def _json_type(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case str():
            return "a string"
        case int() | float():
            return "a number"
        case list():
            return "an array"
        case _:
            return "an object"
