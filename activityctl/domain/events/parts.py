"""The parts of an event pattern: each one claim about an event, in CEL; all must hold.

`type`, `source`, `subject` and `match` are short forms: their parts are decided here without
the CEL runtime, and a test holds that their text means the same. The filter's parts are the
conditions that its `&&` joins.
"""

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from activityctl.domain.cel.clauses import conjuncts
from activityctl.domain.cel.conversion import Size, to_cel
from activityctl.domain.cel.field_path import FieldPath, value_at
from activityctl.domain.cel.program import Fault, Program, compiled
from activityctl.domain.cel.source import literal, path_source
from activityctl.domain.events.pattern import EventPattern, texts_of
from activityctl.domain.values.model import JsonValue

Event = Mapping[str, JsonValue]
"""An event in CloudEvents' structured JSON form."""
Attribute = Literal["type", "source", "subject"]

ANY: Final = "*"


@dataclass(frozen=True, slots=True)
class PatternPart:
    """The attribute is a text that one of the patterns fits."""

    attribute: Attribute
    patterns: tuple[str, ...]
    text: str
    """The same in CEL."""

    def holds(self, event: Event) -> bool:
        """Whether the event is so; a missing attribute fits no pattern."""
        value = event.get(self.attribute)
        return isinstance(value, str) and any(
            matches_glob(value, pattern) for pattern in self.patterns
        )


@dataclass(frozen=True, slots=True)
class ValuePart:
    """The field has one of the values."""

    path: FieldPath
    values: tuple[JsonValue, ...]
    text: str
    """The same in CEL."""

    def holds(self, event: Event) -> bool:
        """Whether the event is so; a missing field has no value, a list or map none of these."""
        value = value_at(event, self.path)
        return any(_are_equal(value, wanted) for wanted in self.values)


@dataclass(frozen=True)
class FilterPart:
    """A condition over event and params, in CEL as written."""

    text: str

    @functools.cached_property
    def program(self) -> Program | Fault:
        """What it compiles to; kept as long as the part is, however many others there are."""
        return compiled(self.text)


Part: TypeAlias = PatternPart | ValuePart | FilterPart


def pattern_parts(pattern: EventPattern) -> tuple[Part, ...]:
    """Return the parts in the order in which they decide: short forms first."""
    return tuple(_parts(pattern))


def _parts(pattern: EventPattern) -> Iterator[Part]:
    named: tuple[tuple[Attribute, Sequence[str] | None], ...] = (
        ("type", pattern.type),
        ("source", pattern.source),
        ("subject", pattern.subject),
    )
    for attribute, patterns in named:
        if texts := texts_of(patterns):
            yield PatternPart(attribute, texts, _pattern_text(attribute, texts))
    for name, values in pattern.match.items():
        path = tuple(name.split("."))
        seen = tuple(to_cel(value, None, Size()) for value in values)
        yield ValuePart(path, seen, _value_text(path, seen))
    for text in conjuncts(pattern.filter) if pattern.filter else ():
        yield FilterPart(text)


def matches_glob(text: str, pattern: str) -> bool:
    """Whether the text is the pattern with any characters for each `*`; linear in the text."""
    head, *rest = pattern.split(ANY)
    if not rest:
        return text == pattern
    *middles, tail = rest
    if not text.startswith(head):
        return False
    at = len(head)
    for middle in middles:
        found = text.find(middle, at)
        if found < 0:
            return False
        at = found + len(middle)
    return text.endswith(tail) and len(text) - len(tail) >= at


def _are_equal(value: Any, wanted: JsonValue) -> bool:
    """Compare scalars as CEL does: numbers with one another, all else within its kind."""
    if isinstance(value, bool) or isinstance(wanted, bool):
        return value is wanted
    if isinstance(value, float) or isinstance(wanted, float):
        is_number = isinstance(value, int | float) and isinstance(wanted, int | float)
        return is_number and float(value) == float(wanted)
    return bool(value == wanted)


def _pattern_text(attribute: str, patterns: Sequence[str]) -> str:
    name = f"event.{attribute}"
    exact = [pattern for pattern in patterns if ANY not in pattern]
    claims = [_equality(name, exact)] if exact else []
    claims += [_pattern_claim(name, pattern) for pattern in patterns if ANY in pattern]
    text = " || ".join(dict.fromkeys(claims))
    if attribute != "subject":  # which an event may leave out
        return text
    return f"has({name}) && {text if len(claims) == 1 else f'({text})'}"


def _pattern_claim(name: str, pattern: str) -> str:
    head, *middles, tail = pattern.split(ANY)
    if any(middles) or (head and tail):
        expression = ".*".join(_escaped(piece) for piece in (head, *filter(None, middles), tail))
        return f"{name}.matches({literal(f'(?s)^{expression}$')})"
    if head:
        return f"{name}.startsWith({literal(head)})"
    return f"{name}.endsWith({literal(tail)})"


def _escaped(text: str) -> str:
    """Return the text as RE2 takes it literally."""
    return re.sub(r"[][\\.*+?(){}^$|]", r"\\\g<0>", text)


def _value_text(path: FieldPath, values: Sequence[JsonValue]) -> str:
    places = [path_source(("event", *path[: length + 1])) for length in range(len(path))]
    claims = [f"has({place})" for place in places]
    return " && ".join([*claims, _equality(places[-1], values)])


def _equality(place: str, values: Sequence[JsonValue]) -> str:
    if len(values) == 1:
        return f"{place} == {literal(values[0])}"
    return f"{place} in {literal(list(values))}"
