"""Plan: the wanted objects, the live objects and the changes between them, as values."""

from collections.abc import Mapping, Sequence
from dataclasses import field
from enum import StrEnum
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
    is_same_json,
    source_document,
    subscription_document,
)
from activityctl.domain.manifests.event_source import EventSource, PresentEventSource
from activityctl.domain.manifests.metadata import Metadata
from activityctl.domain.manifests.subscription import (
    Subscription,
    SubscriptionManifest,
    SubscriptionSpec,
    SubscriptionStatus,
    account_of,
    effective_triggers,
)
from activityctl.domain.timing.alarm import stored_alarm_id
from activityctl.domain.timing.trigger import CLOCK_KINDS, Trigger, parsed_trigger
from activityctl.domain.values import ids
from activityctl.domain.values.model import JsonValue
from activityctl.frozen_dataclass import frozen_dataclass

Kind = Literal["Calendar", "EventSource", "ActivityDefinition", "Subscription"]

NAME_PATH: Final = "metadata.name"
"""The path of the field that a rename changes."""

RENAMED_AWAY: Final = "renamed"
"""The action in the history of a name that an object had before it was renamed."""

STATE_CHANGED: Final = "state"
"""The action in the history when a person changed what a subscription keeps for its next run."""


class Action(StrEnum):
    """What apply does to one object."""

    CREATED = "created"
    CONFIGURED = "configured"
    UNCHANGED = "unchanged"
    DELETED = "deleted"


@frozen_dataclass
class PresentDefinition:
    """A live definition: its current revision and its metadata."""

    name: str
    revision_id: str
    spec: DefinitionSpec
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    applyset: str | None = None

    @property
    def document(self) -> Document:
        """The manifest of the definition; applying it changes nothing."""
        return definition_document(_metadata(self.name, self.labels, self.annotations), self.spec)


@frozen_dataclass
class Present:
    """The objects in Postgres, by name; also deleted subscriptions, which have that status."""

    definitions: Mapping[str, PresentDefinition] = field(default_factory=dict)
    subscriptions: Mapping[str, Subscription] = field(default_factory=dict)
    calendars: Mapping[str, PresentCalendar] = field(default_factory=dict)
    renamed_from: Mapping[str, str] = field(default_factory=dict)
    """The old names, by new name, of subscriptions that have their new name here already, although
    it is not written yet; see `with_renames`."""
    sources: Mapping[str, PresentEventSource] = field(default_factory=dict)

    @property
    def applysets(self) -> set[str | None]:
        """The apply sets of all live objects; with None if an object has no apply set."""
        live = (self.live(name) for name in self.subscriptions)
        sets = {subscription.applyset for subscription in live if subscription is not None}
        sets |= {definition.applyset for definition in self.definitions.values()}
        sets |= {calendar.applyset for calendar in self.calendars.values()}
        return sets | {source.applyset for source in self.sources.values()}

    @property
    def specs(self) -> dict[str, DefinitionSpec]:
        """The current spec of each definition, by its name."""
        return {name: definition.spec for name, definition in self.definitions.items()}

    @property
    def revisions(self) -> dict[str, str]:
        """The id of the current revision of each definition, by its name."""
        return {name: definition.revision_id for name, definition in self.definitions.items()}

    def live(self, name: str) -> Subscription | None:
        """Return the subscription of that name; None when it is deleted or does not exist."""
        found = self.subscriptions.get(name)
        return None if found is None or found.status is SubscriptionStatus.DELETED else found


@frozen_dataclass
class Wanted:
    """The objects in the manifests, by name, and the apply set of the manifests, if any."""

    definitions: Mapping[str, ActivityDefinition] = field(default_factory=dict)
    subscriptions: Mapping[str, SubscriptionManifest] = field(default_factory=dict)
    applyset: str | None = None
    prune: bool = False
    """Whether members of the apply set that are not in the manifests are deleted."""
    calendars: Mapping[str, DayCalendar] = field(default_factory=dict)
    take_over: bool = False
    """Whether objects of other apply sets may be changed; they move to this set, if it has one."""
    allow_empty: bool = False
    """Whether pruning may delete all members, because there is no manifest."""
    unread: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """The files below the folders that were not read, by the kind and name of their objects."""
    sources: Mapping[str, EventSource] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        """Whether there is no manifest."""
        return not (self.calendars or self.sources or self.definitions or self.subscriptions)

    def prunes(self, applyset: str | None) -> bool:
        """Return whether an object of that set is deleted when it is not in the manifests."""
        return self.prune and applyset is not None and applyset == self.applyset


@frozen_dataclass
class Change:
    """What happens to one object, and which fields differ."""

    kind: Kind
    name: str
    action: Action
    fields: tuple[FieldChange, ...] = ()
    renamed_from: str | None = None
    """The old name; None if the name stays."""


@frozen_dataclass
class Recorded:
    """What the history records of a change."""

    kind: Kind
    name: str
    action: str
    """An Action, RENAMED_AWAY or STATE_CHANGED."""
    fields: tuple[FieldChange, ...]
    document: Document | None
    """The object's manifest after the change; None if there is no such object any more."""
    revision_id: str | None


@frozen_dataclass
class WantedSchedule:
    """A trigger of a subscription that follows the clock, so that an alarm must wake us for it."""

    id: ids.ScheduleId
    subscription_id: ids.SubscriptionId
    trigger: str
    kind: str
    body: dict[str, JsonValue]

    @property
    def value(self) -> Trigger:
        """The trigger, parsed from `body`."""
        return parsed_trigger(self.kind, ids.canonical_json(self.body))

    @property
    def alarm_id(self) -> ids.AlarmId:
        """The id of its alarm, which all triggers with this timing share."""
        return stored_alarm_id(self.kind, self.body)


