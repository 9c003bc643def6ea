"""Wanted against present: a Plan of Changes, the same value that is shown and applied."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from activityctl.domain import ids
from activityctl.domain.definition import ActivityDefinition, DefinitionSpec, revision_of
from activityctl.domain.model import JsonValue
from activityctl.domain.subscription import (
    Subscription,
    SubscriptionManifest,
    SubscriptionStatus,
    effective_triggers,
)

Kind = Literal["ActivityDefinition", "Subscription"]


class Action(StrEnum):
    """What apply does with one object."""

    CREATED = "created"
    CONFIGURED = "configured"
    UNCHANGED = "unchanged"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class PresentDefinition:
    """A definition as it lives: its current revision and its metadata."""

    name: str
    revision_id: str
    spec: DefinitionSpec
    labels: Mapping[str, str]
    annotations: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Present:
    """What Postgres holds, by name; deleted subscriptions are among them, marked so."""

    definitions: Mapping[str, PresentDefinition] = field(default_factory=dict)
    subscriptions: Mapping[str, Subscription] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the manifests say, by name."""

    definitions: Mapping[str, ActivityDefinition] = field(default_factory=dict)
    subscriptions: Mapping[str, SubscriptionManifest] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Change:
    """One object and what happens to it."""

    kind: Kind
    name: str
    action: Action


@dataclass(frozen=True, slots=True)
class WantedSchedule:
    """One trigger of one subscription that Temporal shall keep a schedule for."""

    id: ids.ScheduleId
    subscription_id: ids.SubscriptionId
    trigger: str
    kind: str
    body: dict[str, JsonValue]

    @property
    def content_hash(self) -> str:
        """Changes whenever what is written about the timing does."""
        return ids.content_hash({"kind": self.kind, "body": self.body})


@dataclass(frozen=True, slots=True)
class Plan:
    """The wanted objects with the change that each of them means."""

    definitions: Mapping[str, ActivityDefinition]
    subscriptions: Mapping[str, SubscriptionManifest]
    schedules: Mapping[ids.SubscriptionId, tuple[WantedSchedule, ...]]
    """Of every subscription that the plan touches, through its definition too."""
    changes: tuple[Change, ...]

    @property
    def is_empty(self) -> bool:
        """Whether applying it would change nothing."""
        return all(change.action is Action.UNCHANGED for change in self.changes)

    def count(self, action: Action) -> int:
        """Return how many objects the plan treats so."""
        return sum(change.action is action for change in self.changes)


def plan_changes(wanted: Wanted, present: Present) -> Plan:
    """Compare by identity and content; order: definitions, then subscriptions, by name."""
    changes = [
        Change("ActivityDefinition", name, _definition_action(definition, present))
        for name, definition in sorted(wanted.definitions.items())
    ]
    changes += [
        Change("Subscription", name, _subscription_action(manifest, present))
        for name, manifest in sorted(wanted.subscriptions.items())
    ]
    return Plan(
        dict(wanted.definitions),
        dict(wanted.subscriptions),
        _touched_schedules(wanted, present),
        tuple(changes),
    )


def wanted_schedules(
    subscription: ids.SubscriptionId, spec: DefinitionSpec, overrides: dict[str, JsonValue]
) -> tuple[WantedSchedule, ...]:
    """Return the schedules that the triggers of a subscription ask for."""
    return tuple(
        WantedSchedule(
            ids.schedule_id(subscription, trigger.name),
            subscription,
            trigger.name,
            trigger.kind,
            trigger.body,
        )
        for trigger in effective_triggers(spec, overrides)
    )


def _definition_action(definition: ActivityDefinition, present: Present) -> Action:
    current = present.definitions.get(definition.metadata.name)
    if current is None:
        return Action.CREATED
    is_same = (
        current.revision_id == revision_of(definition)
        and dict(current.labels) == definition.metadata.labels
        and dict(current.annotations) == definition.metadata.annotations
    )
    return Action.UNCHANGED if is_same else Action.CONFIGURED


def _subscription_action(manifest: SubscriptionManifest, present: Present) -> Action:
    current = present.subscriptions.get(manifest.metadata.name)
    if current is None or current.status is SubscriptionStatus.DELETED:
        return Action.CREATED
    paused = current.status is SubscriptionStatus.PAUSED
    is_same = (
        current.definition == manifest.spec.activity
        and _is_same_json(current.params, manifest.spec.params)
        and _is_same_json(current.triggers, manifest.spec.triggers)
        and current.labels == manifest.metadata.labels
        and current.annotations == manifest.metadata.annotations
        and manifest.spec.paused in (None, paused)
    )
    return Action.UNCHANGED if is_same else Action.CONFIGURED


def _is_same_json(one: JsonValue, other: JsonValue) -> bool:
    """Compare as JSON does: `true` is not 1, though Python's True is; 1.0 is 1."""
    match one:
        case dict():
            return (
                isinstance(other, dict)
                and one.keys() == other.keys()
                and all(_is_same_json(value, other[key]) for key, value in one.items())
            )
        case list():
            return (
                isinstance(other, list)
                and len(one) == len(other)
                and all(map(_is_same_json, one, other))
            )
        case _:
            return bool(one == other and isinstance(one, bool) is isinstance(other, bool))


def _touched_schedules(
    wanted: Wanted, present: Present
) -> dict[ids.SubscriptionId, tuple[WantedSchedule, ...]]:
    specs = {name: definition.spec for name, definition in present.definitions.items()}
    specs |= {name: definition.spec for name, definition in wanted.definitions.items()}
    found = {
        subscription.id: wanted_schedules(
            subscription.id, specs[subscription.definition], subscription.triggers
        )
        for subscription in present.subscriptions.values()
        if subscription.status is not SubscriptionStatus.DELETED
        and subscription.definition in wanted.definitions
    }
    for name, manifest in wanted.subscriptions.items():
        key = ids.subscription_id(name)
        found[key] = wanted_schedules(
            key, specs[manifest.spec.activity], dict(manifest.spec.triggers)
        )
    return found


def concerned_subscriptions(
    wanted: Wanted, present: Present
) -> Sequence[tuple[Subscription, DefinitionSpec]]:
    """Return the live subscriptions that a changed definition concerns, with its new spec.

    Those that the same manifests bring anew are not among them.
    """
    return [
        (subscription, wanted.definitions[subscription.definition].spec)
        for name, subscription in sorted(present.subscriptions.items())
        if name not in wanted.subscriptions
        and subscription.status is not SubscriptionStatus.DELETED
        and subscription.definition in wanted.definitions
    ]
