"""Reads from an event what the lookup tables of the index ask for: one value, or one among many.

A key that says "not known" leads to all listeners of a table. Which keys a trigger needs is in
`index_keys.py`.
"""

from collections.abc import Hashable, Mapping
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from activityctl.domain.cel.bound_event import expression_value
from activityctl.domain.cel.conversion import Size, to_cel
from activityctl.domain.cel.evaluator import EvaluatesElsewhere
from activityctl.domain.cel.field_path import MISSING, FieldPath, Missing, is_exact_number, value_at
from activityctl.domain.events.parts import Event
from activityctl.domain.values.model import JsonValue
from activityctl.errors import ExpressionError

MissingFieldRule = Literal["short form", "filter", "guarded filter"]
"""What a missing field means, by who reads it.

- `short form`: the event does not match.
- `filter`: the filter fails.
- `guarded filter`: a `has` of the same field guards the filter. If only the field is missing, the
  event does not match. If its parent is missing too, the filter fails.
"""
Reading = Literal["value", "start", "end", "inside", "items"]
"""What counts of a field: its value, so many characters at its start or end, any text inside of
it, or each item of a list."""

_LONGEST_LIST: Final = 256
_LARGEST_LIST: Final = 1 << 13
"""Characters and values in a list whose items are read; a longer one is tried on every listener."""


class IndexedField(NamedTuple):
    """A field of the event, or an expression over the event, and what of it counts."""

    path: FieldPath
    """The path below `event`; for an expression, only its text."""
    missing_rule: MissingFieldRule
    reading: Reading = "value"
    length: int = 0
    """How many characters at the start or end count."""
    item: FieldPath = ()
    """The path of the value in each item."""
    is_expression: bool = False

    @property
    def has_many_keys(self) -> bool:
        """Whether one event has many keys of it."""
        return self.reading in {"inside", "items"}


UNINDEXABLE: Final = object()
"""The key of lists, maps and large numbers. With it an event is tried on every listener."""
MISSING_IN_MAP: Final = object()
"""The key of a field that is missing while its parent map is present."""
NO_KEYS: Final = frozenset({MISSING, MISSING_IN_MAP, UNINDEXABLE})
"""The keys that say "not known"."""

EventKey: TypeAlias = Hashable
"""One of NO_KEYS or a scalar; for `inside` the whole text, for `items` the frozenset of keys."""


class EventKeys:
    """The keys of one event; each is read once."""

    def __init__(self, event: Event) -> None:
        self.event = event
        self._keys: dict[IndexedField, EventKey] = {}

    def key(self, field: IndexedField) -> EventKey:
        """Return the event's key of a field, as `index_key` does."""
        if field not in self._keys:
            self._keys[field] = index_key(self.event, field)
        return self._keys[field]


def index_key(event: Event, field: IndexedField) -> EventKey:
    """Return the event's key of a field; without one UNINDEXABLE, MISSING_IN_MAP or MISSING."""
    if field.is_expression:
        value = expression_value(field.path[0], event, otherwise=UNINDEXABLE)
    else:
        value = value_at(event, field.path)
    if isinstance(value, Missing):
        has_parent = isinstance(value_at(event, field.path[:-1]), Mapping)
        return MISSING_IN_MAP if has_parent else MISSING
    if field.reading == "value":
        return scalar_key(value)
    if field.reading == "items":
        return _item_keys(value, field.item)
    return _text_key(value, field) if isinstance(value, str) else MISSING


def _text_key(text: str, field: IndexedField) -> str:
    match field.reading:
        case "start":
            return text[: field.length]
        case "end":
            return text[-field.length :]
        case _:
            return text


def scalar_key(value: Any) -> Hashable:
    """Return a key that is equal for values that CEL calls equal; UNINDEXABLE for other types."""
    is_indexable = value is None or isinstance(value, bool | str) or is_exact_number(value)
    return value if is_indexable else UNINDEXABLE


def _item_keys(value: Any, path: FieldPath) -> EventKey:
    """Return the keys of all items of a list; UNINDEXABLE if one of them has no key."""
    if not isinstance(value, list) or len(value) > _LONGEST_LIST:
        return UNINDEXABLE
    size = Size(most=_LARGEST_LIST)
    try:
        items: list[JsonValue] = to_cel(value, None, size)
    except (ExpressionError, EvaluatesElsewhere):
        return UNINDEXABLE
    if size.text > _LARGEST_LIST:
        return UNINDEXABLE
    keys = frozenset(scalar_key(_value_in(item, path)) for item in items)
    return UNINDEXABLE if UNINDEXABLE in keys or MISSING in keys else keys


def _value_in(item: Any, path: FieldPath) -> Any:
    for name in path:
        if not isinstance(item, dict) or name not in item:
            return MISSING
        item = item[name]
    return item
