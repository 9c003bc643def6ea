"""Wanted against present: a Plan of Changes, the same value that is shown and applied."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from activityctl.domain import ids
from activityctl.domain.definition import (
    ActivityDefinition,
    DefinitionSpec,
    Metadata,
    revision_of,
)
from activityctl.domain.document import (
    Document,
    FieldChange,
    definition_document,
    differences,
    subscription_document,
)
from activityctl.domain.model import JsonValue
from activityctl.domain.subscription import (
    Subscription,
    SubscriptionManifest,
    SubscriptionSpec,
    SubscriptionStatus,
    effective_triggers,
)
from activityctl.errors import ConflictError, NotFoundError

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
    applyset: str | None = None

    @property
    def document(self) -> Document:
        """The definition as YAML that applies unchanged."""
        return definition_document(_metadata(self.name, self.labels, self.annotations), self.spec)


@dataclass(frozen=True, slots=True)
class Present:
    """What Postgres holds, by name; deleted subscriptions are among them, marked so."""

    definitions: Mapping[str, PresentDefinition] = field(default_factory=dict)
    subscriptions: Mapping[str, Subscription] = field(default_factory=dict)

    def live(self, name: str) -> Subscription | None:
        """Return the subscription of that name unless it is deleted or absent."""
        found = self.subscriptions.get(name)
        return None if found is None or found.status is SubscriptionStatus.DELETED else found


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the manifests say, by name, and the apply set that they are, if any."""

    definitions: Mapping[str, ActivityDefinition] = field(default_factory=dict)
    subscriptions: Mapping[str, SubscriptionManifest] = field(default_factory=dict)
    applyset: str | None = None
    prune: bool = False
    """Whether members of the apply set that the manifests lack are deleted."""

    def prunes(self, applyset: str | None) -> bool:
        """Whether an object of that set which the manifests lack is deleted."""
        return self.prune and applyset is not None and applyset == self.applyset


@dataclass(frozen=True, slots=True)
class Change:
    """One object, what happens to it, and which fields differ."""

    kind: Kind
    name: str
    action: Action
    fields: tuple[FieldChange, ...] = ()


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
    applyset: str | None = None

    @property
    def is_empty(self) -> bool:
        """Whether applying it would change nothing."""
        return all(change.action is Action.UNCHANGED for change in self.changes)

    @property
    def touched_subscriptions(self) -> list[ids.SubscriptionId]:
        """The subscriptions whose schedules may change."""
        return [*self.schedules, *map(ids.subscription_id, self.deleted("Subscription"))]

    def count(self, action: Action) -> int:
        """Return how many objects the plan treats so."""
        return sum(change.action is action for change in self.changes)

    def written(self, change: Change) -> tuple[Document | None, str | None]:
        """Return the object as it is after the change, and a definition's revision id."""
        if change.action is Action.DELETED:
            return None, None
        if change.kind == "ActivityDefinition":
            definition = self.definitions[change.name]
            document = definition_document(definition.metadata, definition.spec)
            return document, revision_of(definition)
        manifest = self.subscriptions[change.name]
        return subscription_document(manifest.metadata, manifest.spec), None

    def deleted(self, kind: Kind) -> list[str]:
        """Return the names of that kind that the plan deletes."""
        return [
            change.name
            for change in self.changes
            if change.kind == kind and change.action is Action.DELETED
        ]


def plan_changes(wanted: Wanted, present: Present) -> Plan:
    """Compare by identity and content; order: definitions, then subscriptions, by name.

    ConflictError when an object belongs to another apply set, when a definition would be pruned
    that a subscription goes on using, or when a subscription's definition is gone.
    """
    changes = [
        _definition_change(definition, present.definitions.get(name), wanted.applyset)
        for name, definition in sorted(wanted.definitions.items())
    ]
    changes += [
        _subscription_change(manifest, present, wanted.applyset)
        for name, manifest in sorted(wanted.subscriptions.items())
    ]
    changes += _prunes(wanted, present)
    plan = Plan(
        dict(wanted.definitions),
        dict(wanted.subscriptions),
        _touched_schedules(wanted, present),
        tuple(changes),
        wanted.applyset,
    )
    _require_unused(plan, present)
    return plan


def plan_deletion(kind: Kind, name: str, present: Present) -> Plan:
    """Return the plan that deletes one object, whatever its apply set.

    NotFoundError when nothing of that name lives, ConflictError for a definition in use.
    """
    definition = present.definitions.get(name) if kind == "ActivityDefinition" else None
    subscription = present.live(name) if kind == "Subscription" else None
    if definition is not None:
        fields = differences(definition.document, None)
    elif subscription is not None:
        fields = differences(live_document(subscription), None)
    else:
        raise NotFoundError(kind.lower(), name, hint="activityctl get definitions")
    plan = Plan({}, {}, {}, (Change(kind, name, Action.DELETED, fields),))
    _require_unused(plan, present)
    return plan


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


def concerned_subscriptions(
    wanted: Wanted, present: Present
) -> Sequence[tuple[Subscription, DefinitionSpec]]:
    """Return the live subscriptions that a changed definition concerns, with its new spec.

    Those that the same manifests bring anew, or prune, are not among them.
    """
    return [
        (subscription, wanted.definitions[subscription.definition].spec)
        for name, subscription in sorted(present.subscriptions.items())
        if name not in wanted.subscriptions
        and subscription.status is not SubscriptionStatus.DELETED
        and subscription.definition in wanted.definitions
        and not wanted.prunes(subscription.applyset)
    ]


def live_document(subscription: Subscription) -> Document:
    """Return a live subscription as YAML that applies unchanged.

    `paused` belongs to the operator and is left out.
    """
    metadata = _metadata(subscription.name, subscription.labels, subscription.annotations)
    return subscription_document(
        metadata,
        SubscriptionSpec(
            activity=subscription.definition,
            params=subscription.params,
            triggers=subscription.triggers,
        ),
    )


