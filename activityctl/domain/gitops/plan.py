"""Plan: what is wanted, what is present and the changes between them, as values."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Final, Literal

from activityctl.domain.manifests.calendar import DayCalendar, PresentCalendar
from activityctl.domain.manifests.definition import (
    ActivityDefinition,
    DefinitionSpec,
    revision_id_of,
)
from activityctl.domain.manifests.document import (
    Document,
    FieldChange,
    calendar_document,
    definition_document,
    subscription_document,
)
from activityctl.domain.manifests.metadata import Metadata
from activityctl.domain.manifests.subscription import (
    Subscription,
    SubscriptionManifest,
    SubscriptionSpec,
    SubscriptionStatus,
    effective_triggers,
)
from activityctl.domain.timing.alarm import Alarm, alarm_of
from activityctl.domain.timing.trigger import CLOCK_KINDS, Trigger, trigger_of
from activityctl.domain.values import ids
from activityctl.domain.values.model import JsonValue

Kind = Literal["Calendar", "ActivityDefinition", "Subscription"]

_ALARMS_KEPT: Final = 1024


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
    calendars: Mapping[str, PresentCalendar] = field(default_factory=dict)

    @property
    def applysets(self) -> set[str | None]:
        """The apply sets that have members; None among them for what is in none."""
        living = (self.live(name) for name in self.subscriptions)
        sets = {one.applyset for one in living if one is not None}
        sets |= {one.applyset for one in self.definitions.values()}
        return sets | {one.applyset for one in self.calendars.values()}

    @property
    def specs(self) -> dict[str, DefinitionSpec]:
        """The current spec of each definition, by its name."""
        return {name: definition.spec for name, definition in self.definitions.items()}

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
    calendars: Mapping[str, DayCalendar] = field(default_factory=dict)

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
    def value(self) -> Trigger:
        """The trigger, read."""
        return trigger_of(self.kind, self.body)

    @property
    def alarm(self) -> Alarm:
        """What Temporal shall hold for it."""
        return _alarm(self.kind, ids.canonical_json(self.body))

    @property
    def content_hash(self) -> str:
        """Changes whenever Temporal must be made to hold something else."""
        return _content_hash(self.kind, ids.canonical_json(self.body))

    def wanted_hash(self, status: SubscriptionStatus) -> str:
        """Return what stands for the schedule and its pause: Temporal follows when it changes."""
        return f"{self.content_hash}:{status}"


@lru_cache(maxsize=_ALARMS_KEPT)  # thousands of subscriptions share a definition's triggers
def _alarm(kind: str, body: str) -> Alarm:
    return alarm_of(trigger_of(kind, json.loads(body)))


@lru_cache(maxsize=_ALARMS_KEPT)
def _content_hash(kind: str, body: str) -> str:
    return _alarm(kind, body).content_hash


@dataclass(frozen=True, slots=True)
class Plan:
    """The wanted objects with the change that each of them means."""

    definitions: Mapping[str, ActivityDefinition]
    subscriptions: Mapping[str, SubscriptionManifest]
    schedules: Mapping[ids.SubscriptionId, tuple[WantedSchedule, ...]]
    """Of every subscription that the plan touches, through its definition too."""
    changes: tuple[Change, ...]
    applyset: str | None = None
    calendars: Mapping[str, DayCalendar] = field(default_factory=dict)

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
            return document, revision_id_of(definition)
        if change.kind == "Calendar":
            calendar = self.calendars[change.name]
            return calendar_document(calendar.metadata, calendar.days), None
        manifest = self.subscriptions[change.name]
        return subscription_document(manifest.metadata, manifest.spec), None

    def deleted(self, kind: Kind) -> list[str]:
        """Return the names of that kind that the plan deletes."""
        return [
            change.name
            for change in self.changes
            if change.kind == kind and change.action is Action.DELETED
        ]


def wanted_schedules(
    subscription: ids.SubscriptionId, spec: DefinitionSpec, overrides: dict[str, JsonValue]
) -> tuple[WantedSchedule, ...]:
    """Return the schedules that the triggers of a subscription ask for; events need none."""
    return tuple(
        WantedSchedule(
            ids.schedule_id(subscription, trigger.name),
            subscription,
            trigger.name,
            trigger.kind,
            trigger.body,
        )
        for trigger in effective_triggers(spec, overrides)
        if trigger.kind in CLOCK_KINDS
    )


def affected_subscriptions(
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


def live_calendar(calendar: PresentCalendar) -> Document:
    """Return a live calendar as YAML that applies unchanged."""
    metadata = _metadata(calendar.name, calendar.labels, calendar.annotations)
    return calendar_document(metadata, calendar.days)


def _metadata(name: str, labels: Mapping[str, str], annotations: Mapping[str, str]) -> Metadata:
    return Metadata(name=name, labels=dict(labels), annotations=dict(annotations))
