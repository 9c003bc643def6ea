"""Rehearse an emit: whom an event would wake and why the others sleep, with nothing stored."""

from collections.abc import Sequence
from dataclasses import dataclass

from activityctl.domain.event_parts import parts_of
from activityctl.domain.listening import listeners_of
from activityctl.domain.match_index import Index, Listener, Matched
from activityctl.domain.matching import match_parts
from activityctl.domain.model import JsonValue
from activityctl.domain.plan import Present
from activityctl.domain.subscription import Subscription, SubscriptionStatus

_PAUSED = "the subscription is paused"


@dataclass(frozen=True, slots=True)
class Prospect:
    """Whether an event would wake one trigger, and why not."""

    subscription: str
    """Its name."""
    trigger: str
    part: str | None
    """Which of the events that the trigger waits for."""
    wakes: bool
    """Whether it matches and the subscription is active; for a part, whether it counts."""
    reason: str | None = None


class Audience:
    """Every event trigger of every subscription that lives, as it listened at one moment."""

    def __init__(self, present: Present) -> None:
        self._owners: dict[str, Subscription] = {
            one.id: one for one in present.subscriptions.values() if present.live(one.name)
        }
        self._listeners: list[Listener] = [
            entry
            for owner in sorted(self._owners.values(), key=lambda one: one.name)
            for listener in listeners_of(
                owner.id, present.definitions[owner.definition].spec, owner.params, owner.triggers
            )
            for entry in listener.each_part()
        ]
        self._index = Index(self._listeners)

    def __len__(self) -> int:
        return len(self._listeners)

    def prospects(self, event: JsonValue) -> list[Prospect]:
        """Return what each trigger would make of the event, those first that it would wake."""
        found = [self._prospect(one, event) for one in self._listeners]
        return sorted(found, key=lambda one: not one.wakes)

    def woken(self, event: JsonValue) -> Sequence[Prospect]:
        """Return those alone that the event would wake; fast, whatever the number of triggers."""
        matched = (one.entry for one in self._index.matches(event) if isinstance(one, Matched))
        found = (self._named(one, wakes=True) for one in matched if not self._is_paused(one))
        return list(found)

    def _prospect(self, listener: Listener, event: JsonValue) -> Prospect:
        match = match_parts(parts_of(listener.pattern), listener.params, event)
        if match.matched and self._is_paused(listener):
            return self._named(listener, wakes=False, reason=_PAUSED)
        return self._named(listener, wakes=match.matched, reason=match.reason)

    def _is_paused(self, listener: Listener) -> bool:
        return self._owners[listener.subscription].status is SubscriptionStatus.PAUSED

    def _named(self, listener: Listener, *, wakes: bool, reason: str | None = None) -> Prospect:
        name = self._owners[listener.subscription].name
        return Prospect(name, listener.trigger, listener.part, wakes, reason)
