"""Makes a plan: compares wanted and live objects one by one. The plan's types are in `plan.py`."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, assert_never

from activityctl.domain.gitops.applyset import require_intended_prunes, require_same_applyset
from activityctl.domain.gitops.plan import (
    NAME_PATH,
    Action,
    Change,
    Kind,
    Plan,
    Present,
    PresentDefinition,
    Wanted,
    WantedSchedule,
    affected_subscriptions,
    live_calendar,
    live_document,
    live_source,
    says_the_same,
    stored_document,
    wanted_schedules,
)
from activityctl.domain.gitops.renames import with_renames
from activityctl.domain.manifests.calendar import DayCalendar, PresentCalendar
from activityctl.domain.manifests.calendar_references import (
    calendars_in_definition,
    calendars_in_overrides,
)
from activityctl.domain.manifests.definition import ActivityDefinition, revision_id_of
from activityctl.domain.manifests.document import (
    FieldChange,
    calendar_document,
    day_differences,
    definition_document,
    differences,
    source_document,
)
from activityctl.domain.manifests.event_source import EventSource, PresentEventSource
from activityctl.domain.manifests.subscription import (
    Subscription,
    SubscriptionManifest,
    SubscriptionStatus,
)
from activityctl.domain.values import ids
from activityctl.errors import ConflictError, NotFoundError

_PLURALS: Final[Mapping[Kind, str]] = {
    "ActivityDefinition": "definitions",
    "EventSource": "sources",
}
"""Where the plural that `get` takes is not the name of the kind with an s."""


def plan_changes(wanted: Wanted, present: Present) -> Plan:
    """Return the plan; objects are compared by kind and name, then by content.

    The changes are in the order calendars, event sources, definitions, subscriptions, each sorted
    by name; deletions follow. Raises what `require_intended_prunes` raises, and ConflictError when
    an object belongs to another apply set, when a definition or calendar would be pruned that is
    still used, when the definition of a subscription does not exist, or when a rename is unclear.
    """
    present = with_renames(wanted, present)
    changes = [
        _calendar_change(calendar, present.calendars.get(name), wanted.applyset)
        for name, calendar in sorted(wanted.calendars.items())
    ]
    changes += [
        _source_change(source, present.sources.get(name), wanted.applyset)
        for name, source in sorted(wanted.sources.items())
    ]
    changes += [
        _definition_change(definition, present.definitions.get(name), wanted.applyset)
        for name, definition in sorted(wanted.definitions.items())
    ]
    changes += [
        _subscription_change(manifest, present, wanted.applyset)
        for name, manifest in sorted(wanted.subscriptions.items())
    ]
    _require_own_set(wanted, changes, present)
    prunes = tuple(_prunes(wanted, present))
    require_intended_prunes(wanted, prunes)
    changes += prunes
    subscription_ids = _subscription_ids(changes, present)
    plan = Plan(
        dict(wanted.definitions),
        dict(wanted.subscriptions),
        _touched_schedules(wanted, present, subscription_ids),
        tuple(changes),
        wanted.applyset,
        dict(wanted.calendars),
        subscription_ids,
        dict(wanted.sources),
    )
    _require_unused(plan, present)
    return plan


def plan_deletion(kind: Kind, name: str, present: Present) -> Plan:
    """Return the plan that deletes one object, whatever its apply set.

    Raises NotFoundError when there is no live object of that name, and ConflictError when a
    definition or a calendar is still used.
    """
    calendar = present.calendars.get(name) if kind == "Calendar" else None
    source = present.sources.get(name) if kind == "EventSource" else None
    definition = present.definitions.get(name) if kind == "ActivityDefinition" else None
    subscription = present.live(name) if kind == "Subscription" else None
    if definition is not None:
        fields = differences(definition.document, None)
    elif subscription is not None:
        fields = differences(live_document(subscription), None)
    elif calendar is not None:
        fields = differences(live_calendar(calendar), None)
    elif source is not None:
        fields = differences(live_source(source), None)
    else:
        plural = _PLURALS.get(kind, f"{kind.lower()}s")
        raise NotFoundError(kind.lower(), name, hint=f"activityctl get {plural}")
    changes = (Change(kind, name, Action.DELETED, fields),)
    plan = Plan({}, {}, {}, changes, subscription_ids=_subscription_ids(changes, present))
    _require_unused(plan, present)
    return plan


def _subscription_ids(changes: Sequence[Change], present: Present) -> dict[str, ids.SubscriptionId]:
    """Return the ids of the subscriptions in the changes: the stored ones, or new ones."""
    taken = {subscription.id for subscription in present.subscriptions.values()}
    return {
        change.name: stored.id
        if (stored := present.subscriptions.get(change.name)) is not None
        else ids.free_subscription_id(change.name, taken)
        for change in changes
        if change.kind == "Subscription"
    }


def _definition_change(
    definition: ActivityDefinition, current: PresentDefinition | None, applyset: str | None
) -> Change:
    name = definition.metadata.name
    new = definition_document(definition.metadata, definition.spec)
    if current is None:
        return Change("ActivityDefinition", name, Action.CREATED, differences(None, new))
    fields = differences(current.document, new)
    if not fields and not _has_revision(current, definition):
        fields = (FieldChange("spec", current.revision_id, revision_id_of(definition)),)
    fields += _adoption(current.applyset, applyset)
    action = Action.CONFIGURED if fields else Action.UNCHANGED
    return Change("ActivityDefinition", name, action, fields)


def _has_revision(current: PresentDefinition, definition: ActivityDefinition) -> bool:
    """Return whether it is the current revision, as written or as read from Postgres."""
    wanted = revision_id_of(definition)
    if current.revision_id == wanted:
        return True
    return ids.revision_id(current.name, current.document["spec"]) == wanted


def _subscription_change(
    manifest: SubscriptionManifest, present: Present, applyset: str | None
) -> Change:
    name = manifest.metadata.name
    current = present.live(name)
    if current is None:
        fields = differences(None, stored_document(manifest))
        return Change("Subscription", name, Action.CREATED, fields)
    paused = manifest.spec.paused
    renamed_from = present.renamed_from.get(name)
    fields = () if says_the_same(manifest, current) else _written_differences(manifest, current)
    if renamed_from is not None:
        fields = (FieldChange(NAME_PATH, renamed_from, name), *fields)
    is_paused = current.status is SubscriptionStatus.PAUSED
    if paused not in {None, is_paused}:
        fields += (FieldChange("spec.paused", is_paused, paused),)
    fields += _adoption(current.applyset, applyset)
    action = Action.CONFIGURED if fields else Action.UNCHANGED
    return Change("Subscription", name, action, fields, renamed_from)


def _written_differences(
    manifest: SubscriptionManifest, current: Subscription
) -> tuple[FieldChange, ...]:
    new = stored_document(manifest)
    new["spec"].pop("paused", None)
    return differences(live_document(current), new)


def _calendar_change(
    calendar: DayCalendar, current: PresentCalendar | None, applyset: str | None
) -> Change:
    name = calendar.metadata.name
    new = calendar_document(calendar.metadata, calendar.days)
    if current is None:
        return Change("Calendar", name, Action.CREATED, differences(None, new))
    fields = differences(live_calendar(current), calendar_document(calendar.metadata, current.days))
    fields += day_differences(current.days, calendar.days)
    fields += _adoption(current.applyset, applyset)
    return Change("Calendar", name, Action.CONFIGURED if fields else Action.UNCHANGED, fields)


def _source_change(
    source: EventSource, current: PresentEventSource | None, applyset: str | None
) -> Change:
    name = source.metadata.name
    new = source_document(source.metadata, source.spec)
    if current is None:
        return Change("EventSource", name, Action.CREATED, differences(None, new))
    fields = differences(live_source(current), new) + _adoption(current.applyset, applyset)
    action = Action.CONFIGURED if fields else Action.UNCHANGED
    return Change("EventSource", name, action, fields)


def _adoption(current: str | None, applyset: str | None) -> tuple[FieldChange, ...]:
    if applyset is None or current == applyset:
        return ()
    return (FieldChange("applyset", current, applyset),)


def _require_own_set(wanted: Wanted, changes: Sequence[Change], present: Present) -> None:
    """Refuse changes of objects of another set. Without a set, what is equal is not refused."""
    if wanted.take_over:
        return
    owners = {
        f"{change.kind.lower()}/{change.name}": owner_of(change.kind, change.name, present)
        for change in changes
        if wanted.applyset is not None or change.action is not Action.UNCHANGED
    }
    require_same_applyset(wanted.applyset, owners)


def owner_of(kind: Kind, name: str, present: Present) -> str | None:
    """Return the apply set of a live object; None if it is in no set or does not exist."""
    match kind:
        case "Calendar":
            found = present.calendars.get(name)
            return None if found is None else found.applyset
        case "EventSource":
            source = present.sources.get(name)
            return None if source is None else source.applyset
        case "ActivityDefinition":
            definition = present.definitions.get(name)
            return None if definition is None else definition.applyset
        case "Subscription":
            live = present.live(name)
            return None if live is None else live.applyset
        case other:
            assert_never(other)


def _prunes(wanted: Wanted, present: Present) -> Iterator[Change]:
    for name, calendar in sorted(present.calendars.items()):
        if wanted.prunes(calendar.applyset) and name not in wanted.calendars:
            fields = differences(live_calendar(calendar), None)
            yield Change("Calendar", name, Action.DELETED, fields)
    for name, source in sorted(present.sources.items()):
        if wanted.prunes(source.applyset) and name not in wanted.sources:
            fields = differences(live_source(source), None)
            yield Change("EventSource", name, Action.DELETED, fields)
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
    deleted_definitions = set(plan.deleted("ActivityDefinition"))
    deleted_subscriptions = set(plan.deleted("Subscription"))
    for name in sorted({*present.subscriptions, *plan.subscriptions}):
        current = present.live(name)
        used = plan.subscriptions[name].spec.activity if name in plan.subscriptions else None
        definition = used or (current.definition if current else None)
        if definition in deleted_definitions and name not in deleted_subscriptions:
            raise ConflictError(
                f'activitydefinition/{definition} cannot be deleted: subscription "{name}" uses it',
                hint=f"activityctl describe subscription {name}",
            )
    calendars = set(plan.deleted("Calendar"))
    for user, named in _calendar_users(plan, present) if calendars else ():
        if still_used := sorted(named & calendars):
            raise ConflictError(
                f"calendar/{still_used[0]} cannot be deleted: {user} uses it",
                hint=f"activityctl describe {user}",
            )


def _calendar_users(plan: Plan, present: Present) -> Iterator[tuple[str, frozenset[str]]]:
    """Yield each object, as `kind name`, with the calendars that it uses after the plan."""
    deleted = set(plan.deleted("ActivityDefinition"))
    specs = {name: spec for name, spec in present.specs.items() if name not in deleted}
    specs |= {name: definition.spec for name, definition in plan.definitions.items()}
    for name, spec in sorted(specs.items()):
        yield f"definition {name}", calendars_in_definition(spec)
    deleted = set(plan.deleted("Subscription"))
    overrides = {
        name: subscription.triggers
        for name in present.subscriptions
        if name not in deleted and (subscription := present.live(name)) is not None
    }
    overrides |= {
        name: dict(manifest.spec.triggers) for name, manifest in plan.subscriptions.items()
    }
    for name, triggers in sorted(overrides.items()):
        yield f"subscription {name}", calendars_in_overrides(triggers)


def _touched_schedules(
    wanted: Wanted, present: Present, subscription_ids: Mapping[str, ids.SubscriptionId]
) -> dict[ids.SubscriptionId, tuple[WantedSchedule, ...]]:
    specs = present.specs
    specs |= {name: definition.spec for name, definition in wanted.definitions.items()}
    schedules = {
        subscription.id: wanted_schedules(subscription.id, spec, subscription.triggers)
        for subscription, spec in affected_subscriptions(wanted, present)
    }
    for name, manifest in sorted(wanted.subscriptions.items()):
        key, activity = subscription_ids[name], manifest.spec.activity
        if activity not in specs:
            raise ConflictError(
                f"subscription/{name} needs activitydefinition/{activity}, which does not exist",
                hint="activityctl get definitions",
            )
        schedules[key] = wanted_schedules(key, specs[activity], dict(manifest.spec.triggers))
    return schedules
