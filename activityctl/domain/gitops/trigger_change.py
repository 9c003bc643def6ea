"""Finds the event triggers that a plan changes so that they may match other events."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from activityctl.domain.events.parts import ANY
from activityctl.domain.events.pattern import texts_of
from activityctl.domain.gitops.plan import Plan, Present
from activityctl.domain.routing.index import Listener
from activityctl.domain.routing.listeners import listeners_of
from activityctl.domain.routing.trigger_match import TriggerKey
from activityctl.domain.values.model import canonical
from activityctl.frozen_dataclass import frozen_dataclass

ChangeAction = Literal["created", "configured", "deleted"]


@frozen_dataclass
class TriggerChange:
    """An event trigger that may match other events after the plan."""

    subscription: str
    """The subscription's name."""
    trigger: str
    before: Listener | None
    after: Listener | None

    @property
    def owner(self) -> TriggerKey:
        """The key of the trigger in the index."""
        listener = self.after or self.before
        assert listener is not None, "a change has a trigger before or after it"  # noqa: S101
        return listener.subscription, self.trigger

    @property
    def action(self) -> ChangeAction:
        """What the plan does to the trigger."""
        if self.before is None:
            return "created"
        return "deleted" if self.after is None else "configured"


def event_trigger_changes(plan: Plan, present: Present) -> tuple[TriggerChange, ...]:
    """Return the event triggers with a changed pattern, or a filter and changed params."""
    names = {key: name for name, key in plan.subscription_ids.items()}
    names |= {subscription.id: subscription.name for subscription in present.subscriptions.values()}
    touched = {names[key] for key in plan.touched_subscriptions}
    changes = []
    for name in sorted(touched):
        old, new = _listeners_before(name, present), _listeners_after(name, plan, present)
        for trigger in sorted(old.keys() | new.keys()):
            change = TriggerChange(name, trigger, old.get(trigger), new.get(trigger))
            if _may_match_other_events(change):
                changes.append(change)
    return tuple(changes)


def event_types_and_sources(
    changes: Iterable[TriggerChange],
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the types and the sources, as patterns, of all events that the triggers may match.

    Each is empty when a trigger, before or after the plan, takes any.
    """
    listeners = [
        listener
        for change in changes
        for listener in (change.before, change.after)
        if listener is not None
    ]
    patterns = [part.pattern for listener in listeners for part in listener.each_part()]
    return (
        _union(pattern.type for pattern in patterns),
        _union(pattern.source for pattern in patterns),
    )


def _union(wanted: Iterable[Sequence[str] | None]) -> tuple[str, ...]:
    lists = [texts_of(patterns) for patterns in wanted]
    if not all(lists) or any(ANY in texts for texts in lists):
        return ()
    return tuple(sorted({text for texts in lists for text in texts}))


def _listeners_before(name: str, present: Present) -> Mapping[str, Listener]:
    owner = present.live(name)
    if owner is None:
        return {}
    spec = present.definitions[owner.definition].spec
    listeners = listeners_of(owner.id, spec, owner.params, owner.triggers)
    return {listener.trigger: listener for listener in listeners}


def _listeners_after(name: str, plan: Plan, present: Present) -> Mapping[str, Listener]:
    manifest, live = plan.subscriptions.get(name), present.live(name)
    if name in plan.deleted("Subscription"):
        return {}
    if manifest is not None:
        activity, params, overrides = (
            manifest.spec.activity,
            manifest.spec.params,
            dict(manifest.spec.triggers),
        )
    elif live is not None:
        activity, params, overrides = live.definition, live.params, live.triggers
    else:
        return {}
    wanted = plan.definitions.get(activity)
    spec = wanted.spec if wanted is not None else present.definitions[activity].spec
    owner = live.id if live is not None else plan.subscription_ids[name]
    listeners = listeners_of(owner, spec, params, overrides)
    return {listener.trigger: listener for listener in listeners}


def _may_match_other_events(change: TriggerChange) -> bool:
    before, after = change.before, change.after
    if before is None or after is None:
        return before is not after
    if _patterns(before) != _patterns(after):
        return True
    has_filter = any(part.pattern.filter for part in after.each_part())
    return has_filter and before.params != after.params


def _patterns(listener: Listener) -> list[object]:
    fields = ("type", "source", "subject", "match", "filter")
    bodies = [canonical(part.pattern) for part in listener.each_part()]
    return [{name: body.get(name) for name in fields} for body in bodies]