@frozen_dataclass
class Plan:
    """The wanted objects and the change for each object."""

    definitions: Mapping[str, ActivityDefinition]
    subscriptions: Mapping[str, SubscriptionManifest]
    schedules: Mapping[ids.SubscriptionId, tuple[WantedSchedule, ...]]
    """The schedules of every subscription that the plan changes, also through its definition."""
    changes: tuple[Change, ...]
    applyset: str | None = None
    calendars: Mapping[str, DayCalendar] = field(default_factory=dict)
    subscription_ids: Mapping[str, ids.SubscriptionId] = field(default_factory=dict)
    """The id of each subscription that the plan names, by its name after the plan."""
    sources: Mapping[str, EventSource] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        """Whether applying the plan changes nothing."""
        return all(change.action is Action.UNCHANGED for change in self.changes)

    @property
    def touched_subscriptions(self) -> list[ids.SubscriptionId]:
        """The subscriptions whose schedules may change."""
        return [*self.schedules, *self.deleted_ids]

    @property
    def deleted_ids(self) -> list[ids.SubscriptionId]:
        """The ids of the subscriptions that the plan deletes."""
        return [self.subscription_ids[name] for name in self.deleted("Subscription")]

    def count(self, action: Action) -> int:
        """Return how many objects have this action."""
        return sum(change.action is action for change in self.changes)

    def written(self, change: Change) -> tuple[Document | None, str | None]:
        """Return the object's manifest after the change, and a definition's revision id."""
        if change.action is Action.DELETED:
            return None, None
        if change.kind == "ActivityDefinition":
            definition = self.definitions[change.name]
            document = definition_document(definition.metadata, definition.spec)
            return document, revision_id_of(definition)
        if change.kind == "Calendar":
            calendar = self.calendars[change.name]
            return calendar_document(calendar.metadata, calendar.days), None
        if change.kind == "EventSource":
            source = self.sources[change.name]
            return source_document(source.metadata, source.spec), None
        return stored_document(self.subscriptions[change.name]), None

    @property
    def recorded(self) -> list[Recorded]:
        """What the history records: each change, and under its old name what was renamed."""
        found = []
        for change in self.changes:
            if change.action is Action.UNCHANGED:
                continue
            if (old := change.renamed_from) is not None:
                field = FieldChange(NAME_PATH, old, change.name)
                found.append(Recorded(change.kind, old, RENAMED_AWAY, (field,), None, None))
            document, revision = self.written(change)
            action = change.action.value
            found.append(
                Recorded(change.kind, change.name, action, change.fields, document, revision)
            )
        return found

    def deleted(self, kind: Kind) -> list[str]:
        """Return the names of the objects of that kind that the plan deletes."""
        return [
            change.name
            for change in self.changes
            if change.kind == kind and change.action is Action.DELETED
        ]


def wanted_schedules(
    subscription: ids.SubscriptionId, spec: DefinitionSpec, overrides: dict[str, JsonValue]
) -> tuple[WantedSchedule, ...]:
    """Return the schedules that the triggers of a subscription need; event triggers need none."""
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
    """Return the live subscriptions of the wanted definitions, each with the new spec.

    Subscriptions that are in the same manifests, or that are pruned, are left out.
    """
    return [
        (subscription, wanted.definitions[subscription.definition].spec)
        for name, subscription in sorted(present.subscriptions.items())
        if name not in wanted.subscriptions
        and subscription.status is not SubscriptionStatus.DELETED
        and subscription.definition in wanted.definitions
        and not wanted.prunes(subscription.applyset)
    ]


def stored_document(manifest: SubscriptionManifest) -> Document:
    """Return the document of a subscription as it is kept: without its old name."""
    metadata = manifest.metadata.model_copy(update={"renamed_from": None})
    return subscription_document(metadata, manifest.spec)


def live_document(subscription: Subscription) -> Document:
    """Return the manifest of a live subscription; applying it changes nothing.

    It has no `paused`, because operators pause and resume.
    """
    metadata = _metadata(subscription.name, subscription.labels, subscription.annotations)
    return subscription_document(
        metadata,
        SubscriptionSpec(
            activity=subscription.definition,
            params=subscription.params,
            triggers=subscription.triggers,
            account=account_of(subscription),
        ),
    )


def says_the_same(manifest: SubscriptionManifest, live: Subscription) -> bool:
    """Return whether a manifest surely has the document of a live subscription.

    False means that it may have it or not. This is for thousands of unchanged subscriptions: to
    make and compare the documents takes ten times longer. `paused` and the name do not count.
    """
    metadata, spec = manifest.metadata, manifest.spec
    return (
        spec.activity == live.definition
        and spec.account is None
        and live.account is None
        and metadata.labels == live.labels
        and metadata.annotations == live.annotations
        and is_same_json(spec.params, live.params)
        and is_same_json(spec.triggers, live.triggers)
    )


def live_calendar(calendar: PresentCalendar) -> Document:
    """Return the manifest of a live calendar; applying it changes nothing."""
    metadata = _metadata(calendar.name, calendar.labels, calendar.annotations)
    return calendar_document(metadata, calendar.days)


def live_source(source: PresentEventSource) -> Document:
    """Return the manifest of a live event source; applying it changes nothing."""
    metadata = _metadata(source.name, source.labels, source.annotations)
    return source_document(metadata, source.spec)


def _metadata(name: str, labels: Mapping[str, str], annotations: Mapping[str, str]) -> Metadata:
    return Metadata(name=name, labels=dict(labels), annotations=dict(annotations))
