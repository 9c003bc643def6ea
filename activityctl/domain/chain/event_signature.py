"""EventSignature: the declaration of a contract's event, and the named values of its logs.

Both forms that builders have are read: `event Transfer(address indexed from, …)` and the JSON of
the ABI. A tuple is written with its parts: `(uint256 amount, address to)[] orders`.
"""

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from activityctl.domain.chain.chain_log import ChainLog
from activityctl.domain.chain.hexadecimal import keccak
from activityctl.domain.values.model import JsonValue
from activityctl.frozen_dataclass import frozen_dataclass

_IDENTIFIER: Final = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*")
_ELEMENTARY: Final = re.compile(
    r"(?:u?int(?P<bits>\d{1,3})?|address|bool|string|bytes(?P<size>\d{1,2})?|function)"
)
_ARRAYS: Final = re.compile(r"(?:\[\d{0,6}\])*")
_DYNAMIC: Final = frozenset({"string", "bytes"})
_MOST_INDEXED: Final = 3
_LONGEST: Final = 2_048
_DEEPEST: Final = 8
_EXACT_BITS: Final = 64
_KEPT: Final = 1_000
"""How many declarations are kept; the triggers of many subscriptions have the same."""


@frozen_dataclass
class EventInput:
    """One value of an event."""

    name: str
    """Its name; its position, from 0, if it has none."""
    type: str
    """The canonical type, in which a tuple is written as `(uint256,address)`."""
    is_indexed: bool = False
    parts: tuple["EventInput", ...] = ()
    """The parts of a tuple, or of the tuples in an array."""

    @property
    def text(self) -> str:
        """The declaration of the value."""
        shown = self.type
        if self.parts:
            inner = ", ".join(part.text for part in self.parts)
            shown = f"({inner}){self.type[self.type.rindex(')') + 1 :]}"
        return " ".join(filter(None, (shown, "indexed" if self.is_indexed else "", self.name)))

    @property
    def is_hashed(self) -> bool:
        """Whether a log has only the hash of an indexed value: its type has no fixed word."""
        return self.type in _DYNAMIC or self.type.endswith("]") or bool(self.parts)


@dataclass(frozen=True)
class EventSignature:
    """The declaration of an event."""

    name: str
    inputs: tuple[EventInput, ...]
    is_anonymous: bool = False

    @functools.cached_property
    def topic(self) -> str:
        """The first topic of its logs: the hash of the name and the types."""
        types = ",".join(each.type for each in self.inputs)
        return "0x" + keccak(f"{self.name}({types})".encode()).hex()

    @functools.cached_property
    def text(self) -> str:
        """The declaration in one form; two declarations with the same meaning have the same."""
        inner = ", ".join(each.text for each in self.inputs)
        return f"event {self.name}({inner})" + (" anonymous" if self.is_anonymous else "")

    def values_of(self, log: ChainLog) -> dict[str, JsonValue]:
        """Return the values of a log by name.

        An integer of a type with more than 64 bits is a text of its decimal digits, whatever its
        size, so that an expression always meets the same type. Bytes and addresses are texts in
        hexadecimal digits. Of an indexed text, array or tuple, the log has only the hash. Raises
        ValueError if the log cannot be of this event.
        """
        topics = log.topics if self.is_anonymous else log.topics[1:]
        indexed = [each for each in self.inputs if each.is_indexed]
        if not self.is_anonymous and log.topics[:1] != (self.topic,):
            raise ValueError(f"the log is not of the event {self.name}")
        if len(topics) != len(indexed):
            raise ValueError(
                f"the log has {len(topics)} indexed values, but {self.name} declares {len(indexed)}"
            )
        by_topic = iter(topics)
        in_data = iter(_decode([each for each in self.inputs if not each.is_indexed], log.data))
        return {
            each.name: _indexed_value(each, next(by_topic)) if each.is_indexed else next(in_data)
            for each in self.inputs
        }


def _indexed_value(declared: EventInput, topic: str) -> JsonValue:
    if declared.is_hashed:
        return topic
    (value,) = _decode([declared], topic)
    return value


def _decode(declared: Sequence[EventInput], text: str) -> list[JsonValue]:
    if not declared:
        return []
    from eth_abi.abi import decode  # 250 ms, which only logs with an ABI need
    from eth_abi.exceptions import DecodingError

    try:
        found = decode([each.type for each in declared], bytes.fromhex(text[2:]))
    except (DecodingError, OverflowError, UnicodeDecodeError) as error:
        raise ValueError(f"the data does not have the declared types: {error}") from None
    return [_json_of(each, value) for each, value in zip(declared, found, strict=True)]


def _json_of(declared: EventInput, value: Any) -> JsonValue:
    if declared.type.endswith("]"):
        inner = declared.type[: declared.type.rindex("[")]
        element = EventInput(declared.name, inner, parts=declared.parts)
        return [_json_of(element, item) for item in value]
    if declared.parts:
        pairs = zip(declared.parts, value, strict=True)
        return {part.name: _json_of(part, item) for part, item in pairs}
    if isinstance(value, bytes):
        return f"0x{value.hex()}"
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value) if _bits_of(declared.type) > _EXACT_BITS else value
    return value.replace("\0", "\ufffd") if isinstance(value, str) else value


def _bits_of(canonical: str) -> int:
    return int(canonical.removeprefix("u").removeprefix("int"))


@functools.lru_cache(maxsize=_KEPT)
def read_signature(text: str) -> EventSignature:
    """Return the event of a declaration. Raises ValueError that says what is wrong with it."""
    if len(text) > _LONGEST:
        raise ValueError(f"is longer than {_LONGEST:,} characters")
    return _Reader(text).event()


