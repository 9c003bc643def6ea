"""Which event triggers a plan changes: those that may match other events than before."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from activityctl.domain.events.parts import ANY
from activityctl.domain.events.pattern import texts_of
from activityctl.domain.gitops.plan import Plan, Present
from activityctl.domain.routing.index import Listener
from activityctl.domain.routing.listeners import listeners_of
from activityctl.domain.values.ids import subscription_id
from activityctl.domain.values.model import canonical

TriggerKey = tuple[str, str]
"""A subscription's id and the name of its trigger."""
ChangeAction = Literal["created", "configured", "deleted"]


@dataclass(frozen=True, slots=True)
class TriggerChange:
    """An event trigger that matches other events once the plan is carried out, or may."""

    subscription: str
    """Its name."""
    trigger: str
    before: Listener | None
    after: Listener | None

    @property
    def owner(self) -> TriggerKey:
        """By whose name the index knows it."""
        return subscription_id(self.subscription), self.trigger

    @property
    def action(self) -> ChangeAction:
        """What becomes of the trigger."""
        if self.before is None:
            return "created"
        return "deleted" if self.after is None else "configured"


def event_trigger_changes(plan: Plan, present: Present) -> tuple[TriggerChange, ...]:
    """Return the event triggers whose pattern changes, or params that a filter may read."""
    names = {subscription_id(name): name for name in plan.subscriptions}
    names |= {one.id: one.name for one in present.subscriptions.values()}
    touched = {names[one] for one in plan.touched_subscriptions}
    found = []
    for name in sorted(touched):
        old, new = _listeners_before(name, present), _listeners_after(name, plan, present)
        for trigger in sorted(old.keys() | new.keys()):
            change = TriggerChange(name, trigger, old.get(trigger), new.get(trigger))
            if _matters(change):
                found.append(change)
    return tuple(found)


def event_types_and_sources(
    changes: Iterable[TriggerChange],
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the types and the sources, as patterns, of all events that matter to the changes.

    Each is empty when a trigger, as it was or as it will be, takes any.
    """
    listeners = [one for change in changes for one in (change.before, change.after) if one]
    parts = [part.pattern for one in listeners for part in one.each_part()]
    return _union(part.type for part in parts), _union(part.source for part in parts)


def _union(wanted: Iterable[Sequence[str] | None]) -> tuple[str, ...]:
    found = [texts_of(one) for one in wanted]
    if not all(found) or any(ANY in texts for texts in found):
        return ()
    return tuple(sorted({text for texts in found for text in texts}))


def _listeners_before(name: str, present: Present) -> Mapping[str, Listener]:
    owner = present.live(name)
    if owner is None:
        return {}
    spec = present.definitions[owner.definition].spec
    return {one.trigger: one for one in listeners_of(owner.id, spec, owner.params, owner.triggers)}


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
    listeners = listeners_of(subscription_id(name), spec, params, overrides)
    return {one.trigger: one for one in listeners}


def _matters(change: TriggerChange) -> bool:
    before, after = change.before, change.after
    if before is None or after is None:
        return before is not after
    if _patterns(before) != _patterns(after):
        return True
    has_filter = any(one.pattern.filter for one in after.each_part())
    return has_filter and before.params != after.params


def _patterns(listener: Listener) -> list[object]:
    fields = ("type", "source", "subject", "match", "filter")
    bodies = [canonical(one.pattern) for one in listener.each_part()]
    return [{name: body.get(name) for name in fields} for body in bodies]
