"""Gathering: decides when the events of one trigger and key make the trigger due.

Storage is elsewhere. Time is the arrival time of events. A deadline comes before an event that
arrives at the same moment.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final, NamedTuple, Protocol

from activityctl.domain.events.gathering_options import MOST_EVENTS
from activityctl.domain.events.pattern import EventPattern
from activityctl.domain.events.trigger import EventTrigger
from activityctl.domain.values.duration import format_duration
from activityctl.domain.values.ids import EventId, content_hash
from activityctl.domain.values.model import canonical
from activityctl.frozen_dataclass import frozen_dataclass

MOST_BYTES: Final = 8 << 20
"""Maximum size of the JSON of a gathering's events, except the last one; a run sees all."""
_TOO_MANY: Final = (
    f"the gathering has more than {MOST_EVENTS:,} events or {MOST_BYTES >> 20} MiB, "
    "so the oldest events were dropped"
)


@frozen_dataclass
class GatheredEvent:
    """An event that waits for others."""

    id: EventId
    arrived_at: datetime
    parts: tuple[str, ...] = ()
    """The names of the trigger's parts that it matches; empty for debounce and batch."""
    size: int = 0
    """The size of its JSON in bytes."""


WaitingEvents = tuple[GatheredEvent, ...]
"""The events of one gathering, in the order of arrival."""


@frozen_dataclass
class GatheringFired:
    """The trigger is due, with these events."""

    events: WaitingEvents
    at: datetime


@frozen_dataclass
class GatheringDropped:
    """These events leave the gathering and lead to no firing."""

    events: WaitingEvents
    reason: str


class GatheringKey(NamedTuple):
    """Identifies a gathering: the trigger, and the value of the trigger's key."""

    subscription_id: str
    trigger: str
    key: str


@frozen_dataclass
class Gathering:
    """Waiting events as they are stored."""

    key: GatheringKey
    form: str
    """The `pattern_hash` of the trigger when the events came."""
    events: WaitingEvents
    due_at: datetime
    """The next deadline: when the gathering changes without a further event."""
    judged_by: str | None = None
    """A hash of the trigger and params that the events match; None if it was not stored."""


GatheringOutcome = GatheringFired | GatheringDropped
GatheringTransition = tuple[WaitingEvents, list[GatheringOutcome]]
"""The events that wait afterwards, and what was fired or dropped, in order."""


class GatheringPolicy(Protocol):
    """The rules of a trigger for the events of one key."""

    def due_at(self, waiting: WaitingEvents) -> datetime | None:
        """Return the next deadline of the waiting events; None if no event waits."""
        ...

    def advance_time(self, waiting: WaitingEvents, until: datetime) -> GatheringTransition:
        """Apply all deadlines up to and including `until`."""
        ...

    def add(self, waiting: WaitingEvents, event: GatheredEvent) -> GatheringTransition:
        """Add an event that arrives before the next deadline."""
        ...


def gathering_policy_of(trigger: EventTrigger) -> GatheringPolicy | None:
    """Return the rules of the trigger; None if it starts a run for each event."""
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
    """Return the part's name for people; a part with only a number is called by its types."""
    if not name.isdecimal():
        return name
    return " or ".join(part.type or ()) or f"event {name}"


def pattern_hash(trigger: EventTrigger) -> str:
    """Return a hash of the form, key and parts of the trigger.

    If it changes, the waiting events are dropped. They stay if only other fields change, for
    example a duration.
    """
    parts = {name: canonical(part) for name, part in trigger.parts.items()}
    return content_hash({"form": trigger.form, "key": trigger.gathering_key, "parts": parts})


def add_event(
    policy: GatheringPolicy, waiting: WaitingEvents, event: GatheredEvent
) -> GatheringTransition:
    """Apply the deadlines up to the event's arrival, then add the event.

    An event that arrived before the last waiting event counts as arrived with that one.
    """
    waiting, before = policy.advance_time(waiting, event.arrived_at)
    latest = max((event.arrived_at, *(last.arrived_at for last in waiting[-1:])))
    waiting, after = policy.add(waiting, replace(event, arrived_at=latest))
    return waiting, before + after


