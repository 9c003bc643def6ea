"""Writes a plan into the catalog's tables in memory."""

from dataclasses import replace
from datetime import datetime

from activityctl.adapters.memory.catalog.calendars import write_calendars
from activityctl.adapters.memory.catalog.sources import write_sources
from activityctl.adapters.memory.runs.streaks import keep_or_reset_streak
from activityctl.adapters.memory.state import (
    CatalogTables,
    DefinitionRow,
    MemorySchedule,
    stored_json,
)
from activityctl.domain.gitops.history import UNKNOWN_ORIGIN, Origin, PastChange
from activityctl.domain.gitops.plan import Action, Plan, Recorded, WantedSchedule
from activityctl.domain.manifests.definition import ActivityDefinition, Revision, revision_id_of
from activityctl.domain.manifests.document import field_view
from activityctl.domain.manifests.subscription import (
    Subscription,
    SubscriptionManifest,
    SubscriptionStatus,
)
from activityctl.domain.timing.misfires import ScheduleProgress, next_nominal_time
from activityctl.domain.values import ids
from activityctl.domain.values.model import canonical


def write_plan(
    plan: Plan, now: datetime, tables: CatalogTables, origin: Origin = UNKNOWN_ORIGIN
) -> None:
    """Write everything that the plan changes, and its history; an empty plan changes nothing."""
    actions = {(change.kind, change.name): change.action for change in plan.changes}
    write_calendars(plan, now, tables)
    write_sources(plan, now, tables)
    for name, definition in plan.definitions.items():
        if actions["ActivityDefinition", name] is not Action.UNCHANGED:
            _write_definition(definition, now, tables, plan.applyset)
    for name, manifest in plan.subscriptions.items():
        if actions["Subscription", name] is not Action.UNCHANGED:
            is_new = actions["Subscription", name] is Action.CREATED
            key = plan.subscription_ids[name]
            _write_subscription(key, manifest, now, tables, plan.applyset, is_new=is_new)
    if not plan.is_empty:
        for subscription, schedules in plan.schedules.items():
            _write_schedules(subscription, schedules, tables)
    _delete(plan, now, tables)
    for recorded in plan.recorded:
        write_history(recorded, plan.applyset, now, tables, origin)


def _delete(plan: Plan, now: datetime, tables: CatalogTables) -> None:
    for name in plan.deleted("ActivityDefinition"):
        row = tables.definitions[name]
        tables.definitions[name] = replace(row, deleted_at=now, applyset=None)
    for key in plan.deleted_ids:
        _delete_subscription(key, now, tables)


def _delete_subscription(key: ids.SubscriptionId, now: datetime, tables: CatalogTables) -> None:
    tables.subscriptions[key] = replace(
        tables.subscriptions[key],
        status=SubscriptionStatus.DELETED,
        applyset=None,
        updated_at=now,
    )
    _write_schedules(key, (), tables)


def write_history(
    recorded: Recorded,
    applyset: str | None,
    now: datetime,
    tables: CatalogTables,
    origin: Origin,
) -> None:
    """Record one change of one object."""
    entries = tables.history.setdefault((recorded.kind, recorded.name), [])
    entries.append(
        PastChange(
            len(entries) + 1,
            recorded.kind,
            recorded.name,
            recorded.action,
            now,
            origin,
            applyset,
            tuple(field_view(field) for field in recorded.fields),
            recorded.document,
            recorded.revision_id,
        )
    )


def _write_definition(
    definition: ActivityDefinition, now: datetime, tables: CatalogTables, applyset: str | None
) -> None:
    name, key = definition.metadata.name, revision_id_of(definition)
    if key not in tables.revisions:
        number = 1 + sum(revision.definition == name for revision in tables.revisions.values())
        spec = stored_json(canonical(definition.spec))
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
    key: ids.SubscriptionId,
    manifest: SubscriptionManifest,
    now: datetime,
    tables: CatalogTables,
    applyset: str | None,
    *,
    is_new: bool,
) -> None:
    spec = manifest.spec
    present = tables.subscriptions.get(key)
    status = SubscriptionStatus.PAUSED if spec.paused else SubscriptionStatus.ACTIVE
    if present and not is_new and spec.paused is None:
        status = present.status
    after = Subscription(
        id=key,
        name=manifest.metadata.name,
        definition=spec.activity,
        params=stored_json(spec.params),
        triggers=stored_json(dict(spec.triggers)),
        status=status,
        created_at=present.created_at if present else now,
        updated_at=now,
        labels=dict(manifest.metadata.labels),
        annotations=dict(manifest.metadata.annotations),
        account=None if spec.account is None else stored_json(canonical(spec.account)),
        state=present.state if present else {},
        applyset=applyset or (present.applyset if present else None),
    )
    tables.subscriptions[key] = keep_or_reset_streak(present, after)


def _write_schedules(
    subscription: ids.SubscriptionId,
    wanted_schedules: tuple[WantedSchedule, ...],
    tables: CatalogTables,
) -> None:
    wanted_ids = {wanted_schedule.id for wanted_schedule in wanted_schedules}
    for key, schedule in list(tables.schedules.items()):
        if schedule.wanted.subscription_id == subscription and key not in wanted_ids:
            del tables.schedules[key]
    is_active = tables.subscriptions[subscription].status is SubscriptionStatus.ACTIVE
    for wanted in wanted_schedules:
        present, now = tables.schedules.get(wanted.id), tables.clock()
        tables.schedules[wanted.id] = (
            _changed_schedule(present, wanted, now, is_active=is_active)
            if present
            else with_cursor_at(MemorySchedule(wanted, is_active, counts_after=now), now)
        )


def _changed_schedule(
    present: MemorySchedule, wanted: WantedSchedule, now: datetime, *, is_active: bool
) -> MemorySchedule:
    is_same = (present.wanted.kind, present.wanted.body) == (wanted.kind, wanted.body)
    if is_same and present.is_active == is_active:
        return present
    after = replace(present, wanted=wanted, is_active=is_active)
    keeps_cursor = present.is_active or (
        not is_active and present.wanted.alarm_id == wanted.alarm_id
    )
    if not is_same:
        after = replace(after, fired=0, counts_after=present.cursor)
    return with_cursor_at(after, present.cursor if keeps_cursor else now)


def with_cursor_at(schedule: MemorySchedule, now: datetime) -> MemorySchedule:
    """Return the schedule with its cursor at `now`: earlier due times are decided."""
    next_at = next_nominal_time(schedule.wanted.value, ScheduleProgress(now, schedule.fired))
    return replace(schedule, cursor=now, next_at=next_at)
