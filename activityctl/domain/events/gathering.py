"""Gathering: when the events that a trigger waits for make it due; one gathering, no storage.

Time is the arrival of events; a deadline comes before an event that arrives at that moment.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, NamedTuple, Protocol

from activityctl.domain.events.gathering_options import MOST_EVENTS
from activityctl.domain.events.pattern import EventPattern
from activityctl.domain.events.trigger import EventTrigger
from activityctl.domain.values.duration import format_duration
from activityctl.domain.values.ids import EventId, content_hash
from activityctl.domain.values.model import canonical

MOST_BYTES: Final = 8 << 20
"""JSON of the events of a gathering, but for the last; a run sees them all at once."""
_TOO_MANY: Final = f"more than {MOST_EVENTS:,} events or {MOST_BYTES >> 20} MiB wait with it"


@dataclass(frozen=True, slots=True)
class GatheredEvent:
    """An event that waits for others."""

    id: EventId
    arrived_at: datetime
    parts: tuple[str, ...] = ()
    """The names of those that it counts for; of a debounce or batch none."""
    size: int = 0
    """Bytes of its JSON."""


WaitingEvents = tuple[GatheredEvent, ...]
"""In the order of arrival."""


@dataclass(frozen=True, slots=True)
class GatheringFired:
    """The trigger is due, with these events."""

    events: WaitingEvents
    at: datetime


@dataclass(frozen=True, slots=True)
class GatheringDropped:
    """These events lead to no firing."""

    events: WaitingEvents
    reason: str


class GatheringKey(NamedTuple):
    """Whose events wait, and by which value of the trigger's key."""

    subscription_id: str
    trigger: str
    key: str


@dataclass(frozen=True, slots=True)
class Gathering:
    """Events that wait, as they are kept."""

    key: GatheringKey
    form: str
    """The `pattern_hash` the trigger under which they came."""
    events: WaitingEvents
    due_at: datetime
    """When time alone changes it."""


GatheringOutcome = GatheringFired | GatheringDropped
GatheringTransition = tuple[WaitingEvents, list[GatheringOutcome]]
"""What waits then, and what happened on the way, in order."""


class GatheringPolicy(Protocol):
    """What a trigger does with events of one key."""

    def due_at(self, waiting: WaitingEvents) -> datetime | None:
        """Return when time alone changes what waits; None for nothing."""
        ...

    def advance_time(self, waiting: WaitingEvents, until: datetime) -> GatheringTransition:
        """Let time go on; deadlines at that very moment are over."""
        ...

    def add(self, waiting: WaitingEvents, event: GatheredEvent) -> GatheringTransition:
        """Take an event that arrives before the next deadline."""
        ...


def gathering_policy_of(trigger: EventTrigger) -> GatheringPolicy | None:
    """Return what the trigger does with its events; None when each makes it due."""
    names = tuple(trigger.parts)
    if (debounce := trigger.debounce) is not None:
        return DebouncePolicy(debounce.for_, debounce.max)
    if (batch := trigger.batch) is not None:
        return BatchPolicy(batch.size, batch.within)
    if (absence := trigger.absence) is not None:
        return AbsencePolicy(absence.within)
    if trigger.within is None:
        return None
    labels = tuple(_label(name, part) for name, part in trigger.parts.items())
    kind = SequencePolicy if trigger.sequence else AllPolicy
    return kind(names, trigger.within, labels)


def _label(name: str, part: EventPattern) -> str:
    """Return what a part is called: a number is only the place of one without a name."""
    if not name.isdecimal():
        return name
    return " or ".join(part.type or ()) or f"event {name}"


def pattern_hash(trigger: EventTrigger) -> str:
    """Return what events that wait depend on; they outlive changes of all else, as of durations."""
    parts = {name: canonical(part) for name, part in trigger.parts.items()}
    return content_hash({"form": trigger.form, "key": trigger.gathering_key, "parts": parts})


def add_event(
    rule: GatheringPolicy, waiting: WaitingEvents, event: GatheredEvent
) -> GatheringTransition:
    """Let time go on to the event's arrival, and take it; it counts as no older than the last."""
    waiting, before = rule.advance_time(waiting, event.arrived_at)
    latest = max((event.arrived_at, *(one.arrived_at for one in waiting[-1:])))
    waiting, after = rule.add(waiting, replace(event, arrived_at=latest))
    return waiting, before + after


