"""What an event must have for a trigger to match it, as keys that a table can be looked up by.

A key never rules out an event that matches, nor one for which a filter fails; it may let pass
others. Which entries share a table is decided in `match_index`.
"""

import re
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

from activityctl.domain.cel.clauses import clause_of
from activityctl.domain.cel.field_path import MISSING, FieldPath, Missing, is_exact_number, value_at
from activityctl.domain.events.parts import (
    ANY,
    Event,
    FilterPart,
    Part,
    PatternPart,
    ValuePart,
)
from activityctl.domain.routing.index_operand import constant_value, event_path
from activityctl.domain.values.model import JsonValue

MissingFieldRule = Literal["short form", "filter", "guarded filter"]
"""What a missing field is to who reads it: no match, a failure, or no match where its parent is.

The guard is `has` of the same field: it is false where the field alone is missing.
"""


_PLACE: Final = r"(?P<place>[\w.`-]+)"  # without blanks and slashes, so without comments
_ENDED: Final = re.compile(rf"{_PLACE}\.(?P<end>starts|ends)With\((?P<text>.*)\)", re.DOTALL)
_HAS: Final = re.compile(rf"has\({_PLACE}\)")


class IndexedField(NamedTuple):
    """Where an event is looked at."""

    path: FieldPath
    length: int | None
    """How many first characters count, or last ones if negative; None for the whole value."""
    missing_rule: MissingFieldRule
    """Who looks."""


class KeyCondition(NamedTuple):
    """At that place the event has one of these."""

    field: IndexedField
    keys: frozenset[Hashable]


UNINDEXABLE: Final = object()
"""The key of lists, maps and large numbers: an event that has it is held against every entry."""


MISSING_IN_MAP: Final = object()
"""The key of a field that is missing from a map that is there."""


def key_conditions(
    parts: Sequence[Part], params: Mapping[str, JsonValue]
) -> Iterator[KeyCondition]:
    """Yield what the parts need, as far as keys can say it."""
    guarded = {path for part in parts if (path := _guarded(part)) is not None}
    for part in parts:
        match part:
            case PatternPart():
                need = _pattern_need(part)
            case ValuePart():
                need = _need(IndexedField(part.path, None, "short form"), part.values)
            case FilterPart():
                need = _filter_need(part.text, params)
                if need is not None and need.field.path in guarded:
                    need = KeyCondition(
                        need.field._replace(missing_rule="guarded filter"), need.keys
                    )
        if need is not None:
            yield need


def index_key(event: Event, place: IndexedField) -> Hashable:
    """Return the event's key at a place; UNINDEXABLE, ABSENT and else MISSING for what has none."""
    value = value_at(event, place.path)
    if isinstance(value, Missing):
        is_absent = isinstance(value_at(event, place.path[:-1]), Mapping)
        return MISSING_IN_MAP if is_absent else MISSING
    if place.length is None:
        return _key(value)
    if not isinstance(value, str):
        return MISSING
    return value[: place.length] if place.length > 0 else value[place.length :]


def _key(value: Any) -> Hashable:
    """Return equal keys for values that CEL calls equal; UNINDEXABLE is that of all the rest."""
    is_told = value is None or isinstance(value, bool | str) or is_exact_number(value)
    return value if is_told else UNINDEXABLE


def _need(place: IndexedField, values: Sequence[Any]) -> KeyCondition:
    return KeyCondition(place, frozenset(map(_key, values)))


def _pattern_need(part: PatternPart) -> KeyCondition | None:
    heads = [pattern.partition(ANY)[0] for pattern in part.patterns if ANY in pattern]
    path = (part.attribute,)
    if not heads:
        return _need(IndexedField(path, None, "short form"), part.patterns)
    length = min(map(len, heads))
    if length == 0:
        return None
    starts = frozenset(pattern.partition(ANY)[0][:length] for pattern in part.patterns)
    return KeyCondition(IndexedField(path, length, "short form"), starts)


def _filter_need(text: str, params: Mapping[str, JsonValue]) -> KeyCondition | None:
    """Return the need of a comparison of one field of the event with what is the same for any.

    That is `event.a.b == params.c`, either way round, `… in params.d`, `….startsWith("x")`,
    `….endsWith("x")`, or several of these at one place that `||` joins.
    """
    clause = clause_of(text)
    match clause.operator, clause.operands:
        case "==", (left, right):
            return _equality_need(left, right, params) or _equality_need(right, left, params)
        case "in", (place, values):
            return _list_need(place, values, params)
        case "||", alternatives:
            return _either([_filter_need(one, params) for one in alternatives])
        case "", _:
            return _end_need(text, params)
        case _:
            return None


def _equality_need(place: str, value: str, params: Mapping[str, JsonValue]) -> KeyCondition | None:
    path = event_path(place)
    if path is None or (found := constant_value(value, params)) is MISSING:
        return None
    return _need(IndexedField(path, None, "filter"), [found])


def _list_need(place: str, values: str, params: Mapping[str, JsonValue]) -> KeyCondition | None:
    path, found = event_path(place), constant_value(values, params)
    if path is None or not isinstance(found, list):
        return None
    return _need(IndexedField(path, None, "filter"), found)


def _end_need(text: str, params: Mapping[str, JsonValue]) -> KeyCondition | None:
    found = _ENDED.fullmatch(text.strip())
    if found is None or (path := event_path(found["place"])) is None:
        return None
    wanted = constant_value(found["text"], params)
    if not isinstance(wanted, str) or not wanted:
        return None
    length = len(wanted) if found["end"] == "starts" else -len(wanted)
    return KeyCondition(IndexedField(path, length, "filter"), frozenset({wanted}))


def _either(needs: Sequence[KeyCondition | None]) -> KeyCondition | None:
    """Return the need of alternatives that are all needs of one place."""
    known = [need for need in needs if need is not None]
    if len(known) < len(needs) or len({need.field for need in known}) != 1:
        return None
    return KeyCondition(known[0].field, frozenset[Hashable]().union(*(need.keys for need in known)))


def _guarded(part: Part) -> FieldPath | None:
    """Return the field of the event that a filter's part asks for by `has`, and by it alone."""
    found = _HAS.fullmatch(part.text) if isinstance(part, FilterPart) else None
    return event_path(found["place"]) if found else None
