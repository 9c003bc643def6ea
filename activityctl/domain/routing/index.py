"""EventIndex: finds the listeners that may match an event, without trying all of them.

It looks up the exact type, then the values that listeners need, in tables. Where many listeners
are left, prefilters rule out more. `matching` decides on the rest, so the result is the same as
when every listener is tried.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from activityctl.domain.events.parts import ANY, Event, FilterPart, Part, PatternPart, pattern_parts
from activityctl.domain.events.pattern import EventPattern
from activityctl.domain.events.trigger import EventTrigger
from activityctl.domain.routing.index_fields import EventKeys, IndexedField
from activityctl.domain.routing.index_keys import Alternatives, key_conditions
from activityctl.domain.routing.index_table import (
    IndexRow,
    build_lookup_tables,
    choose_conditions,
)
from activityctl.domain.routing.matching import KnownResults, Match, match_parts
from activityctl.domain.values.ids import RevisionId
from activityctl.domain.values.model import JsonValue
from activityctl.frozen_dataclass import frozen_dataclass

_TYPE: Final = IndexedField(("type",), "short form")
_FEW: Final = 8
"""Fewer listeners with the same expression over the event are found faster without its value."""


@frozen_dataclass
class Listener:
    """An event trigger of a subscription, or one part of it."""

    subscription: str
    trigger: str
    """The trigger's name in its definition."""
    event: EventTrigger
    params: Mapping[str, JsonValue]
    """The subscription's params, with defaults."""
    concurrency_key: str | None = None
    """The template of the definition's concurrency key, not rendered."""
    part: str | None = None
    """The part's name; None for the whole trigger."""
    fault: str | None = None
    """Why the stored trigger cannot be read. No event matches then, and `event` has only its
    types, or any type if these cannot be read either."""
    revision_id: RevisionId | None = None
    """The revision that the trigger is read from; its firings run with it."""

    @property
    def pattern(self) -> EventPattern:
        """The pattern that an event must match."""
        return self.event if self.part is None else self.event.parts[self.part]

    def each_part(self) -> "tuple[Listener, ...]":
        """Return a listener for each part of the trigger; the listener itself when it has none."""
        return tuple(replace(self, part=name) for name in self.event.parts) or (self,)


@frozen_dataclass
class Matched:
    """The event matches this listener."""

    listener: Listener


@frozen_dataclass
class FilterFailed:
    """Whether the event matches cannot be said: the filter failed, or the trigger has a fault."""

    listener: Listener
    reason: str


def match_listener(listener: Listener, event: Event) -> Match:
    """Decide whether the event matches the listener, as the index does for many."""
    return _match(listener, pattern_parts(listener.pattern), event)


def _match(
    listener: Listener, parts: Sequence[Part], event: Event, known: KnownResults | None = None
) -> Match:
    result = match_parts(parts, listener.params, event, known)
    if listener.fault is None or not result.matched:
        return result
    return Match(matched=False, reason=listener.fault, parts=result.parts)


class EventIndex:
    """An index of listeners, for finding those that an event may match. It does not change."""

    def __init__(self, listeners: Iterable[Listener]) -> None:
        self._listeners = tuple(listeners)
        self._rows: list[IndexRow] = [
            (pattern_parts(listener.pattern), listener.params) for listener in self._listeners
        ]
        by_type: dict[str | None, list[int]] = {}
        found = [tuple(key_conditions(*row)) for row in self._rows]
        rare = _rare_expressions(found)
        conditions_of = {}
        for number, (parts, _) in enumerate(self._rows):
            types = _exact_types(parts)
            left_out = {_TYPE, *rare} if types else rare
            conditions_of[number] = choose_conditions(
                alternatives
                for alternatives in found[number]
                if left_out.isdisjoint(condition.field for condition in alternatives)
            )
            for name in types or (None,):
                by_type.setdefault(name, []).append(number)
        self._tables = {
            name: build_lookup_tables(numbers, self._rows, conditions_of)
            for name, numbers in by_type.items()
        }

    def __len__(self) -> int:
        return len(self._listeners)

    def candidates(self, event: Event) -> Iterator[Listener]:
        """Yield the listeners that may match or whose filter may fail, in the order given."""
        return (self._listeners[number] for number in self._candidates(event))

    def matches(self, event: Event) -> list[Matched | FilterFailed]:
        """Return the listeners that match and those whose filter fails, in the order given."""
        found: list[Matched | FilterFailed] = []
        candidates = self._candidates(event)
        known = KnownResults(event) if len(candidates) > 1 else None
        for number in candidates:
            listener = self._listeners[number]
            match = _match(listener, self._rows[number][0], event, known)
            if match.matched:
                found.append(Matched(listener))
            elif match.has_failed:
                found.append(FilterFailed(listener, match.reason or ""))
        return found

    def of_type(self, event: Event) -> Iterator[Listener]:
        """Yield the listeners whose type and other short forms may accept the event.

        No filter is evaluated, so this cannot fail.
        """
        for listener, (parts, _) in zip(self._listeners, self._rows, strict=True):
            if all(part.holds(event) for part in parts if not isinstance(part, FilterPart)):
                yield listener

    def _candidates(self, event: Event) -> list[int]:
        keys = EventKeys(event)
        tables = (*self._tables.get(event.get("type"), ()), *self._tables.get(None, ()))
        return sorted({number for table in tables for number in table.candidates(keys)})


def _rare_expressions(found: Sequence[Sequence[Alternatives]]) -> frozenset[IndexedField]:
    """Return the fields that are expressions which few listeners have in common."""
    counts = Counter(
        condition.field
        for conditions in found
        for alternatives in conditions
        for condition in alternatives
        if condition.field.is_expression
    )
    return frozenset(field for field, count in counts.items() if count < _FEW)


def _exact_types(parts: Sequence[Part]) -> tuple[str, ...]:
    """Return the exact types of a listener; empty when it names no type, or a pattern."""
    for part in parts:
        if isinstance(part, PatternPart) and part.attribute == "type":
            is_exact = not any(ANY in pattern for pattern in part.patterns)
            return part.patterns if is_exact else ()
    return ()