@dataclass(frozen=True, slots=True)
class DebouncePolicy:
    """Due when nothing more has come for `quiet`, at most `longest` after the first."""

    quiet: timedelta
    longest: timedelta | None

    def due_at(self, waiting: WaitingEvents) -> datetime | None:
        """Return when it is quiet enough, or has waited long enough."""
        if not waiting:
            return None
        quiet_at = waiting[-1].arrived_at + self.quiet
        return quiet_at if self.longest is None else min(quiet_at, _after(waiting, self.longest))

    def advance_time(self, waiting: WaitingEvents, until: datetime) -> GatheringTransition:
        """Fire once that is over."""
        return _fire_when_due(waiting, self.due_at(waiting), until)

    def add(self, waiting: WaitingEvents, event: GatheredEvent) -> GatheringTransition:
        """Merge the event with those that wait."""
        return _fire_when_full((*waiting, event), MOST_EVENTS)


@dataclass(frozen=True, slots=True)
class BatchPolicy:
    """Due when `size` events have come, or `within` after the first."""

    size: int
    within: timedelta

    def due_at(self, waiting: WaitingEvents) -> datetime | None:
        """Return when the first has waited long enough."""
        return _after(waiting, self.within) if waiting else None

    def advance_time(self, waiting: WaitingEvents, until: datetime) -> GatheringTransition:
        """Fire once that is over."""
        return _fire_when_due(waiting, self.due_at(waiting), until)

    def add(self, waiting: WaitingEvents, event: GatheredEvent) -> GatheringTransition:
        """Add the event to those that wait."""
        return _fire_when_full((*waiting, event), self.size)


@dataclass(frozen=True, slots=True)
class AllPolicy:
    """Due when the events of the last `within` cover every part; those are then used up."""

    parts: tuple[str, ...]
    within: timedelta
    labels: tuple[str, ...] = ()
    """What each part is called, when not by its name."""

    def due_at(self, waiting: WaitingEvents) -> datetime | None:
        """Return when the oldest is too old."""
        return _after(waiting, self.within) if waiting else None

    def advance_time(self, waiting: WaitingEvents, until: datetime) -> GatheringTransition:
        """Drop what is too old; the others wait on."""
        steps: list[GatheringOutcome] = []
        while waiting and _after(waiting, self.within) <= until:
            missing = _labels(self, self._missing(waiting))
            steps.append(GatheringDropped(waiting[:1], _lacking(missing, self.within)))
            waiting = waiting[1:]
        return waiting, steps

    def add(self, waiting: WaitingEvents, event: GatheredEvent) -> GatheringTransition:
        """Add the event; fire when nothing is missing any more."""
        waiting = (*waiting, event)
        if not self._missing(waiting):
            return (), [GatheringFired(waiting, event.arrived_at)]
        steps: list[GatheringOutcome] = []
        while _is_full(waiting, MOST_EVENTS + 1):
            steps.append(GatheringDropped(waiting[:1], _TOO_MANY))
            waiting = waiting[1:]
        return waiting, steps

    def _missing(self, waiting: WaitingEvents) -> tuple[str, ...]:
        seen = {part for event in waiting for part in event.parts}
        return tuple(part for part in self.parts if part not in seen)