def fingerprint(plan: Plan, present: Present) -> str:
    """Return a hash of what the plan wants and of everything present that it was made against.

    A saved plan may be applied as long as it stays the same: the objects that it changes or
    finds unchanged, the definitions that its subscriptions use, and the subscriptions that a
    definition changed by it concerns.
    """
    named = {(change.kind, change.name) for change in plan.changes}
    changed = {
        change.name
        for change in plan.changes
        if change.kind == "ActivityDefinition" and change.action is not Action.UNCHANGED
    }
    used = {manifest.spec.activity for manifest in plan.subscriptions.values()}
    definitions = [
        [one.document, one.applyset]
        for name, one in sorted(present.definitions.items())
        if ("ActivityDefinition", name) in named or name in used
    ]
    subscriptions = [
        [live_document(one), one.status.value, one.applyset]
        for name in sorted(present.subscriptions)
        if (one := present.live(name)) is not None
        and (("Subscription", name) in named or one.definition in changed)
    ]
    wanted = [plan.written(change) for change in plan.changes]
    return ids.content_hash([wanted, definitions, subscriptions])


def _metadata(name: str, labels: Mapping[str, str], annotations: Mapping[str, str]) -> Metadata:
    return Metadata(name=name, labels=dict(labels), annotations=dict(annotations))


def _definition_change(
    definition: ActivityDefinition, current: PresentDefinition | None, applyset: str | None
) -> Change:
    name = definition.metadata.name
    new = definition_document(definition.metadata, definition.spec)
    if current is None:
        return Change("ActivityDefinition", name, Action.CREATED, differences(None, new))
    fields = differences(current.document, new)
    if not fields and not _has_revision(current, definition):
        fields = (FieldChange("spec", current.revision_id, revision_of(definition)),)
    fields += _adoption("ActivityDefinition", name, current.applyset, applyset)
    action = Action.CONFIGURED if fields else Action.UNCHANGED
    return Change("ActivityDefinition", name, action, fields)


def _has_revision(current: PresentDefinition, definition: ActivityDefinition) -> bool:
    """Whether it is the current revision, as it was written or as Postgres gives it back."""
    wanted = revision_of(definition)
    if current.revision_id == wanted:
        return True
    return ids.revision_id(current.name, current.document["spec"]) == wanted


def _subscription_change(
    manifest: SubscriptionManifest, present: Present, applyset: str | None
) -> Change:
    name = manifest.metadata.name
    new = subscription_document(manifest.metadata, manifest.spec)
    current = present.live(name)
    if current is None:
        return Change("Subscription", name, Action.CREATED, differences(None, new))
    paused = manifest.spec.paused
    old = live_document(current)
    new["spec"].pop("paused", None)
    fields = differences(old, new)
    is_paused = current.status is SubscriptionStatus.PAUSED
    if paused not in {None, is_paused}:
        fields += (FieldChange("spec.paused", is_paused, paused),)
    fields += _adoption("Subscription", name, current.applyset, applyset)
    action = Action.CONFIGURED if fields else Action.UNCHANGED
    return Change("Subscription", name, action, fields)


def _adoption(
    kind: Kind, name: str, current: str | None, applyset: str | None
) -> tuple[FieldChange, ...]:
    if applyset is None or current == applyset:
        return ()
    if current is not None:
        raise ConflictError(
            f'{kind.lower()}/{name} belongs to the apply set "{current}", not to "{applyset}"',
            hint="apply it with its own set, or delete it there first",
        )
    return (FieldChange("applyset", None, applyset),)


def _prunes(wanted: Wanted, present: Present) -> Iterator[Change]:
    for name, definition in sorted(present.definitions.items()):
        if wanted.prunes(definition.applyset) and name not in wanted.definitions:
            fields = differences(definition.document, None)
            yield Change("ActivityDefinition", name, Action.DELETED, fields)
    for name in sorted(present.subscriptions):
        current = present.live(name)
        if current is None or name in wanted.subscriptions:
            continue
        if wanted.prunes(current.applyset):
            fields = differences(live_document(current), None)
            yield Change("Subscription", name, Action.DELETED, fields)


def _require_unused(plan: Plan, present: Present) -> None:
    gone, leaving = set(plan.deleted("ActivityDefinition")), set(plan.deleted("Subscription"))
    for name in sorted({*present.subscriptions, *plan.subscriptions}):
        current = present.live(name)
        used = plan.subscriptions[name].spec.activity if name in plan.subscriptions else None
        definition = used or (current.definition if current else None)
        if definition in gone and name not in leaving:
            raise ConflictError(
                f'activitydefinition/{definition} cannot go: subscription "{name}" uses it',
                hint=f"activityctl describe subscription {name}",
            )


def _touched_schedules(
    wanted: Wanted, present: Present
) -> dict[ids.SubscriptionId, tuple[WantedSchedule, ...]]:
    specs = {name: definition.spec for name, definition in present.definitions.items()}
    specs |= {name: definition.spec for name, definition in wanted.definitions.items()}
    found = {
        subscription.id: wanted_schedules(subscription.id, spec, subscription.triggers)
        for subscription, spec in concerned_subscriptions(wanted, present)
    }
    for name, manifest in sorted(wanted.subscriptions.items()):
        key, activity = ids.subscription_id(name), manifest.spec.activity
        if activity not in specs:
            raise ConflictError(
                f"subscription/{name} needs activitydefinition/{activity}, which is gone",
                hint="activityctl get definitions",
            )
        found[key] = wanted_schedules(key, specs[activity], dict(manifest.spec.triggers))
    return found
