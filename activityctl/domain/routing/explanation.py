"""What each trigger makes of one event, part by part, and how that looks as JSON."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from activityctl.domain.events.parts import Event
from activityctl.domain.events.trigger import Form
from activityctl.domain.manifests.subscription import Subscription, SubscriptionStatus
from activityctl.domain.routing.index import Listener, match_listener
from activityctl.domain.routing.match_explanation import (
    ClauseResult,
    MatchExplanation,
    Operand,
    explain_match,
)
from activityctl.domain.routing.trigger_match import (
    GroupingKey,
    TriggerMatch,
    match_result,
    match_trigger,
)
from activityctl.domain.values.json_form import View

Outcome = Literal["matches", "paused", "error", "no_match"]
_RANKS: Mapping[Outcome, int] = {"matches": 0, "paused": 1, "error": 2, "no_match": 3}


@dataclass(frozen=True, slots=True)
class PatternExplanation:
    """One of the events that a trigger waits for, held against the event at hand."""

    name: str | None
    """None for a trigger whose own pattern says it all."""
    found: MatchExplanation

    @property
    def missed(self) -> int:
        """How many of its parts do not hold."""
        return sum(part.holds is not True for part in self.found.parts)


@dataclass(frozen=True, slots=True)
class TriggerExplanation:
    """What one trigger makes of the event."""

    subscription: str
    """Its name."""
    trigger: str
    form: Form | None
    """How it gathers events; None for one that each matching event makes due."""
    is_paused: bool
    patterns: tuple[PatternExplanation, ...]
    decision: TriggerMatch | None
    """As the router decides; None when no pattern matches and none fails."""

    @property
    def outcome(self) -> Outcome:
        """Whether the event counts, and whether that has an effect."""
        if self.decision is None:
            return "no_match"
        if self.decision.error is not None:
            return "error"
        return "paused" if self.is_paused else "matches"

    @property
    def key(self) -> GroupingKey | None:
        """By what its events belong together, for this one; None when none of them matches."""
        return self.decision.key if self.decision else None

    @property
    def wants_another(self) -> bool:
        """Whether each of its patterns wants another type or source than the event's."""
        return all(one.found.match.wants_another for one in self.patterns)

    @property
    def closest(self) -> PatternExplanation:
        """The pattern of which the fewest parts do not hold."""
        return min(self.patterns, key=lambda one: (not one.found.match.matched, one.missed))

    @property
    def reason(self) -> str | None:
        """Why it does not count: what failed, else why the closest pattern does not match."""
        if self.decision is not None:
            return self.decision.error
        return self.closest.found.match.reason


def explain_listeners(
    listeners: Iterable[tuple[Subscription, Listener]], event: Event
) -> list[TriggerExplanation]:
    """Return what each makes of the event: those that match first, then the closest."""
    found = [_trigger_explained(owner, listener, event) for owner, listener in listeners]
    return sorted(found, key=_order)


def _trigger_explained(owner: Subscription, listener: Listener, event: Event) -> TriggerExplanation:
    entries = [(one, _explained(one, event)) for one in listener.each_part()]
    found = [one for entry, seen in entries if (one := match_result(entry, seen.match)) is not None]
    return TriggerExplanation(
        owner.name,
        listener.trigger,
        listener.event.form,
        owner.status is SubscriptionStatus.PAUSED,
        tuple(PatternExplanation(entry.part, seen) for entry, seen in entries),
        match_trigger(found, event) if found else None,
    )


def _explained(listener: Listener, event: Event) -> MatchExplanation:
    found = explain_match(listener.pattern, listener.params, event)
    return replace(found, match=match_listener(listener, event))


def _order(one: TriggerExplanation) -> tuple[int, int, str, str]:
    return _RANKS[one.outcome], one.closest.missed, one.subscription, one.trigger


def explanation_view(event: View, triggers: Sequence[TriggerExplanation]) -> View:
    """Return the event with what every trigger makes of it."""
    return {**event, "triggers": [trigger_view(one) for one in triggers]}


def trigger_view(one: TriggerExplanation) -> View:
    """Return what one trigger makes of the event, with the value that each part looked at."""
    return {
        "subscription": one.subscription,
        "trigger": one.trigger,
        "form": one.form,
        "outcome": one.outcome,
        "reason": one.reason,
        "key": one.key and operand_view(Operand(one.key.text, one.key.value, one.key.error)),
        "patterns": [
            {
                "name": pattern.name,
                "matches": pattern.found.match.matched,
                "reason": pattern.found.match.reason,
                "parts": [clause_view(part) for part in pattern.found.parts],
            }
            for pattern in one.patterns
        ],
    }


def clause_view(clause: ClauseResult) -> View:
    """Return a condition with what it gave; `holds` is null for what cannot be evaluated."""
    return {
        "text": clause.text,
        "holds": clause.holds,
        "reason": clause.reason,
        "operator": clause.operator or None,
        "operands": [operand_view(one) for one in clause.operands],
        "clauses": [clause_view(inner) for inner in clause.clauses],
    }


def operand_view(one: Operand) -> View:
    """Return a value that a condition looked at."""
    return {"text": one.text, "value": one.value, "error": one.error}
