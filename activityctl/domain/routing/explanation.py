"""Explains for each trigger whether it matches one event, part by part, and gives it as JSON."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
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
from activityctl.frozen_dataclass import frozen_dataclass

Outcome = Literal["matches", "paused", "error", "no_match"]
_RANKS: Mapping[Outcome, int] = {"matches": 0, "paused": 1, "error": 2, "no_match": 3}


@frozen_dataclass
class PatternExplanation:
    """The comparison of one pattern of a trigger with the event."""

    name: str | None
    """The name of the pattern; None for a trigger that has a single pattern."""
    found: MatchExplanation

    @property
    def missed(self) -> int:
        """How many of its parts do not hold or cannot be evaluated."""
        return sum(part.holds is not True for part in self.found.parts)


@frozen_dataclass
class TriggerExplanation:
    """Whether one trigger matches the event, and why or why not."""

    subscription: str
    """The subscription's name."""
    trigger: str
    form: Form | None
    """How it gathers events; None when each matching event starts a run."""
    is_paused: bool
    patterns: tuple[PatternExplanation, ...]
    decision: TriggerMatch | None
    """What the router would decide; None when no pattern matches and no filter fails."""

    @property
    def outcome(self) -> Outcome:
        """Whether the trigger matches, and whether a match has an effect."""
        if self.decision is None:
            return "no_match"
        if self.decision.error is not None:
            return "error"
        return "paused" if self.is_paused else "matches"

    @property
    def key(self) -> GroupingKey | None:
        """The rendered key that groups its events; None when no pattern matches."""
        return self.decision.key if self.decision else None

    @property
    def wants_another(self) -> bool:
        """Whether all its patterns are for another type or source than the event's."""
        return all(pattern.found.match.wants_another for pattern in self.patterns)

    @property
    def closest(self) -> PatternExplanation:
        """A pattern that matches; if none does, the one with the fewest parts that do not hold."""
        return min(
            self.patterns, key=lambda pattern: (not pattern.found.match.matched, pattern.missed)
        )

    @property
    def reason(self) -> str | None:
        """Why it does not match: what failed, else the reason of the closest pattern."""
        if self.decision is not None:
            return self.decision.error
        return self.closest.found.match.reason


def explain_listeners(
    listeners: Iterable[tuple[Subscription, Listener]], event: Event
) -> list[TriggerExplanation]:
    """Return an explanation for each trigger: those that match first, then the closest ones."""
    found = [_explain_trigger(owner, listener, event) for owner, listener in listeners]
    return sorted(found, key=_sort_key)


def _explain_trigger(owner: Subscription, listener: Listener, event: Event) -> TriggerExplanation:
    explained = [(part, _explain_part(part, event)) for part in listener.each_part()]
    results = [
        result
        for part, explanation in explained
        if (result := match_result(part, explanation.match)) is not None
    ]
    return TriggerExplanation(
        owner.name,
        listener.trigger,
        listener.event.form,
        owner.status is SubscriptionStatus.PAUSED,
        tuple(PatternExplanation(part.part, explanation) for part, explanation in explained),
        match_trigger(results, event) if results else None,
    )


def _explain_part(listener: Listener, event: Event) -> MatchExplanation:
    explanation = explain_match(listener.pattern, listener.params, event)
    return replace(explanation, match=match_listener(listener, event))


def _sort_key(trigger: TriggerExplanation) -> tuple[int, int, str, str]:
    rank = _RANKS[trigger.outcome]
    return rank, trigger.closest.missed, trigger.subscription, trigger.trigger


def explanation_view(event: View, triggers: Sequence[TriggerExplanation]) -> View:
    """Return the JSON view of the event with the explanation of every trigger."""
    return {**event, "triggers": [trigger_view(trigger) for trigger in triggers]}


def trigger_view(explained: TriggerExplanation) -> View:
    """Return the JSON view of one explanation, with the values that each part compared."""
    key = explained.key
    return {
        "subscription": explained.subscription,
        "trigger": explained.trigger,
        "form": explained.form,
        "outcome": explained.outcome,
        "reason": explained.reason,
        "wantsAnother": explained.wants_another,
        "key": key and operand_view(Operand(key.text, key.value, key.error)),
        "patterns": [
            {
                "name": pattern.name,
                "matches": pattern.found.match.matched,
                "reason": pattern.found.match.reason,
                "parts": [clause_view(part) for part in pattern.found.parts],
            }
            for pattern in explained.patterns
        ],
    }


def clause_view(clause: ClauseResult) -> View:
    """Return the JSON view of a condition; `holds` is null when it cannot be evaluated."""
    return {
        "text": clause.text,
        "holds": clause.holds,
        "reason": clause.reason,
        "operator": clause.operator or None,
        "operands": [operand_view(operand) for operand in clause.operands],
        "clauses": [clause_view(inner) for inner in clause.clauses],
    }


def operand_view(operand: Operand) -> View:
    """Return the JSON view of a value that a condition compared."""
    return {"text": operand.text, "value": operand.value, "error": operand.error}
