"""Decides whether an event counts for a trigger, over all its parts.

The router uses it, and so do dry runs and explanations. Firings are made elsewhere.
"""

from collections.abc import Iterable, Sequence

from activityctl.domain.cel.expression import render_key
from activityctl.domain.events.parts import Event
from activityctl.domain.routing.index import FilterFailed, Listener, Matched
from activityctl.domain.routing.matching import Match
from activityctl.errors import ExpressionError
from activityctl.frozen_dataclass import frozen_dataclass

TriggerKey = tuple[str, str]
"""A subscription's id and the name of its trigger."""


@frozen_dataclass
class GroupingKey:
    """The key that groups the events of a trigger, rendered for one event."""

    text: str
    """The template of the key."""
    value: str | None
    error: str | None = None
    """Why it has no value; the event does not count for the trigger then."""


@frozen_dataclass
class TriggerMatch:
    """Whether an event counts for a trigger; a pause of the subscription is not considered."""

    listener: Listener
    """The first part of the trigger that matches; if none does, the first that failed."""
    parts: tuple[str, ...] = ()
    """The names of the parts that match; a trigger without parts has none."""
    key: GroupingKey | None = None
    """None when the trigger has no key or nothing matched."""
    error: str | None = None
    """Why it does not count although no pattern is false: a filter or the key failed."""

    @property
    def key_text(self) -> str:
        """The key's value; empty for a trigger without a key, whose events are one group."""
        return (self.key and self.key.value) or ""


def match_trigger(found: Sequence[Matched | FilterFailed], event: Event) -> TriggerMatch:
    """Decide on one trigger, given the results of its parts; at least one result is needed.

    The event counts when any part matches, even when another fails, and the key has a value.
    """
    matched = [result.listener for result in found if isinstance(result, Matched)]
    if not matched:
        reasons = [result.reason for result in found if isinstance(result, FilterFailed)]
        return TriggerMatch(found[0].listener, error=reasons[0])
    first = matched[0]
    key = _key_of(first, event)
    if key is not None and key.error is not None:
        return TriggerMatch(first, key=key, error=f"key error: {key.error}")
    parts = tuple(listener.part for listener in matched if listener.part is not None)
    return TriggerMatch(first, parts, key)


def match_triggers(found: Iterable[Matched | FilterFailed], event: Event) -> list[TriggerMatch]:
    """Return a decision for each trigger that has a result here, in their order."""
    by_owner: dict[TriggerKey, list[Matched | FilterFailed]] = {}
    for result in found:
        owner = (result.listener.subscription, result.listener.trigger)
        by_owner.setdefault(owner, []).append(result)
    return [match_trigger(results, event) for results in by_owner.values()]


def match_result(listener: Listener, match: Match) -> Matched | FilterFailed | None:
    """Return the result that the index gives for the listener; None when it does not match."""
    if match.matched:
        return Matched(listener)
    return FilterFailed(listener, match.reason or "") if match.has_failed else None


def _key_of(listener: Listener, event: Event) -> GroupingKey | None:
    template = listener.event.gathering_key
    if template is None:
        return None
    try:
        value = render_key(template, {"event": event, "params": listener.params})
    except ExpressionError as error:
        return GroupingKey(template, None, error.message)
    return GroupingKey(template, value)
