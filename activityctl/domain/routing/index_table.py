"""Tables and buckets of an index: entries by number, found by an event's keys, then sieved.

A table passes every entry that its event may wake or whose filter may fail, and some others.
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
"""Rows of one entry in a table; where lists multiply to more, a list is left out."""
_WORTH_SIEVING: Final = 8
"""Fewer entries are decided sooner than a sieve is compiled."""

_NO_VALUES: Final = frozenset({MISSING, MISSING_IN_MAP, UNINDEXABLE})

IndexRow = tuple[Sequence[Part], Mapping[str, JsonValue]]
"""The parts of an entry's trigger, and its params."""


class EventKeys:
    """One event being looked up; each of its keys is read once."""

    def __init__(self, event: Event) -> None:
        self.event = event
        self._keys: dict[IndexedField, Hashable] = {}

    def key(self, place: IndexedField) -> Hashable:
        """Return the event's key at a place, as `key_at` does."""
        if place not in self._keys:
            self._keys[place] = index_key(self.event, place)
        return self._keys[place]


class LookupTable:
    """Entries that need something at the same places, by what they need there."""

    def __init__(
        self,
        places: tuple[IndexedField, ...],
        needs: Mapping[int, Sequence[KeyCondition]],
        rows: Sequence[IndexRow],
    ) -> None:
        self._fields = places
        numbers: dict[tuple[Hashable, ...], list[int]] = {}
        for number, wanted in needs.items():
            for keys in itertools.product(*(need.keys for need in wanted)):
                numbers.setdefault(keys, []).append(number)
        self._buckets = {keys: Bucket(some, rows) for keys, some in numbers.items()}
        self._all = Bucket(list(needs), rows)

    def candidates(self, look: EventKeys) -> Iterable[int]:
        """Return the numbers of the entries that the event may wake or fail."""
        keys = tuple(map(look.key, self._fields))
        if any(map(_rules_out, self._fields, keys)):
            return ()
        is_told = not any(key in _NO_VALUES for key in keys)
        bucket = self._buckets.get(keys) if is_told else self._all
        return bucket.candidates(look.event) if bucket else ()


def _rules_out(place: IndexedField, key: Hashable) -> bool:
    """Whether what is not there is no match, rather than a failure."""
    match place.missing_rule:
        case "short form":
            return key is MISSING or key is MISSING_IN_MAP
        case "guarded filter":
            return key is MISSING_IN_MAP
        case "filter":
            return False


def build_lookup_tables(
    numbers: Iterable[int], rows: Sequence[IndexRow], needs: Mapping[int, Sequence[KeyCondition]]
) -> tuple[LookupTable, ...]:
    """Return tables that hold these entries between them."""
    by_places: dict[tuple[IndexedField, ...], dict[int, Sequence[KeyCondition]]] = {}
    for number in numbers:
        places = tuple(need.field for need in needs[number])
        by_places.setdefault(places, {})[number] = needs[number]
    return tuple(LookupTable(places, some, rows) for places, some in by_places.items())


def limit_combinations(needs: Iterable[KeyCondition]) -> tuple[KeyCondition, ...]:
    """Return the needs without those of the longest lists, as far as they multiply too much."""
    kept = list(needs)
    while math.prod(len(need.keys) for need in kept) > _MOST_KEYS:
        kept.remove(max(kept, key=lambda need: len(need.keys)))
    return tuple(kept)


class Bucket:
    """Entries that the keys of an event cannot tell apart."""

    def __init__(self, numbers: Sequence[int], rows: Sequence[IndexRow]) -> None:
        self._numbers = numbers
        self._rows = rows

    def candidates(self, event: Event) -> Iterable[int]:
        """Return the numbers of the entries that the event may wake or fail."""
        if len(self._numbers) < _WORTH_SIEVING:
            return self._numbers
        known = self._prefilters
        if (
            not known.prefilters
            or (bound := to_cel_event(event, known.reads.get("event", {}))) is None
        ):
            return self._numbers
        return itertools.chain(known.rest, *(sieve.candidates(bound) for sieve in known.prefilters))

    @functools.cached_property
    def _prefilters(self) -> PrefilterSet:
        by_conditions: dict[Conditions, dict[int, Mapping[str, JsonValue]]] = {}
        for number in self._numbers:
            parts, params = self._rows[number]
            conditions = tuple(part for part in parts if isinstance(part, FilterPart))
            by_conditions.setdefault(conditions, {})[number] = params
        return build_prefilters(by_conditions)
