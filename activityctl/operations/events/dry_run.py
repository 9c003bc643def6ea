"""Rehearse an emit: whom an event would wake and why the others sleep, with nothing stored."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

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
from activityctl.domain.values.model import JsonValue

_PAUSED = "the subscription is paused"


@dataclass(frozen=True, slots=True)
class DryRunResult:
    """Whether an event would wake one trigger, and why not."""

    subscription: str
    """Its name."""
    trigger: str
    part: str | None
    """Which of the events that the trigger waits for."""
    wakes: bool
    """Whether it matches, its key has a value and the subscription is active; for a part,
    whether the event counts for it."""
    gathers: bool = False
    """Whether the trigger makes one run of several events."""
    reason: str | None = None
    wants_another: bool = False
    """Whether the trigger, with each of its parts, wants another type or source."""
    key: GroupingKey | None = None
    """By what it would gather the event; None when it does not match or has no key."""


class DryRunIndex:
    """Every event trigger of every subscription that lives, as it listened at one moment."""

    def __init__(self, present: Present) -> None:
        self._owners: dict[str, Subscription] = {
            one.id: one for one in present.subscriptions.values() if present.live(one.name)
        }
        self._triggers: list[tuple[Listener, ...]] = [
            listener.each_part()
            for owner in sorted(self._owners.values(), key=lambda one: one.name)
            for listener in listeners_of(
                owner.id, present.definitions[owner.definition].spec, owner.params, owner.triggers
            )
        ]
        self._index = EventIndex(entry for entries in self._triggers for entry in entries)

    def __len__(self) -> int:
        return len(self._index)

    def results_for(self, event: JsonValue) -> list[DryRunResult]:
        """Return what each trigger would make of the event, those first that it would wake."""
        found = [
            one for entries in self._triggers for one in self._results_of_trigger(entries, event)
        ]
        return sorted(found, key=lambda one: not one.wakes)

    def woken(self, event: JsonValue) -> Sequence[DryRunResult]:
        """Return those alone that the event would wake; fast, whatever the number of triggers."""
        return [
            self._named(decision.listener, part, wakes=True)
            for decision in match_triggers(self._index.matches(event), event)
            if decision.error is None and not self._is_paused(decision.listener)
            for part in decision.parts or (None,)
        ]

    def _results_of_trigger(
        self, entries: Sequence[Listener], event: JsonValue
    ) -> Iterator[DryRunResult]:
        """Yield what each entry of one trigger would make of the event."""
        seen = [(one, match_listener(one, event)) for one in entries]
        found = [one for entry, match in seen if (one := match_result(entry, match)) is not None]
        decision = match_trigger(found, event) if found else None
        wants_another = all(match.wants_another for _, match in seen)
        for entry, match in seen:
            reason = match.reason
            if match.matched and decision is not None:
                reason = decision.error or (_PAUSED if self._is_paused(entry) else None)
            yield replace(
                self._named(entry, entry.part, wakes=match.matched and reason is None),
                reason=reason,
                wants_another=wants_another,
                key=decision.key if match.matched and decision is not None else None,
            )

    def _is_paused(self, listener: Listener) -> bool:
        return self._owners[listener.subscription].status is SubscriptionStatus.PAUSED

    def _named(self, listener: Listener, part: str | None, *, wakes: bool) -> DryRunResult:
        name, gathers = self._owners[listener.subscription].name, listener.event.form is not None
        return DryRunResult(name, listener.trigger, part, wakes, gathers)
