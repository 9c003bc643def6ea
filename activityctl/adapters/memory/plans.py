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
from activityctl.domain.model import canonical
from activityctl.domain.plan import Action, Plan, WantedSchedule
from activityctl.domain.subscription import Subscription, SubscriptionManifest, SubscriptionStatus


def carry_out(plan: Plan, now: datetime, tables: CatalogTables) -> None:
    """Write what the plan changes; an empty plan changes nothing."""
    actions = {(change.kind, change.name): change.action for change in plan.changes}
    for name, definition in plan.definitions.items():
        if actions["ActivityDefinition", name] is not Action.UNCHANGED:
            _write_definition(definition, now, tables)
    for name, manifest in plan.subscriptions.items():
        if actions["Subscription", name] is not Action.UNCHANGED:
            is_new = actions["Subscription", name] is Action.CREATED
            _write_subscription(manifest, now, tables, is_new=is_new)
    if not plan.is_empty:
        for subscription, schedules in plan.schedules.items():
            _write_schedules(subscription, schedules, tables)


def _write_definition(definition: ActivityDefinition, now: datetime, tables: CatalogTables) -> None:
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
    )


def _write_subscription(
    manifest: SubscriptionManifest, now: datetime, tables: CatalogTables, *, is_new: bool
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
