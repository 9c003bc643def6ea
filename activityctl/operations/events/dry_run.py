"""Find which triggers an event would start, and why not the others, without storing anything."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from activityctl.domain.gitops.plan import Present
from activityctl.domain.manifests.subscription import Subscription, SubscriptionStatus
from activityctl.domain.routing.index import EventIndex, Listener, match_listener
from activityctl.domain.routing.listeners import listeners_of
from activityctl.domain.routing.trigger_match import (
    GroupingKey,
    match_result,
    match_trigger,
    match_triggers,
)
from activityctl.domain.values.json_form import View
from activityctl.domain.values.model import JsonValue
from activityctl.frozen_dataclass import frozen_dataclass

_PAUSED = "the subscription is paused"


@frozen_dataclass
class DryRunResult:
    """Whether an event would start a run of one trigger, or why not."""

    subscription: str
    """The name of the subscription."""
    trigger: str
    part: str | None
    """The name of one of the events that the trigger waits for; None if it has no parts."""
    wakes: bool
    """Whether the event matches, its key has a value and the subscription is active."""
    gathers: bool = False
    """Whether the trigger combines several events into one run."""
    reason: str | None = None
    wants_another: bool = False
    """Whether no part of the trigger accepts the type and source of the event."""
    key: GroupingKey | None = None
    """The key under which the event would be gathered; None if it has none or does not match."""


def result_view(result: DryRunResult) -> View:
    """Return the JSON view of the result of one trigger."""
    view: View = {"subscription": result.subscription, "trigger": result.trigger}
    if result.part is not None:
        view["part"] = result.part
    if (key := result.key) is not None:
        view["key"] = {"text": key.text, "value": key.value, "error": key.error}
    return view


class DryRunIndex:
    """All event triggers of all live subscriptions, as they were at one moment."""

    def __init__(self, present: Present) -> None:
        self._owners: dict[str, Subscription] = {
            owner.id: owner for owner in present.subscriptions.values() if present.live(owner.name)
        }
        self._triggers: list[tuple[Listener, ...]] = [
            listener.each_part()
            for owner in sorted(self._owners.values(), key=lambda owner: owner.name)
            for listener in listeners_of(
                owner.id, present.definitions[owner.definition].spec, owner.params, owner.triggers
            )
        ]
        self._index = EventIndex(part for parts in self._triggers for part in parts)

    def __len__(self) -> int:
        return len(self._index)

    def results_for(self, event: JsonValue) -> list[DryRunResult]:
        """Return the result for each trigger and part; those that would start a run come first."""
        results = [
            result for parts in self._triggers for result in self._results_of_trigger(parts, event)
        ]
        return sorted(results, key=lambda result: not result.wakes)

    def woken(self, event: JsonValue) -> Sequence[DryRunResult]:
        """Return only the triggers and parts that would start a run; fast with many triggers."""
        return [
            self._result(decision.listener, part, wakes=True)
            for decision in match_triggers(self._index.matches(event), event)
            if decision.error is None and not self._is_paused(decision.listener)
            for part in decision.parts or (None,)
        ]

    def _results_of_trigger(
        self, parts: Sequence[Listener], event: JsonValue
    ) -> Iterator[DryRunResult]:
        """Yield the result for each part of one trigger."""
        matches = [(part, match_listener(part, event)) for part in parts]
        found = [
            result for part, match in matches if (result := match_result(part, match)) is not None
        ]
        decision = match_trigger(found, event) if found else None
        wants_another = all(match.wants_another for _, match in matches)
        for part, match in matches:
            reason = match.reason
            if match.matched and decision is not None:
                reason = decision.error or (_PAUSED if self._is_paused(part) else None)
            yield replace(
                self._result(part, part.part, wakes=match.matched and reason is None),
                reason=reason,
                wants_another=wants_another,
                key=decision.key if match.matched and decision is not None else None,
            )

    def _is_paused(self, listener: Listener) -> bool:
        return self._owners[listener.subscription].status is SubscriptionStatus.PAUSED

    def _result(self, listener: Listener, part: str | None, *, wakes: bool) -> DryRunResult:
        name, gathers = self._owners[listener.subscription].name, listener.event.form is not None
        return DryRunResult(name, listener.trigger, part, wakes, gathers)