@dataclass(frozen=True, slots=True)
class SequencePolicy:
    """Due when the events of the last `within` have the parts in order; all those are used up.

    The first that waits is always one of the first part. An event takes one step at most; one
    for which it is too early is dropped, whatever may still come.
    """

    parts: tuple[str, ...]
    within: timedelta
    labels: tuple[str, ...] = ()
    """What each part is called, when not by its name."""

    def due_at(self, waiting: WaitingEvents) -> datetime | None:
        """Return when the oldest is too old."""
        return _after(waiting, self.within) if waiting else None

    def advance_time(self, waiting: WaitingEvents, until: datetime) -> GatheringTransition:
        """Drop what is too old; the others wait on, from the next of the first part."""
        steps: list[GatheringOutcome] = []
        while waiting and _after(waiting, self.within) <= until:
            lacking = _labels(self, self.parts[self._taken(waiting) :][:1])
            waiting, dropped = self._without_first(waiting)
            steps.append(GatheringDropped(dropped, _lacking(lacking, self.within)))
        return waiting, steps

    def add(self, waiting: WaitingEvents, event: GatheredEvent) -> GatheringTransition:
        """Add the event when its turn has come; fire when it was the last one's."""
        if not self._can_advance(waiting, event):
            (missing,) = _labels(self, self.parts[self._taken(waiting) :][:1])
            return waiting, [
                GatheringDropped((event,), f"out of order: {missing} has not come before it")
            ]
        waiting = (*waiting, event)
        if self._taken(waiting) == len(self.parts):
            return (), [GatheringFired(waiting, event.arrived_at)]
        steps: list[GatheringOutcome] = []
        while _is_full(waiting, MOST_EVENTS + 1):
            waiting, dropped = self._without_first(waiting)
            steps.append(GatheringDropped(dropped, _TOO_MANY))
        return waiting, steps

    def _without_first(self, waiting: WaitingEvents) -> tuple[WaitingEvents, WaitingEvents]:
        """Return what of the rest can still be of use, from the next of the first part; what not.

        The rest cannot make it due: with the first before it, it would have before.
        """
        kept: WaitingEvents = ()
        for event in waiting[1:]:
            if self._can_advance(kept, event):
                kept = (*kept, event)
        chosen = {event.id for event in kept}
        return kept, tuple(event for event in waiting if event.id not in chosen)

    def _can_advance(self, waiting: WaitingEvents, event: GatheredEvent) -> bool:
        """Whether it is the next, or may be once what waits is too old."""
        return not set(event.parts).isdisjoint(self.parts[: self._taken(waiting) + 1])

    def _taken(self, waiting: WaitingEvents) -> int:
        """Count the parts that have come in order."""
        taken = 0
        for event in waiting:
            if taken < len(self.parts) and self.parts[taken] in event.parts:
                taken += 1
        return taken


@dataclass(frozen=True, slots=True)
class AbsencePolicy:
    """Due for each `after` that no `of` follows within the time."""

    within: timedelta

    def due_at(self, waiting: WaitingEvents) -> datetime | None:
        """Return when the oldest has waited long enough."""
        return _after(waiting, self.within) if waiting else None

    def advance_time(self, waiting: WaitingEvents, until: datetime) -> GatheringTransition:
        """Fire for each that has waited long enough."""
        steps: list[GatheringOutcome] = []
        while waiting and (due := _after(waiting, self.within)) <= until:
            steps.append(GatheringFired(waiting[:1], due))
            waiting = waiting[1:]
        return waiting, steps

    def add(self, waiting: WaitingEvents, event: GatheredEvent) -> GatheringTransition:
        """End the wait when it is what should come; begin one when it is what to wait after."""
        steps: list[GatheringOutcome] = []
        if "of" in event.parts:
            if waiting:
                steps.append(
                    GatheringDropped(waiting, f"what should follow came: event {event.id}")
                )
            elif "after" not in event.parts:
                steps.append(GatheringDropped((event,), "nothing waits for it"))
            if waiting and "after" not in event.parts:
                steps.append(GatheringDropped((event,), "it came in time"))
            waiting = ()
        if "after" not in event.parts:
            return waiting, steps
        if len(waiting) >= MOST_EVENTS:
            return waiting, [
                *steps,
                GatheringDropped((event,), f"{MOST_EVENTS:,} events wait already"),
            ]
        return (*waiting, event), steps


def _after(waiting: WaitingEvents, duration: timedelta) -> datetime:
    return waiting[0].arrived_at + duration


def _fire_when_due(
    waiting: WaitingEvents, due: datetime | None, until: datetime
) -> GatheringTransition:
    return (waiting, []) if due is None or due > until else ((), [GatheringFired(waiting, due)])


def _fire_when_full(waiting: WaitingEvents, most: int) -> GatheringTransition:
    is_full = _is_full(waiting, most)
    return ((), [GatheringFired(waiting, waiting[-1].arrived_at)]) if is_full else (waiting, [])


def _is_full(waiting: WaitingEvents, most: int) -> bool:
    return len(waiting) >= most or sum(event.size for event in waiting) >= MOST_BYTES


def _labels(rule: AllPolicy | SequencePolicy, parts: Sequence[str]) -> list[str]:
    named = dict(zip(rule.parts, rule.labels or rule.parts, strict=True))
    return [named[part] for part in parts]


def _lacking(parts: Sequence[str], within: timedelta) -> str:
    return f"{' and '.join(parts)} did not come within {format_duration(within)}"
