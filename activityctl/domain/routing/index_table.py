"""Lookup tables and buckets of the index: find listeners, by number, by the keys of an event.

A table returns every listener that may match or whose filter may fail, and some others.
"""

import functools
import itertools
import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, Final, Protocol

from activityctl.domain.cel.bound_event import to_cel_event
from activityctl.domain.cel.field_path import MISSING
from activityctl.domain.events.parts import Event, FilterPart, Part
from activityctl.domain.routing.index_fields import (
    MISSING_IN_MAP,
    NO_KEYS,
    EventKeys,
    IndexedField,
)
from activityctl.domain.routing.index_keys import Alternatives, KeyCondition
from activityctl.domain.routing.index_prefilter import Conditions, PrefilterSet, build_prefilters
from activityctl.domain.routing.index_substrings import Substrings
from activityctl.domain.values.model import JsonValue

_MOST_KEYS: Final = 64
"""Key combinations of one listener in a table; with more, its longest lists are left out."""
_MIN_FOR_PREFILTERS: Final = 8
"""Fewer listeners are decided faster than a prefilter is compiled."""

IndexRow = tuple[Sequence[Part], Mapping[str, JsonValue]]
"""The pattern parts and the params of a listener."""


class Choice(Protocol):
    """Buckets, chosen by the last key of an event."""

    def of(self, key: Any) -> "Iterable[Bucket]":
        """Return the buckets that a key of the event leads to."""
        ...


class _ByItem:
    """Buckets by the value that an item of a list must have."""

    def __init__(self, buckets: "Mapping[Any, Bucket]") -> None:
        self._buckets = buckets

    def of(self, key: frozenset[Any]) -> "Iterable[Bucket]":
        """Return the buckets of these values."""
        return [self._buckets[each] for each in key if each in self._buckets]


class _ByText:
    """Buckets by the text that a text must contain."""

    def __init__(self, buckets: "Mapping[str, Bucket]") -> None:
        self._texts = Substrings(buckets)

    def of(self, key: str) -> "Iterable[Bucket]":
        """Return the buckets whose text occurs in this text."""
        return self._texts.inside(key)


class LookupTable:
    """Listeners that have conditions on the same fields, by the keys that they need.

    An event has one key of each field, except of the last one, which may be a text in which others
    are looked for, or the items of a list.
    """

    def __init__(
        self,
        fields: tuple[IndexedField, ...],
        conditions_of: Mapping[int, Sequence[KeyCondition]],
        rows: Sequence[IndexRow],
    ) -> None:
        self._fields = fields
        self._has_choices = bool(fields) and fields[-1].has_many_keys
        numbers: dict[tuple[Hashable, ...], list[int]] = {}
        for number, conditions in conditions_of.items():
            for keys in itertools.product(*(condition.keys for condition in conditions)):
                numbers.setdefault(keys, []).append(number)
        self._buckets = {keys: Bucket(members, rows) for keys, members in numbers.items()}
        self._choices = self._build_choices() if self._has_choices else {}
        self._all = Bucket(list(conditions_of), rows)

    def _build_choices(self) -> dict[tuple[Hashable, ...], Choice]:
        by_last: dict[tuple[Hashable, ...], dict[Any, Bucket]] = {}
        for (*others, last), bucket in self._buckets.items():
            by_last.setdefault(tuple(others), {})[last] = bucket
        kind = _ByText if self._fields[-1].reading == "inside" else _ByItem
        return {keys: kind(buckets) for keys, buckets in by_last.items()}

    def candidates(self, event_keys: EventKeys) -> Iterable[int]:
        """Return the numbers of the listeners that may match or whose filter may fail."""
        keys = tuple(map(event_keys.key, self._fields))
        if any(map(_rules_out, self._fields, keys)):
            return ()
        event = event_keys.event
        if any(key in NO_KEYS for key in keys):
            return self._all.candidates(event)
        if not self._has_choices:
            bucket = self._buckets.get(keys)
            return bucket.candidates(event) if bucket else ()
        choice = self._choices.get(keys[:-1])
        buckets = choice.of(keys[-1]) if choice else ()
        return itertools.chain.from_iterable(bucket.candidates(event) for bucket in buckets)


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
    alternatives_of: Mapping[int, Sequence[Sequence[KeyCondition]]],
) -> tuple[LookupTable, ...]:
    """Return tables that together have these listeners, one table for each set of fields.

    A listener of which one alternative must hold is in a table of each.
    """
    by_fields: dict[tuple[IndexedField, ...], dict[int, Sequence[KeyCondition]]] = {}
    for number in numbers:
        for conditions in alternatives_of[number]:
            fields = tuple(condition.field for condition in conditions)
            by_fields.setdefault(fields, {})[number] = conditions
    return tuple(LookupTable(fields, members, rows) for fields, members in by_fields.items())


def choose_conditions(found: Iterable[Alternatives]) -> tuple[tuple[KeyCondition, ...], ...]:
    """Return the conditions by which a listener is looked up, in the order of a table's fields.

    Returns several lists if one of several must hold. Of conditions for which an event has many
    keys, only one is kept, and of alternatives only the first.
    """
    single: list[KeyCondition] = []
    many: list[KeyCondition] = []
    alternatives: Alternatives = ()
    for conditions in found:
        if len(conditions) > 1:
            alternatives = alternatives or conditions
        else:
            (many if conditions[0].field.has_many_keys else single).extend(conditions)
    if many:
        single.append(max(many, key=_shortest_key))
    elif alternatives:
        return tuple(_limit((*single, alternative)) for alternative in alternatives)
    return (_limit(single),)


def _shortest_key(condition: KeyCondition) -> int:
    return min(len(key) if isinstance(key, str) else 1 for key in condition.keys)


def _limit(conditions: Iterable[KeyCondition]) -> tuple[KeyCondition, ...]:
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
