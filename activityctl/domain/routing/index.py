"""Index: the triggers of thousands of subscriptions, of which few are tried on each event.

First by exact type, then by tables for the values that entries need, then, where many entries
are left, by sieves of their filters. What is left is decided by `matching`, so the result is
that of deciding one by one.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from activityctl.domain.events.parts import ANY, Event, Part, PatternPart, pattern_parts
from activityctl.domain.events.pattern import EventPattern
from activityctl.domain.events.trigger import EventTrigger
from activityctl.domain.routing.index_keys import IndexedField, key_conditions
from activityctl.domain.routing.index_table import (
    EventKeys,
    IndexRow,
    build_lookup_tables,
    limit_combinations,
)
from activityctl.domain.routing.matching import Match, match_parts
from activityctl.domain.values.model import JsonValue

_TYPE: Final = IndexedField(("type",), None, "short form")


@dataclass(frozen=True, slots=True)
class Listener:
    """An event trigger of a subscription, or one of the events that it waits for."""

    subscription: str
    trigger: str
    """The trigger's name in its definition."""
    event: EventTrigger
    params: Mapping[str, JsonValue]
    """The subscription's, defaults filled in."""
    concurrency_key: str | None = None
    """The template of the definition's concurrency key, unrendered."""
    part: str | None = None
    """Which of the events that the trigger waits for; None when its own pattern says it all."""
    fault: str | None = None
    """Why the trigger as stored cannot be read; `event` then tells its types alone, as far as
    they can be told, and no event matches."""

    @property
    def pattern(self) -> EventPattern:
        """What an event must be for this entry."""
        return self.event if self.part is None else self.event.parts[self.part]

    def each_part(self) -> "tuple[Listener, ...]":
        """Return the entries of the whole trigger: one for each event that it waits for."""
        return tuple(replace(self, part=name) for name in self.event.parts) or (self,)


@dataclass(frozen=True, slots=True)
class Matched:
    """The event wakes this entry."""

    listener: Listener


@dataclass(frozen=True, slots=True)
class FilterFailed:
    """The event does not wake this entry: its filter fails on it, or the trigger has a fault."""

    listener: Listener
    reason: str


def match_listener(listener: Listener, event: Event) -> Match:
    """Decide whether the event wakes the entry, as an index does for many."""
    return _match(listener, pattern_parts(listener.pattern), event)


def _match(listener: Listener, parts: Sequence[Part], event: Event) -> Match:
    found = match_parts(parts, listener.params, event)
    if listener.fault is None or not found.matched:
        return found
    return Match(matched=False, reason=listener.fault, parts=found.parts)


class EventIndex:
    """Listeners, found by the events that may wake them; built in one go, never changed."""

    def __init__(self, entries: Iterable[Listener]) -> None:
        self._listeners = tuple(entries)
        self._rows: list[IndexRow] = [
            (pattern_parts(one.pattern), one.params) for one in self._listeners
        ]
        by_type: dict[str | None, list[int]] = {}
        needs = {}
        for number, (parts, params) in enumerate(self._rows):
            types = _exact_types(parts)
            found = (
                need for need in key_conditions(parts, params) if not types or need.field != _TYPE
            )
            needs[number] = limit_combinations(found)
            for name in types or (None,):
                by_type.setdefault(name, []).append(number)
        self._tables = {
            name: build_lookup_tables(numbers, self._rows, needs)
            for name, numbers in by_type.items()
        }

    def __len__(self) -> int:
        return len(self._listeners)

    def candidates(self, event: Event) -> Iterator[Listener]:
        """Yield, in the order given, all that the event may wake or whose filter may fail."""
        return (self._listeners[number] for number in self._candidates(event))

    def matches(self, event: Event) -> list[Matched | FilterFailed]:
        """Return, in the order given, what the event wakes and whose filter fails on it."""
        found: list[Matched | FilterFailed] = []
        for number in self._candidates(event):
            entry = self._listeners[number]
            verdict = _match(entry, self._rows[number][0], event)
            if verdict.matched:
                found.append(Matched(entry))
            elif verdict.has_failed:
                found.append(FilterFailed(entry, verdict.reason or ""))
        return found

    def _candidates(self, event: Event) -> list[int]:
        look = EventKeys(event)
        tables = (*self._tables.get(event.get("type"), ()), *self._tables.get(None, ()))
        return sorted({number for table in tables for number in table.candidates(look)})


def _exact_types(parts: Sequence[Part]) -> tuple[str, ...]:
    """Return the types that the entry takes; empty when it names none, or a pattern."""
    for part in parts:
        if isinstance(part, PatternPart) and part.attribute == "type":
            is_exact = not any(ANY in pattern for pattern in part.patterns)
            return part.patterns if is_exact else ()
    return ()
