"""What changed event triggers mean for events of the past, counted, with those that differ.

Which triggers change is `trigger_change`'s, reading the events `operations.plan_against`'s.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from activityctl.domain.events.parts import Event
from activityctl.domain.events.query import EventQuery
from activityctl.domain.events.stored_event import ArrivedEvent
from activityctl.domain.gitops.trigger_change import TriggerChange, TriggerKey
from activityctl.domain.routing.index import EventIndex, FilterFailed, Listener
from activityctl.domain.routing.match_explanation import (
    ClauseResult,
    MatchExplanation,
    Operand,
    explain_match,
)
from activityctl.domain.values.json_form import View, format_timestamp

SHOWN_EVENTS: Final = 5
"""Differing events that are told in full, of a trigger and in each direction."""


@dataclass(frozen=True, slots=True)
class DifferingEvent:
    """An event that matches on one side of the change alone."""

    event: ArrivedEvent
    matches_after: bool
    deciding_clause: ClauseResult | None
    """The first part that does not hold on the other side; None when there is no other side."""


@dataclass(frozen=True, slots=True)
class TriggerImpact:
    """How many events a changed trigger matched, would match, and which differ."""

    change: TriggerChange
    before: int = 0
    after: int = 0
    gained: int = 0
    lost: int = 0
    errors_before: int = 0
    """Events on which the filter could not be evaluated."""
    errors_after: int = 0
    differing: tuple[DifferingEvent, ...] = ()
    """The newest, at most SHOWN_EVENTS gained and as many lost."""


@dataclass(frozen=True, slots=True)
class EventImpact:
    """What the plan means for the events of a stretch of time."""

    span: str
    """As it was asked for."""
    stretch: EventQuery
    total: int
    """Events of the stretch; of the types and sources alone that the triggers want."""
    read: int
    """How many of them, the newest, were held against the triggers."""
    triggers: tuple[TriggerImpact, ...]


@dataclass(slots=True)
class _TriggerCounts:
    """What has been counted of one trigger so far."""

    change: TriggerChange
    before: int = 0
    after: int = 0
    errors_before: int = 0
    errors_after: int = 0
    gained: int = 0
    lost: int = 0
    differing: list[DifferingEvent] = field(default_factory=list)

    def count(self, event: ArrivedEvent, *, old: bool | None, new: bool | None) -> None:
        """Add an event; None stands for a filter that failed, which is no match."""
        self.before += old is True
        self.after += new is True
        self.errors_before += old is None
        self.errors_after += new is None
        if (old is True) == (new is True):
            return
        number = self.lost if old is True else self.gained
        if number < SHOWN_EVENTS:
            self.differing.append(_differing(self.change, event, matches_after=new is True))
        self.gained += new is True
        self.lost += old is True

    def impact(self) -> TriggerImpact:
        """Return what was counted."""
        return TriggerImpact(
            self.change,
            self.before,
            self.after,
            self.gained,
            self.lost,
            self.errors_before,
            self.errors_after,
            tuple(self.differing),
        )


class ImpactCounter:
    """Holds events against triggers as they were and as they will be, the newest first."""

    def __init__(self, changes: Iterable[TriggerChange]) -> None:
        self._tallies = {one.owner: _TriggerCounts(one) for one in changes}
        tallies = self._tallies.values()
        self._old = EventIndex(_each_part(one.change.before for one in tallies))
        self._new = EventIndex(_each_part(one.change.after for one in tallies))

    def look_at(self, event: ArrivedEvent) -> None:
        """Count one event."""
        old, new = (
            _matches_by_trigger(self._old, event.document),
            _matches_by_trigger(self._new, event.document),
        )
        for owner in old.keys() | new.keys():
            self._tallies[owner].count(event, old=old.get(owner, False), new=new.get(owner, False))

    def impacts(self) -> tuple[TriggerImpact, ...]:
        """Return what has been counted, in the order of the changes."""
        return tuple(one.impact() for one in self._tallies.values())


def _each_part(listeners: Iterable[Listener | None]) -> list[Listener]:
    return [part for one in listeners if one is not None for part in one.each_part()]


def _matches_by_trigger(index: EventIndex, event: Event) -> dict[TriggerKey, bool | None]:
    found: dict[TriggerKey, bool | None] = {}
    for one in index.matches(event):
        owner = (one.listener.subscription, one.listener.trigger)
        found[owner] = found.get(owner) or (None if isinstance(one, FilterFailed) else True)
    return found


def _differing(
    change: TriggerChange, event: ArrivedEvent, *, matches_after: bool
) -> DifferingEvent:
    other = change.before if matches_after else change.after
    if other is None:
        return DifferingEvent(event, matches_after, None)
    found = (explain_match(one.pattern, one.params, event.document) for one in other.each_part())
    closest = min(found, key=lambda one: sum(part.holds is not True for part in one.parts))
    return DifferingEvent(event, matches_after, _decider(closest))


def _decider(found: MatchExplanation) -> ClauseResult | None:
    failing = [part for part in found.parts if part.holds is not True]
    return min(failing, key=lambda part: part.holds is None, default=None)


def impact_view(impact: EventImpact) -> View:
    """Return the whole as JSON, as it stands in a plan under `againstEvents`."""
    return {
        "span": impact.span,
        "since": format_timestamp(impact.stretch.since),
        "until": format_timestamp(impact.stretch.until),
        "types": list(impact.stretch.types),
        "sources": list(impact.stretch.sources),
        "events": impact.total,
        "read": impact.read,
        "isCut": impact.read < impact.total,
        "triggers": [_trigger_view(one) for one in impact.triggers],
    }


def _trigger_view(one: TriggerImpact) -> View:
    return {
        "subscription": one.change.subscription,
        "trigger": one.change.trigger,
        "action": one.change.action,
        "before": one.before,
        "after": one.after,
        "gained": one.gained,
        "lost": one.lost,
        "errorsBefore": one.errors_before,
        "errorsAfter": one.errors_after,
        "differing": [_differing_view(event) for event in one.differing],
    }


def _differing_view(one: DifferingEvent) -> View:
    document, decider = one.event.document, one.deciding_clause
    operands = list(_looked_at(decider)) if decider else []
    return {
        "uid": one.event.id,
        "id": document["id"],
        "source": document["source"],
        "type": document["type"],
        "arrivedAt": format_timestamp(one.event.arrived_at),
        "matchesAfter": one.matches_after,
        "decidedBy": decider.text if decider else None,
        "holds": decider.holds if decider else None,
        "operands": [{"text": o.text, "value": o.value, "error": o.error} for o in operands],
    }


def _looked_at(clause: ClauseResult) -> Iterable[Operand]:
    """Return every value that the part looked at, each once."""
    inner = [one for child in clause.clauses for one in _looked_at(child)]
    return {one.text: one for one in (*clause.operands, *inner)}.values()
