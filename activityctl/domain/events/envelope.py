"""EventEnvelope: one event as CloudEvents 1.0 has it; its JSON text is read elsewhere."""

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
"""The longest JSON text of one event."""
MAX_ATTRIBUTE_BYTES: Final = 1024
"""The longest `id`, `source` and `type`: they stand in indexes."""
SPEC_VERSION: Final = "1.0"

_REQUIRED: Final = ("id", "source", "type")
_TEXTS: Final = ("subject", "datacontenttype", "dataschema", "time")
_DATA: Final = ("data", "data_base64")
_KNOWN: Final = frozenset((*_REQUIRED, *_TEXTS, *_DATA, "specversion"))

_EXTENSION: Final = re.compile(r"[a-z0-9]+")
# CloudEvents 1.0, type system: what a String may not hold.
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


@dataclass(frozen=True, slots=True)
class EventEnvelope:
    """One event; `envelope_of` is what makes it, so its document is known to be right."""

    document: Mapping[str, JsonValue]
    """The structured JSON form: what the sender wrote, less attributes that are null."""
    time: datetime | None
    """When it happened, in UTC, cut to microseconds; the document keeps the sender's text."""
    filled: tuple[str, ...] = ()
    """The attributes that the sender left out and `fill` put in."""

    @property
    def id(self) -> str:
        """The sender's id, unique within the source."""
        return self._text("id")

    @property
    def source(self) -> str:
        """Where it happened."""
        return self._text("source")

    @property
    def type(self) -> str:
        """What kind of thing happened."""
        return self._text("type")

    @property
    def subject(self) -> str | None:
        """What it happened to, within the source."""
        subject: str | None = self.document.get("subject")
        return subject

    @property
    def data(self) -> JsonValue:
        """The payload; None when there is none, or when it is bytes (`data_base64`)."""
        return self.document.get("data")

    @property
    def extensions(self) -> dict[str, str | bool | int]:
        """The attributes that CloudEvents does not define."""
        return {name: value for name, value in self.document.items() if name not in _KNOWN}

    @property
    def key(self) -> str:
        """Source and id in one text that no other pair gives; no attribute holds U+001F."""
        return f"{self.source}\x1f{self.id}"

    @property
    def event_id(self) -> ids.EventId:
        """Our id of the event; it follows from source and id."""
        return ids.event_id(self.source, self.id)

    @property
    def digest(self) -> str:
        """The SHA-256 of the event, in hex: of equal key, the same events and no others agree.

        The order of keys and the spaces of the text do not count, nor does a time that `fill`
        put in: it differs each time that the same event is emitted. All else that `fill` puts
        in is in the key or always the same.
        """
        left_out = {"time"}.intersection(self.filled)
        return ids.content_hash(
            {name: item for name, item in self.document.items() if name not in left_out}
        )

    def serialised(self) -> tuple[str, str]:
        """Return the document's canonical JSON and the digest, at the price of one of them."""
        text = ids.canonical_json(self.document)
        if "time" in self.filled:
            return text, self.digest
        return text, hashlib.sha256(text.encode()).hexdigest()

    def _text(self, name: str) -> str:
        text: str = self.document[name]
        return text


def envelope_of(value: JsonValue, filled: Iterable[str] = ()) -> EventEnvelope:
    """Return the event that a JSON value is; InvalidEventError names the field that is wrong.

    Strict: whatever a sender may leave out, `fill` has put in before, and names in `filled`.
    The value was read by a parser that refuses what Postgres does not keep; the attributes are
    checked here all the same, since people also type them. A null attribute is an absent one
    (CloudEvents JSON format, section 3.1); null `data` stays unless there is `data_base64`.
    """
    if not isinstance(value, dict):
        raise InvalidEventError("", f"an event is a JSON object, not {_kind(value)}")
    document = {name: item for name, item in value.items() if item is not None or name == "data"}
    if "specversion" not in document:
        raise InvalidEventError("specversion", f'is missing; write "{SPEC_VERSION}"')
    if document["specversion"] != SPEC_VERSION:
        raise InvalidEventError("specversion", f'is not "{SPEC_VERSION}", the one version taken')
    for name in _REQUIRED:
        _check_required(name, document)
    for name, item in document.items():
        if name not in _KNOWN:
            _check_extension(name, item)
        elif name in _TEXTS:
            _check_text(name, item)
    _check_data(document)
    time = _moment(document["time"]) if "time" in document else None
    return EventEnvelope(document, time, tuple(filled))


