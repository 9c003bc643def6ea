"""What one event means to one trigger, all that it waits for together; what follows is elsewhere.

The router decides by it, and so do those who tell beforehand what it would decide.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from activityctl.domain.cel.expression import render
from activityctl.domain.events.parts import Event
from activityctl.domain.routing.index import FilterFailed, Listener, Matched
from activityctl.domain.routing.matching import Match
from activityctl.domain.values.group_key import group_key
from activityctl.errors import ExpressionError

TriggerKey = tuple[str, str]
"""A subscription's id and the name of its trigger."""


@dataclass(frozen=True, slots=True)
class GroupingKey:
    """By what the events of a trigger belong together, rendered for one of them."""

    text: str
    """The template."""
    value: str | None
    error: str | None = None
    """Why it has no value: the event then counts for nothing."""


@dataclass(frozen=True, slots=True)
class TriggerMatch:
    """Whether an event counts for a trigger, whatever becomes of its subscription."""

    listener: Listener
    """One of the trigger's entries, that counts if any does."""
    parts: tuple[str, ...] = ()
    """The names of those that it counts for; a trigger of one event has none."""
    key: GroupingKey | None = None
    """None when the trigger has no key, and when nothing matched."""
    error: str | None = None
    """Why it does not count, though no part of a pattern is false."""

    @property
    def key_text(self) -> str:
        """The key's value; empty for a trigger without one, whose events belong together."""
        return (self.key and self.key.value) or ""


def match_trigger(found: Sequence[Matched | FilterFailed], event: Event) -> TriggerMatch:
    """Decide on one trigger, given which of its entries the event matches or fails; not none.

    One that matches decides, whatever fails beside it; then the key has to have a value.
    """
    matched = [one.listener for one in found if isinstance(one, Matched)]
    if not matched:
        reasons = [one.reason for one in found if isinstance(one, FilterFailed)]
        return TriggerMatch(found[0].listener, error=reasons[0])
    first = matched[0]
    key = _key_of(first, event)
    if key is not None and key.error is not None:
        return TriggerMatch(first, key=key, error=f"key error: {key.error}")
    parts = tuple(one.part for one in matched if one.part is not None)
    return TriggerMatch(first, parts, key)


def match_triggers(found: Iterable[Matched | FilterFailed], event: Event) -> list[TriggerMatch]:
    """Return a decision for each trigger that has an entry among these, in their order."""
    by_owner: dict[TriggerKey, list[Matched | FilterFailed]] = {}
    for one in found:
        owner = (one.listener.subscription, one.listener.trigger)
        by_owner.setdefault(owner, []).append(one)
    return [match_trigger(together, event) for together in by_owner.values()]


def match_result(listener: Listener, match: Match) -> Matched | FilterFailed | None:
    """Return what an index would say of the entry; None when the event does not concern it."""
    if match.matched:
        return Matched(listener)
    return FilterFailed(listener, match.reason or "") if match.has_failed else None


def _key_of(listener: Listener, event: Event) -> GroupingKey | None:
    template = listener.event.gathering_key
    if template is None:
        return None
    try:
        value = render(template, {"event": event, "params": listener.params})
    except ExpressionError as error:
        return GroupingKey(template, None, error.message)
    return GroupingKey(template, group_key(value))