def signature_of_abi(item: Mapping[str, Any]) -> EventSignature:
    """Return the event of an item of a JSON ABI. Raises ValueError if it is none."""
    if item.get("type", "event") != "event":
        raise ValueError(f"is of the type {item.get('type')}, not event")
    inputs = [_declared(each, index) for index, each in enumerate(_list(item, "inputs"))]
    name = _name(item.get("name"))
    return _checked(EventSignature(name, tuple(inputs), item.get("anonymous") is True))


def _declared(item: Any, index: int, depth: int = 0) -> EventInput:
    if not isinstance(item, Mapping) or depth > _DEEPEST:
        raise ValueError("inputs should be a list of objects with name and type")
    written, name = str(item.get("type", "")), item.get("name") or str(index)
    is_indexed = item.get("indexed") is True
    if written.startswith("tuple"):
        arrays = written.removeprefix("tuple")
        components = enumerate(_list(item, "components"))
        parts = tuple(_declared(each, number, depth + 1) for number, each in components)
        return _tuple(parts, arrays, str(name), is_indexed=is_indexed)
    return EventInput(str(name), _canonical(written), is_indexed)


def _list(item: Mapping[str, Any], name: str) -> list[Any]:
    found = item.get(name, [])
    if not isinstance(found, list):
        raise ValueError(f"{name} should be a list")  # noqa: TRY004  # what callers catch
    return found


def _name(value: Any) -> str:
    if not isinstance(value, str) or not _IDENTIFIER.fullmatch(value):
        raise ValueError("needs the name of an event, such as Transfer")
    return value


def _canonical(written: str) -> str:
    """Return the canonical name of a type that is no tuple."""
    base = written.split("[", 1)[0]
    arrays = written[len(base) :]
    found = _ELEMENTARY.fullmatch(base)
    if found is None or not _ARRAYS.fullmatch(arrays):
        raise ValueError(f"{written[:40]!r} is no type of Solidity, such as address or uint256")
    bits, size = found["bits"], found["size"]
    if bits is not None and (int(bits) % 8 or not 8 <= int(bits) <= 256):  # noqa: PLR2004  # bits
        raise ValueError(f"{base}: integers have 8, 16, 24, … or 256 bits")
    if size is not None and not 1 <= int(size) <= 32:  # noqa: PLR2004  # bytes
        raise ValueError(f"{base}: fixed bytes have 1 to 32 bytes")
    if base in {"int", "uint"}:
        base += "256"
    return ("bytes24" if base == "function" else base) + arrays


def _tuple(
    parts: tuple[EventInput, ...], arrays: str, name: str, *, is_indexed: bool
) -> EventInput:
    if not parts:
        raise ValueError("a tuple has no components")
    if not _ARRAYS.fullmatch(arrays):
        raise ValueError(f"{arrays[:40]!r} is no array, such as [] or [3]")
    inner = ",".join(part.type for part in parts)
    return EventInput(name, f"({inner}){arrays}", is_indexed, parts)


def _checked(event: EventSignature) -> EventSignature:
    most = _MOST_INDEXED + event.is_anonymous
    if sum(each.is_indexed for each in event.inputs) > most:
        raise ValueError(f"more than {most} values are indexed; a log has no more topics")
    names = [each.name for each in event.inputs]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"two values have the name {name}")
    return event


class _Reader:
    """Reads a declaration from left to right."""

    def __init__(self, text: str) -> None:
        self._tokens = list(_tokens(text))
        self._at = 0

    def event(self) -> EventSignature:
        if self._peek() == "event":
            self._take()
        name = _name(self._take())
        inputs = self._inputs(0)
        is_anonymous = self._peek() == "anonymous"
        if is_anonymous:
            self._take()
        if self._peek() == ";":
            self._take()
        if self._peek():
            raise ValueError(f"{self._peek()!r} after the end of the declaration")
        return _checked(EventSignature(name, inputs, is_anonymous))

    def _inputs(self, depth: int) -> tuple[EventInput, ...]:
        if depth > _DEEPEST:
            raise ValueError(f"tuples are nested deeper than {_DEEPEST}")
        self._expect("(")
        found: list[EventInput] = []
        while self._peek() != ")":
            if found:
                self._expect(",")
            found.append(self._input(len(found), depth))
        self._take()
        return tuple(found)

    def _input(self, index: int, depth: int) -> EventInput:
        parts: tuple[EventInput, ...] = ()
        written = ""
        if self._peek() == "tuple":
            self._take()
        if self._peek() == "(":
            parts = self._inputs(depth + 1)
            if not parts:
                raise ValueError("a tuple has no parts")
        else:
            written = self._take()
        arrays = ""
        while self._peek().startswith("["):
            arrays += self._take()
        is_indexed = self._peek() == "indexed"
        if is_indexed:
            self._take()
        name = str(index) if self._peek() in {",", ")"} else self._value_name()
        if parts:
            return _tuple(parts, arrays, name, is_indexed=is_indexed)
        return EventInput(name, _canonical(written + arrays), is_indexed)

    def _value_name(self) -> str:
        name = self._take()
        if not _IDENTIFIER.fullmatch(name):
            raise ValueError(f"{name!r} cannot be the name of a value")
        return name

    def _peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _take(self) -> str:
        token = self._peek()
        if not token:
            raise ValueError("ends too early; write it like event Transfer(address indexed from)")
        self._at += 1
        return token

    def _expect(self, wanted: str) -> None:
        found = self._take()
        if found != wanted:
            raise ValueError(f"has {found!r} where {wanted!r} should be")


def _tokens(text: str) -> Iterator[str]:
    for found in re.finditer(r"\s+|(\[\d*\]|[A-Za-z0-9_$]+|.)", text, re.DOTALL):
        if found[1]:
            yield found[1]
