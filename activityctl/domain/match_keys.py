"""What an event must have for a trigger to match it, as keys that a table can be looked up by.

A key never rules out an event that matches, nor one for which a filter fails; it may let pass
others. Which entries share a table is decided in `match_index`.
"""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from activityctl.domain.cel_clauses import clause_of
from activityctl.domain.cel_operand import constant, event_path
from activityctl.domain.event_parts import (
    ANY,
    Event,
    FilterPart,
    Part,
    PatternPart,
    ValuePart,
)
from activityctl.domain.field_path import MISSING, FieldPath, Missing, is_exact_number, value_at
from activityctl.domain.model import JsonValue


class Place(NamedTuple):
    """Where an event is looked at."""

    path: FieldPath
    length: int | None
    """How many first characters count; None for the whole value."""
    may_fail: bool
    """Whether a filter reads it, which fails when it is missing: then no table can tell."""


class Need(NamedTuple):
    """At that place the event has one of these."""

    place: Place
    keys: frozenset[Hashable]


UNTOLD: Final = object()
"""The key of lists, maps and large numbers: an event that has it is held against every entry."""


def needs_of(parts: Sequence[Part], params: Mapping[str, JsonValue]) -> Iterator[Need]:
    """Yield what the parts need, as far as keys can say it."""
    for part in parts:
        match part:
            case PatternPart():
                need = _pattern_need(part)
            case ValuePart():
                need = _need(Place(part.path, None, may_fail=False), part.values)
            case FilterPart():
                need = _filter_need(part.text, params)
        if need is not None:
            yield need


def key_at(event: Event, place: Place) -> Hashable:
    """Return the event's key at a place; MISSING when nothing is there, UNTOLD as said there."""
    value = value_at(event, place.path)
    if isinstance(value, Missing):
        return MISSING
    if place.length is None:
        return _key(value)
    return str(value)[: place.length] if isinstance(value, str) else MISSING


def _key(value: Any) -> Hashable:
    """Return equal keys for values that CEL calls equal; UNTOLD is that of all the rest."""
    is_told = value is None or isinstance(value, bool | str) or is_exact_number(value)
    return value if is_told else UNTOLD


def _need(place: Place, values: Sequence[Any]) -> Need:
    return Need(place, frozenset(map(_key, values)))


def _pattern_need(part: PatternPart) -> Need | None:
    heads = [pattern.partition(ANY)[0] for pattern in part.patterns if ANY in pattern]
    path = (part.attribute,)
    if not heads:
        return _need(Place(path, None, may_fail=False), part.patterns)
    length = min(map(len, heads))
    if length == 0:
        return None
    starts = frozenset(pattern.partition(ANY)[0][:length] for pattern in part.patterns)
    return Need(Place(path, length, may_fail=False), starts)


def _filter_need(text: str, params: Mapping[str, JsonValue]) -> Need | None:
    """Return the need of `event.a.b == params.c`, either way round, or of `… in params.d`."""
    clause = clause_of(text)
    if clause.operator not in {"==", "in"}:
        return None
    left, right = clause.operands
    if clause.operator == "==":
        return _equality_need(left, right, params) or _equality_need(right, left, params)
    path, values = event_path(left), constant(right, params)
    is_listed = path is not None and isinstance(values, list)
    return _need(Place(path or (), None, may_fail=True), values) if is_listed else None


def _equality_need(place: str, value: str, params: Mapping[str, JsonValue]) -> Need | None:
    path = event_path(place)
    if path is None or (found := constant(value, params)) is MISSING:
        return None
    return _need(Place(path, None, may_fail=True), [found])