@frozen_dataclass
class DebouncePolicy:
    """Fires when no event has come for `quiet`, and at most `longest` after the first event."""

    quiet: timedelta
    longest: timedelta | None

    def due_at(self, waiting: WaitingEvents) -> datetime | None:
        """Return the end of the quiet time or of the longest wait, whichever is earlier."""
        if not waiting:
            return None
        quiet_at = waiting[-1].arrived_at + self.quiet
        return quiet_at if self.longest is None else min(quiet_at, _after(waiting, self.longest))

    def advance_time(self, waiting: WaitingEvents, until: datetime) -> GatheringTransition:
        """Fire if the deadline has passed."""
        return _fire_when_due(waiting, self.due_at(waiting), until)

    def add(self, waiting: WaitingEvents, event: GatheredEvent) -> GatheringTransition:
        """Add the event; fire at once if there are too many events."""
        return _fire_when_full((*waiting, event), MOST_EVENTS)


@frozen_dataclass
class BatchPolicy:
    """Fires when `size` events have come, or `within` after the first event."""

    size: int
    within: timedelta

    def due_at(self, waiting: WaitingEvents) -> datetime | None:
        """Return when the first event has waited for `within`."""
        return _after(waiting, self.within) if waiting else None

    def advance_time(self, waiting: WaitingEvents, until: datetime) -> GatheringTransition:
        """Fire if the deadline has passed."""
        return _fire_when_due(waiting, self.due_at(waiting), until)

    def add(self, waiting: WaitingEvents, event: GatheredEvent) -> GatheringTransition:
        """Add the event; fire if the batch is full."""
        return _fire_when_full((*waiting, event), self.size)


@frozen_dataclass
class AllPolicy:
    """Fires when the events of the last `within` match every part; all of them are used up."""

    parts: tuple[str, ...]
    within: timedelta
    labels: tuple[str, ...] = ()
    """The parts' names for people, in the same order; empty if they are the names."""

    def due_at(self, waiting: WaitingEvents) -> datetime | None:
        """Return when the oldest event becomes too old."""
        return _after(waiting, self.within) if waiting else None

    def advance_time(self, waiting: WaitingEvents, until: datetime) -> GatheringTransition:
        """Drop the events that are too old; the others go on waiting."""
        steps: list[GatheringOutcome] = []
        while waiting and _after(waiting, self.within) <= until:
            missing = _labels(self, self._missing(waiting))
            steps.append(GatheringDropped(waiting[:1], _not_in_time(missing, self.within)))
            waiting = waiting[1:]
        return waiting, steps

    def add(self, waiting: WaitingEvents, event: GatheredEvent) -> GatheringTransition:
        """Add the event; fire if every part has its event."""
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