def fill(
    value: JsonValue, now: datetime, make_id: Callable[[], str], source: str | None = None
) -> tuple[JsonValue, tuple[str, ...]]:
    """Return the event with what a person may leave out, and the names of what was put in.

    Those are specversion, id, time and, when the caller has one, the source. Null counts as
    left out. What is no JSON object comes back as it is, for `envelope_of` to refuse.
    """
    if not isinstance(value, dict):
        return value, ()
    offered: dict[str, Callable[[], str]] = {
        "specversion": lambda: SPEC_VERSION,
        "id": make_id,
        "time": lambda: now.astimezone(UTC).isoformat().replace("+00:00", "Z"),
    }
    if source is not None:
        offered["source"] = lambda: source
    added = {name: make() for name, make in offered.items() if value.get(name) is None}
    return {**value, **added}, tuple(added)


def _check_required(name: str, document: Mapping[str, JsonValue]) -> None:
    if name not in document:
        raise InvalidEventError(name, "is missing")
    _check_text(name, document[name])
    if len(document[name].encode()) > MAX_ATTRIBUTE_BYTES:
        raise InvalidEventError(name, f"is longer than {MAX_ATTRIBUTE_BYTES:,} bytes of UTF-8")


def _check_text(name: str, item: JsonValue) -> None:
    if not isinstance(item, str):
        raise InvalidEventError(name, f"is {_kind(item)}, not a string")
    if not item:
        raise InvalidEventError(name, "is empty")
    _check_characters(name, item)
    if name == "datacontenttype" and not _MEDIA_TYPE.fullmatch(item):
        raise InvalidEventError(name, "is not a media type such as application/json")


def _check_characters(name: str, text: str) -> None:
    found = _FORBIDDEN.search(text)
    if found:
        place = f"at character {found.start() + 1}"
        raise InvalidEventError(name, f"holds U+{ord(found[0]):04X} {place}; no attribute may")


def _check_extension(name: str, item: JsonValue) -> None:
    if not _EXTENSION.fullmatch(name):
        reason = "is no name of an attribute (a-z and 0-9 only)"
        lower = name.lower()
        if lower in _KNOWN:
            raise InvalidEventError(name, f"{reason}; did you mean {lower}?")
        raise InvalidEventError(name, f"{reason}; fields of your own belong under data")
    if isinstance(item, str):
        _check_characters(name, item)
    elif isinstance(item, bool):
        pass
    elif not isinstance(item, int):
        reason = f"is {_kind(item)}, but an extension is a string, boolean or integer"
        raise InvalidEventError(name, f"{reason}; fields of your own belong under data")
    elif not -(2**31) <= item < 2**31:
        raise InvalidEventError(name, "is an integer of more than 32 bits; write it as a string")


def _check_data(document: dict[str, JsonValue]) -> None:
    """Refuse data in two forms and broken base64; drop null data beside data_base64."""
    if "data_base64" not in document:
        return
    if document.get("data") is not None:
        raise InvalidEventError("data_base64", "stands beside data; an event has one of the two")
    document.pop("data", None)
    encoded = document["data_base64"]
    if not isinstance(encoded, str):
        raise InvalidEventError("data_base64", f"is {_kind(encoded)}, not a string")
    try:
        binascii.a2b_base64(encoded, strict_mode=True)
    except ValueError as error:
        raise InvalidEventError("data_base64", f"is not base64: {error}") from None


def _moment(text: str) -> datetime:
    """Return the time that RFC 3339 text names, in UTC; a leap second ends with its minute."""
    found = _TIME.fullmatch(text)
    if found is None:
        raise InvalidEventError("time", "is not RFC 3339 such as 2026-12-31T18:00:00Z")
    day, minute, second, fraction, offset = found.groups(default="")
    is_leap = second == _LEAP_SECOND
    plain = f"{day}T{minute}{'59' if is_leap else second}{'' if is_leap else fraction}"
    try:
        moment = datetime.fromisoformat(plain + offset.upper()).astimezone(UTC)
        return moment + timedelta(seconds=is_leap)
    except (ValueError, OverflowError):
        raise InvalidEventError("time", f"{text} is no time of the calendar") from None


def _kind(value: Any) -> str:
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
