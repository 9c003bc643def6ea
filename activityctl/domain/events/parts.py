"""The parts of an event pattern: conditions about one event that must all hold.

Each part has a text in CEL. `type`, `source`, `subject` and `match` are short forms. Their parts
are evaluated here without the CEL runtime, and a test checks that their text means the same. The
parts of a filter are the conditions that `&&` joins.
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
from activityctl.frozen_dataclass import frozen_dataclass

Event = Mapping[str, JsonValue]
"""An event in CloudEvents' structured JSON form."""
Attribute = Literal["type", "source", "subject"]

ANY: Final = "*"


@frozen_dataclass
class PatternPart:
    """The condition that an attribute matches one of the patterns."""

    attribute: Attribute
    patterns: tuple[str, ...]
    text: str
    """The same condition in CEL."""

    def holds(self, event: Event) -> bool:
        """Whether the event fulfils the condition; a missing attribute matches no pattern."""
        value = event.get(self.attribute)
        return isinstance(value, str) and any(
            matches_glob(value, pattern) for pattern in self.patterns
        )


@frozen_dataclass
class ValuePart:
    """The condition that a field has one of the values."""

    path: FieldPath
    values: tuple[JsonValue, ...]
    text: str
    """The same condition in CEL."""

    def holds(self, event: Event) -> bool:
        """Whether the event fulfils the condition.

        A field that is missing, a list or a map never does.
        """
        value = value_at(event, self.path)
        return any(_are_equal(value, wanted) for wanted in self.values)


@dataclass(frozen=True)
class FilterPart:
    """A condition over event and params in CEL, as the filter has it."""

    text: str

    @functools.cached_property
    def program(self) -> Program | Fault:
        """The compiled condition, or why it does not compile; kept as long as the part exists."""
        return compiled(self.text)


Part: TypeAlias = PatternPart | ValuePart | FilterPart


def pattern_parts(pattern: EventPattern) -> tuple[Part, ...]:
    """Return the parts in the order in which they are evaluated: short forms first."""
    return tuple(_parts(pattern))


def _parts(pattern: EventPattern) -> Iterator[Part]:
    attributes: tuple[tuple[Attribute, Sequence[str] | None], ...] = (
        ("type", pattern.type),
        ("source", pattern.source),
        ("subject", pattern.subject),
    )
    for attribute, patterns in attributes:
        if texts := texts_of(patterns):
            yield PatternPart(attribute, texts, _pattern_text(attribute, texts))
    for name, values in pattern.match.items():
        path = tuple(name.split("."))
        cel_values = tuple(to_cel(value, None, Size()) for value in values)
        yield ValuePart(path, cel_values, _value_text(path, cel_values))
    for text in conjuncts(pattern.filter) if pattern.filter else ():
        yield FilterPart(text)


def matches_glob(text: str, pattern: str) -> bool:
    """Whether the text matches the pattern, in which each `*` stands for any characters.

    Takes time linear in the length of the text.
    """
    head, *rest = pattern.split(ANY)
    if not rest:
        return text == pattern
    *middles, tail = rest
    if not text.startswith(head):
        return False
    end = len(head)
    for middle in middles:
        start = text.find(middle, end)
        if start < 0:
            return False
        end = start + len(middle)
    return text.endswith(tail) and len(text) - len(tail) >= end


def _are_equal(value: Any, wanted: JsonValue) -> bool:
    """Compare scalars as CEL does: integers and floats by value, others only with their type."""
    if isinstance(value, bool) or isinstance(wanted, bool):
        return value is wanted
    if isinstance(value, float) or isinstance(wanted, float):
        is_number = isinstance(value, int | float) and isinstance(wanted, int | float)
        return is_number and float(value) == float(wanted)
    return bool(value == wanted)


def _pattern_text(attribute: str, patterns: Sequence[str]) -> str:
    name = f"event.{attribute}"
    exact = [pattern for pattern in patterns if ANY not in pattern]
    conditions = [_equality(name, exact)] if exact else []
    conditions += [_glob_condition(name, pattern) for pattern in patterns if ANY in pattern]
    text = " || ".join(dict.fromkeys(conditions))
    if attribute != "subject":  # only the subject may be absent
        return text
    return f"has({name}) && {text if len(conditions) == 1 else f'({text})'}"


def _glob_condition(name: str, pattern: str) -> str:
    head, *middles, tail = pattern.split(ANY)
    if any(middles) or (head and tail):
        expression = ".*".join(_escaped(piece) for piece in (head, *filter(None, middles), tail))
        return f"{name}.matches({literal(f'(?s)^{expression}$')})"
    if head:
        return f"{name}.startsWith({literal(head)})"
    return f"{name}.endsWith({literal(tail)})"


def _escaped(text: str) -> str:
    """Return the text escaped for an RE2 expression."""
    return re.sub(r"[][\\.*+?(){}^$|]", r"\\\g<0>", text)


def _value_text(path: FieldPath, values: Sequence[JsonValue]) -> str:
    fields = [path_source(("event", *path[: length + 1])) for length in range(len(path))]
    conditions = [f"has({field})" for field in fields]
    return " && ".join([*conditions, _equality(fields[-1], values)])


def _equality(field: str, values: Sequence[JsonValue]) -> str:
    if len(values) == 1:
        return f"{field} == {literal(values[0])}"
    return f"{field} in {literal(list(values))}"
