"""Counts which past events match changed event triggers before and after a plan.

The changed triggers are found in `trigger_change.py`. Events are read elsewhere.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from activityctl.domain.events.parts import Event
from activityctl.domain.events.query import EventQuery
from activityctl.domain.events.stored_event import ArrivedEvent
from activityctl.domain.gitops.trigger_change import TriggerChange
from activityctl.domain.routing.index import EventIndex, FilterFailed, Listener
from activityctl.domain.routing.match_explanation import (
    ClauseResult,
    MatchExplanation,
    Operand,
    explain_match,
)
from activityctl.domain.routing.trigger_match import TriggerKey
from activityctl.domain.values.json_form import View, format_timestamp
from activityctl.frozen_dataclass import frozen_dataclass

SHOWN_EVENTS: Final = 5
"""Differing events that are shown in full for each trigger, gained and lost counted apart."""


@frozen_dataclass
class DifferingEvent:
    """An event that matches either before or after the change, but not both."""

    event: ArrivedEvent
    matches_after: bool
    deciding_clause: ClauseResult | None
    """The first part that does not hold on the other side; None if the trigger is not there."""


@frozen_dataclass
class TriggerImpact:
    """How many events a changed trigger matches before and after, and which events differ."""

    change: TriggerChange
    before: int = 0
    after: int = 0
    gained: int = 0
    lost: int = 0
    errors_before: int = 0
    """Events for which the filter could not be evaluated."""
    errors_after: int = 0
    differing: tuple[DifferingEvent, ...] = ()
    """The newest, at most SHOWN_EVENTS gained and as many lost."""


@frozen_dataclass
class EventImpact:
    """The effect of the plan on the events of a time range."""

    span: str
    """The length of the time range, as the user wrote it."""
    stretch: EventQuery
    total: int
    """Events of the time range that have a type and source of the triggers."""
    read: int
    """How many of them were matched against the triggers; the newest ones."""
    triggers: tuple[TriggerImpact, ...]


@dataclass(slots=True)
class _TriggerCounts:
    """The counts of one trigger so far."""

    change: TriggerChange
    before: int = 0
    after: int = 0
    errors_before: int = 0
    errors_after: int = 0
    gained: int = 0
    lost: int = 0
    differing: list[DifferingEvent] = field(default_factory=list)

    def count(self, event: ArrivedEvent, *, old: bool | None, new: bool | None) -> None:
        """Count an event. None means that the filter failed, which is no match."""
        self.before += old is True
        self.after += new is True
        self.errors_before += old is None
        self.errors_after += new is None
        if (old is True) == (new is True):
            return
        number = self.lost if old is True else self.gained
        if number < SHOWN_EVENTS:
            self.differing.append(_differing_event(self.change, event, matches_after=new is True))
        self.gained += new is True
        self.lost += old is True

    def impact(self) -> TriggerImpact:
        """Return the counts."""
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
    """Matches events, the newest first, against triggers as they are before and after the plan."""

    def __init__(self, changes: Iterable[TriggerChange]) -> None:
        self._counts = {change.owner: _TriggerCounts(change) for change in changes}
        counts = self._counts.values()
        self._old = EventIndex(_each_part(count.change.before for count in counts))
        self._new = EventIndex(_each_part(count.change.after for count in counts))

    def look_at(self, event: ArrivedEvent) -> None:
        """Count one event."""
        old, new = (
            _matches_by_trigger(self._old, event.document),
            _matches_by_trigger(self._new, event.document),
        )
        for owner in old.keys() | new.keys():
            self._counts[owner].count(event, old=old.get(owner, False), new=new.get(owner, False))

    def impacts(self) -> tuple[TriggerImpact, ...]:
        """Return the counts, in the order of the changes."""
        return tuple(count.impact() for count in self._counts.values())


def _each_part(listeners: Iterable[Listener | None]) -> list[Listener]:
    return [part for listener in listeners if listener is not None for part in listener.each_part()]


def _matches_by_trigger(index: EventIndex, event: Event) -> dict[TriggerKey, bool | None]:
    found: dict[TriggerKey, bool | None] = {}
    for result in index.matches(event):
        owner = (result.listener.subscription, result.listener.trigger)
        found[owner] = found.get(owner) or (None if isinstance(result, FilterFailed) else True)
    return found


def _differing_event(
    change: TriggerChange, event: ArrivedEvent, *, matches_after: bool
) -> DifferingEvent:
    other = change.before if matches_after else change.after
    if other is None:
        return DifferingEvent(event, matches_after, None)
    explanations = (
        explain_match(part.pattern, part.params, event.document) for part in other.each_part()
    )
    closest = min(
        explanations,
        key=lambda explanation: sum(part.holds is not True for part in explanation.parts),
    )
    return DifferingEvent(event, matches_after, _deciding_clause(closest))


def _deciding_clause(explanation: MatchExplanation) -> ClauseResult | None:
    """Return the first part that is false; if none is, the first that could not be evaluated."""
    failing = [part for part in explanation.parts if part.holds is not True]
    return min(failing, key=lambda part: part.holds is None, default=None)


def impact_view(impact: EventImpact) -> View:
    """Return the JSON view; a plan has it under `againstEvents`."""
    return {
        "span": impact.span,
        "since": format_timestamp(impact.stretch.since),
        "until": format_timestamp(impact.stretch.until),
        "types": list(impact.stretch.types),
        "sources": list(impact.stretch.sources),
        "events": impact.total,
        "read": impact.read,
        "isCut": impact.read < impact.total,
        "triggers": [_trigger_view(trigger) for trigger in impact.triggers],
    }


def _trigger_view(impact: TriggerImpact) -> View:
    return {
        "subscription": impact.change.subscription,
        "trigger": impact.change.trigger,
        "action": impact.change.action,
        "before": impact.before,
        "after": impact.after,
        "gained": impact.gained,
        "lost": impact.lost,
        "errorsBefore": impact.errors_before,
        "errorsAfter": impact.errors_after,
        "differing": [_differing_view(event) for event in impact.differing],
    }


def _differing_view(differing: DifferingEvent) -> View:
    document, clause = differing.event.document, differing.deciding_clause
    operands = list(_all_operands(clause)) if clause else []
    return {
        "uid": differing.event.id,
        "id": document["id"],
        "source": document["source"],
        "type": document["type"],
        "arrivedAt": format_timestamp(differing.event.arrived_at),
        "matchesAfter": differing.matches_after,
        "decidedBy": clause.text if clause else None,
        "holds": clause.holds if clause else None,
        "operands": [
            {"text": operand.text, "value": operand.value, "error": operand.error}
            for operand in operands
        ],
    }


def _all_operands(clause: ClauseResult) -> Iterable[Operand]:
    """Return every value that the part compared, each once."""
    inner = [operand for child in clause.clauses for operand in _all_operands(child)]
    return {operand.text: operand for operand in (*clause.operands, *inner)}.values()