@frozen_dataclass
class SequencePolicy:
    """Fires when the events of the last `within` match the parts in order; all are used up.

    The first waiting event always matches the first part. An event counts for one part at most.
    An event that comes too early is dropped, whatever comes later.
    """

    parts: tuple[str, ...]
    within: timedelta
    labels: tuple[str, ...] = ()
    """The parts' names for people, in the same order; empty if they are the names."""

    def due_at(self, waiting: WaitingEvents) -> datetime | None:
        """Return when the oldest event becomes too old."""
        return _after(waiting, self.within) if waiting else None

    def advance_time(self, waiting: WaitingEvents, until: datetime) -> GatheringTransition:
        """Drop the events that are too old; the sequence starts again at the next first part."""
        steps: list[GatheringOutcome] = []
        while waiting and _after(waiting, self.within) <= until:
            missing = _labels(self, self._next_part(waiting))
            waiting, dropped = self._without_first(waiting)
            steps.append(GatheringDropped(dropped, _not_in_time(missing, self.within)))
        return waiting, steps

    def add(self, waiting: WaitingEvents, event: GatheredEvent) -> GatheringTransition:
        """Add the event if it is not too early; fire if it completes the sequence."""
        if not self._can_use(waiting, event):
            (missing,) = _labels(self, self._next_part(waiting))
            reason = f"out of order: {missing} has not come before this event"
            return waiting, [GatheringDropped((event,), reason)]
        waiting = (*waiting, event)
        if self._count_done(waiting) == len(self.parts):
            return (), [GatheringFired(waiting, event.arrived_at)]
        steps: list[GatheringOutcome] = []
        while _is_full(waiting, MOST_EVENTS + 1):
            waiting, dropped = self._without_first(waiting)
            steps.append(GatheringDropped(dropped, _TOO_MANY))
        return waiting, steps

    def _without_first(self, waiting: WaitingEvents) -> tuple[WaitingEvents, WaitingEvents]:
        """Return the events that can still be used without the first one, and the dropped ones.

        The kept events begin with the next event of the first part. They cannot complete the
        sequence: together with the first event, they would have completed it before.
        """
        kept: WaitingEvents = ()
        for event in waiting[1:]:
            if self._can_use(kept, event):
                kept = (*kept, event)
        kept_ids = {event.id for event in kept}
        return kept, tuple(event for event in waiting if event.id not in kept_ids)

    def _can_use(self, waiting: WaitingEvents, event: GatheredEvent) -> bool:
        """Whether the event matches the next part, or an earlier part.

        An event of an earlier part can be used once the events before it are too old.
        """
        return not set(event.parts).isdisjoint(self.parts[: self._count_done(waiting) + 1])

    def _next_part(self, waiting: WaitingEvents) -> tuple[str, ...]:
        return self.parts[self._count_done(waiting) :][:1]

    def _count_done(self, waiting: WaitingEvents) -> int:
        """Return how many parts have come in order."""
        done = 0
        for event in waiting:
            if done < len(self.parts) and self.parts[done] in event.parts:
                done += 1
        return done


@frozen_dataclass
class AbsencePolicy:
    """Fires for each `after` event that no `of` event follows within the time."""

    within: timedelta

    def due_at(self, waiting: WaitingEvents) -> datetime | None:
        """Return when the oldest event has waited for `within`."""
        return _after(waiting, self.within) if waiting else None

    def advance_time(self, waiting: WaitingEvents, until: datetime) -> GatheringTransition:
        """Fire for each event that has waited for `within`."""
        steps: list[GatheringOutcome] = []
        while waiting and (due := _after(waiting, self.within)) <= until:
            steps.append(GatheringFired(waiting[:1], due))
            waiting = waiting[1:]
        return waiting, steps

    def add(self, waiting: WaitingEvents, event: GatheredEvent) -> GatheringTransition:
        """End all waits if the event matches `of`; begin a wait if it matches `after`."""
        steps: list[GatheringOutcome] = []
        if "of" in event.parts:
            if waiting:
                steps.append(GatheringDropped(waiting, f"the expected event came: {event.id}"))
            elif "after" not in event.parts:
                steps.append(GatheringDropped((event,), "no event waits for it"))
            if waiting and "after" not in event.parts:
                steps.append(GatheringDropped((event,), "it came in time"))
            waiting = ()
        if "after" not in event.parts:
            return waiting, steps
        if len(waiting) >= MOST_EVENTS:
            return waiting, [
                *steps,
                GatheringDropped((event,), f"{MOST_EVENTS:,} events are already waiting"),
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


def _labels(policy: AllPolicy | SequencePolicy, parts: Sequence[str]) -> list[str]:
    labels = dict(zip(policy.parts, policy.labels or policy.parts, strict=True))
    return [labels[part] for part in parts]


def _not_in_time(parts: Sequence[str], within: timedelta) -> str:
    return f"{' and '.join(parts)} did not come within {format_duration(within)}"
