"""What a plan does to the catalog's tables in memory."""

from dataclasses import replace
from datetime import datetime

from activityctl.adapters.memory.state import (
    CatalogTables,
    DefinitionRow,
    ScheduleRecord,
    kept_json,
)
from activityctl.domain import ids
from activityctl.domain.definition import ActivityDefinition, Revision, revision_of
from activityctl.domain.document import field_view
from activityctl.domain.history import UNKNOWN_ORIGIN, HistoryEntry, Origin
from activityctl.domain.model import canonical
from activityctl.domain.plan import Action, Change, Plan, WantedSchedule
from activityctl.domain.subscription import Subscription, SubscriptionManifest, SubscriptionStatus


def carry_out(
    plan: Plan, now: datetime, tables: CatalogTables, origin: Origin = UNKNOWN_ORIGIN
) -> None:
    """Write what the plan changes and its history; an empty plan changes nothing."""
    actions = {(change.kind, change.name): change.action for change in plan.changes}
    for name, definition in plan.definitions.items():
        if actions["ActivityDefinition", name] is not Action.UNCHANGED:
            _write_definition(definition, now, tables, plan.applyset)
    for name, manifest in plan.subscriptions.items():
        if actions["Subscription", name] is not Action.UNCHANGED:
            is_new = actions["Subscription", name] is Action.CREATED
            _write_subscription(manifest, now, tables, plan.applyset, is_new=is_new)
    if not plan.is_empty:
        for subscription, schedules in plan.schedules.items():
            _write_schedules(subscription, schedules, tables)
    _delete(plan, now, tables)
    for change in plan.changes:
        if change.action is not Action.UNCHANGED:
            _remember(plan, change, now, tables, origin)


def _delete(plan: Plan, now: datetime, tables: CatalogTables) -> None:
    for name in plan.deleted("ActivityDefinition"):
        row = tables.definitions[name]
        tables.definitions[name] = replace(row, deleted_at=now, applyset=None)
    for name in plan.deleted("Subscription"):
        _delete_subscription(ids.subscription_id(name), now, tables)


def _delete_subscription(key: ids.SubscriptionId, now: datetime, tables: CatalogTables) -> None:
    tables.subscriptions[key] = replace(
        tables.subscriptions[key],
        status=SubscriptionStatus.DELETED,
        applyset=None,
        updated_at=now,
    )
    _write_schedules(key, (), tables)


def _remember(
    plan: Plan, change: Change, now: datetime, tables: CatalogTables, origin: Origin
) -> None:
    entries = tables.history.setdefault((change.kind, change.name), [])
    document, revision = plan.written(change)
    entries.append(
        HistoryEntry(
            len(entries) + 1,
            change.kind,
            change.name,
            change.action.value,
            now,
            origin,
            plan.applyset,
            tuple(field_view(one) for one in change.fields),
            document,
            revision,
        )
    )


def _write_definition(
    definition: ActivityDefinition, now: datetime, tables: CatalogTables, applyset: str | None
) -> None:
    name, key = definition.metadata.name, revision_of(definition)
    if key not in tables.revisions:
        number = 1 + sum(one.definition == name for one in tables.revisions.values())
        spec = kept_json(canonical(definition.spec))
        tables.revisions[key] = Revision(key, name, number, spec, now)
    present = tables.definitions.get(name)
    tables.definitions[name] = DefinitionRow(
        name,
        key,
        dict(definition.metadata.labels),
        dict(definition.metadata.annotations),
        present.created_at if present else now,
        now,
        applyset=applyset or (present.applyset if present else None),
    )


def _write_subscription(
    manifest: SubscriptionManifest,
    now: datetime,
    tables: CatalogTables,
    applyset: str | None,
    *,
    is_new: bool,
) -> None:
    key, spec = ids.subscription_id(manifest.metadata.name), manifest.spec
    present = tables.subscriptions.get(key)
    status = SubscriptionStatus.PAUSED if spec.paused else SubscriptionStatus.ACTIVE
    if present and not is_new and spec.paused is None:
        status = present.status
    tables.subscriptions[key] = Subscription(
        id=key,
        name=manifest.metadata.name,
        definition=spec.activity,
        params=kept_json(spec.params),
        triggers=kept_json(dict(spec.triggers)),
        status=status,
        created_at=present.created_at if present else now,
        updated_at=now,
        labels=dict(manifest.metadata.labels),
        annotations=dict(manifest.metadata.annotations),
        state=present.state if present else {},
        applyset=applyset or (present.applyset if present else None),
    )


def _write_schedules(
    subscription: ids.SubscriptionId, schedules: tuple[WantedSchedule, ...], tables: CatalogTables
) -> None:
    wanted = {schedule.id for schedule in schedules}
    for key, record in tables.schedules.items():
        if record.wanted.subscription_id == subscription and key not in wanted:
            tables.schedules[key] = record.changed(None)
    status = tables.subscriptions[subscription].status
    for schedule in schedules:
        wanted_hash = f"{schedule.content_hash}:{status}"
        present = tables.schedules.get(schedule.id)
        tables.schedules[schedule.id] = (
            replace(present.changed(wanted_hash), wanted=schedule)
            if present
            else ScheduleRecord(schedule, wanted_hash)
        )
