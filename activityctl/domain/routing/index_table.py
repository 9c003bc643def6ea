"""Lookup tables and buckets of the index: find listeners, by number, by the keys of an event.

A table returns every listener that may match or whose filter may fail, and some others.
"""

import functools
import itertools
import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Final

from activityctl.domain.cel.bound_event import to_cel_event
from activityctl.domain.cel.field_path import MISSING
from activityctl.domain.events.parts import Event, FilterPart, Part
from activityctl.domain.routing.index_keys import (
    MISSING_IN_MAP,
    UNINDEXABLE,
    IndexedField,
    KeyCondition,
    index_key,
)
from activityctl.domain.routing.index_prefilter import Conditions, PrefilterSet, build_prefilters
from activityctl.domain.values.model import JsonValue

_MOST_KEYS: Final = 64
"""Key combinations of one listener in a table; with more, its longest lists are left out."""
_MIN_FOR_PREFILTERS: Final = 8
"""Fewer listeners are decided faster than a prefilter is compiled."""

_NO_VALUES: Final = frozenset({MISSING, MISSING_IN_MAP, UNINDEXABLE})

IndexRow = tuple[Sequence[Part], Mapping[str, JsonValue]]
"""The pattern parts and the params of a listener."""


class EventKeys:
    """The keys of one event; each is read once."""

    def __init__(self, event: Event) -> None:
        self.event = event
        self._keys: dict[IndexedField, Hashable] = {}

    def key(self, field: IndexedField) -> Hashable:
        """Return the event's key of a field, as `index_key` does."""
        if field not in self._keys:
            self._keys[field] = index_key(self.event, field)
        return self._keys[field]


class LookupTable:
    """Listeners that have conditions on the same fields, by the keys that they need."""

    def __init__(
        self,
        fields: tuple[IndexedField, ...],
        conditions_of: Mapping[int, Sequence[KeyCondition]],
        rows: Sequence[IndexRow],
    ) -> None:
        self._fields = fields
        numbers: dict[tuple[Hashable, ...], list[int]] = {}
        for number, conditions in conditions_of.items():
            for keys in itertools.product(*(condition.keys for condition in conditions)):
                numbers.setdefault(keys, []).append(number)
        self._buckets = {keys: Bucket(members, rows) for keys, members in numbers.items()}
        self._all = Bucket(list(conditions_of), rows)

    def candidates(self, event_keys: EventKeys) -> Iterable[int]:
        """Return the numbers of the listeners that may match or whose filter may fail."""
        keys = tuple(map(event_keys.key, self._fields))
        if any(map(_rules_out, self._fields, keys)):
            return ()
        has_all_keys = not any(key in _NO_VALUES for key in keys)
        bucket = self._buckets.get(keys) if has_all_keys else self._all
        return bucket.candidates(event_keys.event) if bucket else ()


def _rules_out(field: IndexedField, key: Hashable) -> bool:
    """Return whether the field is missing in a way that means no match, not a failure."""
    match field.missing_rule:
        case "short form":
            return key is MISSING or key is MISSING_IN_MAP
        case "guarded filter":
            return key is MISSING_IN_MAP
        case "filter":
            return False


def build_lookup_tables(
    numbers: Iterable[int],
    rows: Sequence[IndexRow],
    conditions_of: Mapping[int, Sequence[KeyCondition]],
) -> tuple[LookupTable, ...]:
    """Return tables that together have these listeners, one table for each set of fields."""
    by_fields: dict[tuple[IndexedField, ...], dict[int, Sequence[KeyCondition]]] = {}
    for number in numbers:
        fields = tuple(condition.field for condition in conditions_of[number])
        by_fields.setdefault(fields, {})[number] = conditions_of[number]
    return tuple(LookupTable(fields, members, rows) for fields, members in by_fields.items())


def limit_combinations(conditions: Iterable[KeyCondition]) -> tuple[KeyCondition, ...]:
    """Return the conditions without the longest ones, so that few key combinations remain."""
    kept = list(conditions)
    while math.prod(len(condition.keys) for condition in kept) > _MOST_KEYS:
        kept.remove(max(kept, key=lambda condition: len(condition.keys)))
    return tuple(kept)


class Bucket:
    """Listeners that the keys of an event cannot tell apart."""

    def __init__(self, numbers: Sequence[int], rows: Sequence[IndexRow]) -> None:
        self._numbers = numbers
        self._rows = rows

    def candidates(self, event: Event) -> Iterable[int]:
        """Return the numbers of the listeners that may match or whose filter may fail."""
        if len(self._numbers) < _MIN_FOR_PREFILTERS:
            return self._numbers
        found = self._prefilters
        if not found.prefilters:
            return self._numbers
        cel_event = to_cel_event(
            event, found.reads.get("event", {}), has_patterns=found.has_patterns
        )
        if cel_event is None:  # too large for prefilters
            return self._numbers
        passed = (prefilter.candidates(cel_event) for prefilter in found.prefilters)
        return itertools.chain(found.rest, *passed)

    @functools.cached_property
    def _prefilters(self) -> PrefilterSet:
        by_conditions: dict[Conditions, dict[int, Mapping[str, JsonValue]]] = {}
        for number in self._numbers:
            parts, params = self._rows[number]
            conditions = tuple(part for part in parts if isinstance(part, FilterPart))
            by_conditions.setdefault(conditions, {})[number] = params
        return build_prefilters(by_conditions)
