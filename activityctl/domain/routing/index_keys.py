"""Finds what a trigger needs in fields of an event, as keys for the lookup tables of the index.

A key never rules out an event that matches or for which a filter fails. It may let other events
pass. The tables are in `index_table.py`.
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
"""What a missing field means, by who reads it.

- `short form`: the event does not match.
- `filter`: the filter fails.
- `guarded filter`: a `has` of the same field guards the filter. If only the field is missing, the
  event does not match. If its parent is missing too, the filter fails.
"""


_FIELD: Final = r"(?P<field>[\w.`-]+)"  # no spaces and slashes, so no comments
_STARTS_OR_ENDS_WITH: Final = re.compile(
    rf"{_FIELD}\.(?P<end>starts|ends)With\((?P<text>.*)\)", re.DOTALL
)
_HAS: Final = re.compile(rf"has\({_FIELD}\)")


class IndexedField(NamedTuple):
    """A field of the event, or the beginning or end of its text."""

    path: FieldPath
    length: int | None
    """How many characters at the beginning count; negative: at the end; None: the whole value."""
    missing_rule: MissingFieldRule


class KeyCondition(NamedTuple):
    """The event's field must have one of these keys."""

    field: IndexedField
    keys: frozenset[Hashable]


UNINDEXABLE: Final = object()
"""The key of lists, maps and large numbers. With it an event is tried on every listener."""


MISSING_IN_MAP: Final = object()
"""The key of a field that is missing while its parent map is present."""


def key_conditions(
    parts: Sequence[Part], params: Mapping[str, JsonValue]
) -> Iterator[KeyCondition]:
    """Yield what the parts need, as far as keys can express it."""
    guarded = {path for part in parts if (path := _guarded_path(part)) is not None}
    for part in parts:
        match part:
            case PatternPart():
                condition = _pattern_condition(part)
            case ValuePart():
                condition = _condition(IndexedField(part.path, None, "short form"), part.values)
            case FilterPart():
                condition = _filter_condition(part.text, params)
                if condition is not None and condition.field.path in guarded:
                    condition = KeyCondition(
                        condition.field._replace(missing_rule="guarded filter"), condition.keys
                    )
        if condition is not None:
            yield condition


def index_key(event: Event, field: IndexedField) -> Hashable:
    """Return the event's key of a field; without one UNINDEXABLE, MISSING_IN_MAP or MISSING."""
    value = value_at(event, field.path)
    if isinstance(value, Missing):
        has_parent = isinstance(value_at(event, field.path[:-1]), Mapping)
        return MISSING_IN_MAP if has_parent else MISSING
    if field.length is None:
        return _key(value)
    if not isinstance(value, str):
        return MISSING
    return value[: field.length] if field.length > 0 else value[field.length :]


def _key(value: Any) -> Hashable:
    """Return a key that is equal for values that CEL calls equal; UNINDEXABLE for other types."""
    is_indexable = value is None or isinstance(value, bool | str) or is_exact_number(value)
    return value if is_indexable else UNINDEXABLE


def _condition(field: IndexedField, values: Sequence[Any]) -> KeyCondition:
    return KeyCondition(field, frozenset(map(_key, values)))


def _pattern_condition(part: PatternPart) -> KeyCondition | None:
    heads = [pattern.partition(ANY)[0] for pattern in part.patterns if ANY in pattern]
    path = (part.attribute,)
    if not heads:
        return _condition(IndexedField(path, None, "short form"), part.patterns)
    length = min(map(len, heads))
    if length == 0:
        return None
    starts = frozenset(pattern.partition(ANY)[0][:length] for pattern in part.patterns)
    return KeyCondition(IndexedField(path, length, "short form"), starts)


def _filter_condition(text: str, params: Mapping[str, JsonValue]) -> KeyCondition | None:
    """Return the condition of a filter that compares one field of the event with a constant.

    Such filters are `event.a.b == params.c`, in either order, `… in params.d`,
    `….startsWith("x")`, `….endsWith("x")`, or several of them on one field, joined by `||`.
    """
    clause = clause_of(text)
    match clause.operator, clause.operands:
        case "==", (left, right):
            return _equality_condition(left, right, params) or _equality_condition(
                right, left, params
            )
        case "in", (field, values):
            return _list_condition(field, values, params)
        case "||", alternatives:
            return _either([_filter_condition(text, params) for text in alternatives])
        case "", _:
            return _end_condition(text, params)
        case _:
            return None


def _equality_condition(
    field: str, value: str, params: Mapping[str, JsonValue]
) -> KeyCondition | None:
    path = event_path(field)
    if path is None or (found := constant_value(value, params)) is MISSING:
        return None
    return _condition(IndexedField(path, None, "filter"), [found])


def _list_condition(
    field: str, values: str, params: Mapping[str, JsonValue]
) -> KeyCondition | None:
    path, found = event_path(field), constant_value(values, params)
    if path is None or not isinstance(found, list):
        return None
    return _condition(IndexedField(path, None, "filter"), found)


def _end_condition(text: str, params: Mapping[str, JsonValue]) -> KeyCondition | None:
    found = _STARTS_OR_ENDS_WITH.fullmatch(text.strip())
    if found is None or (path := event_path(found["field"])) is None:
        return None
    wanted = constant_value(found["text"], params)
    if not isinstance(wanted, str) or not wanted:
        return None
    length = len(wanted) if found["end"] == "starts" else -len(wanted)
    return KeyCondition(IndexedField(path, length, "filter"), frozenset({wanted}))


def _either(conditions: Sequence[KeyCondition | None]) -> KeyCondition | None:
    """Return the condition of alternatives, if all of them are conditions of one field."""
    known = [condition for condition in conditions if condition is not None]
    if len(known) < len(conditions) or len({condition.field for condition in known}) != 1:
        return None
    keys = frozenset[Hashable]().union(*(condition.keys for condition in known))
    return KeyCondition(known[0].field, keys)


def _guarded_path(part: Part) -> FieldPath | None:
    """Return the event's field that a filter part tests with `has`; None for any other part."""
    found = _HAS.fullmatch(part.text) if isinstance(part, FilterPart) else None
    return event_path(found["field"]) if found else None
