"""What a plan writes into Postgres: definitions, subscriptions, schedules and the history."""

from datetime import datetime

from psycopg.types.json import Jsonb

from activityctl.adapters.postgres.database import Connection
from activityctl.domain import ids
from activityctl.domain.definition import ActivityDefinition, revision_of
from activityctl.domain.document import (
    field_view,
)
from activityctl.domain.history import Origin
from activityctl.domain.model import canonical
from activityctl.domain.plan import Action, Change, Plan, WantedSchedule
from activityctl.domain.subscription import SubscriptionManifest
from activityctl.ports import WORK_CHANNEL


async def write_plan(connection: Connection, plan: Plan, origin: Origin, now: datetime) -> None:
    """Write everything that the plan changes, inside the caller's transaction."""
    changed = [change for change in plan.changes if change.action is not Action.UNCHANGED]
    if not changed:
        return
    async with connection.pipeline():
        for change in changed:
            await _write_change(connection, plan, change, now)
        await _write_schedules(connection, plan)
    await _write_history(connection, plan, changed, origin, now)


async def _write_change(connection: Connection, plan: Plan, change: Change, now: datetime) -> None:
    if change.action is Action.DELETED:
        await _delete(connection, change, now)
    elif change.kind == "ActivityDefinition":
        definition = plan.definitions[change.name]
        await _write_definition(connection, definition, plan.applyset, now)
    else:
        manifest = plan.subscriptions[change.name]
        is_new = change.action is Action.CREATED
        await _write_subscription(connection, manifest, plan.applyset, now, is_new=is_new)


async def _delete(connection: Connection, change: Change, now: datetime) -> None:
    if change.kind == "ActivityDefinition":
        await connection.execute(
            "UPDATE definitions SET deleted_at = %s, applyset = NULL WHERE name = %s",
            (now, change.name),
        )
        return
    subscription = ids.subscription_id(change.name)
    await connection.execute(
        """UPDATE subscriptions SET status = 'deleted', applyset = NULL, updated_at = %s
           WHERE id = %s""",
        (now, subscription),
    )
    await connection.execute(
        "UPDATE schedules SET wanted_hash = NULL WHERE subscription_id = %s", (subscription,)
    )


async def _write_history(
    connection: Connection, plan: Plan, changed: list[Change], origin: Origin, now: datetime
) -> None:
    cursor = await connection.execute(
        """INSERT INTO applies (command, actor, source_commit, applyset, created_at)
           VALUES (%s, %s, %s, %s, %s) RETURNING id""",
        (origin.command, origin.actor, origin.source_commit, plan.applyset, now),
    )
    row = await cursor.fetchone()
    async with connection.pipeline():
        for change in changed:
            document, revision = plan.written(change)
            await connection.execute(
                """INSERT INTO apply_changes (apply_id, kind, name, number, action, fields,
                       document, revision_id)
                   SELECT %(apply)s, %(kind)s, %(name)s, 1 + coalesce(max(number), 0), %(action)s,
                       %(fields)s, %(document)s, %(revision)s
                   FROM apply_changes WHERE kind = %(kind)s AND name = %(name)s""",
                {
                    "apply": row["id"] if row else None,
                    "kind": change.kind,
                    "name": change.name,
                    "action": change.action.value,
                    "fields": Jsonb([field_view(field) for field in change.fields]),
                    "document": Jsonb(document) if document else None,
                    "revision": revision,
                },
            )


async def _write_definition(
    connection: Connection,
    definition: ActivityDefinition,
    applyset: str | None,
    now: datetime,
) -> None:
    values = {
        "name": definition.metadata.name,
        "revision": revision_of(definition),
        "spec": Jsonb(canonical(definition.spec)),
        "labels": Jsonb(definition.metadata.labels),
        "annotations": Jsonb(definition.metadata.annotations),
        "applyset": applyset,
        "now": now,
    }
    await connection.execute(
        """INSERT INTO revisions (id, definition, number, spec, created_at)
           SELECT %(revision)s, %(name)s,
               1 + coalesce((SELECT max(number) FROM revisions WHERE definition = %(name)s), 0),
               %(spec)s, %(now)s
           ON CONFLICT (id) DO NOTHING""",
        values,
    )
    await connection.execute(
        """INSERT INTO definitions (name, revision_id, labels, annotations, applyset, created_at,
               updated_at)
           VALUES (%(name)s, %(revision)s, %(labels)s, %(annotations)s, %(applyset)s, %(now)s,
               %(now)s)
           ON CONFLICT (name) DO UPDATE SET revision_id = excluded.revision_id,
               labels = excluded.labels, annotations = excluded.annotations,
               applyset = coalesce(excluded.applyset, definitions.applyset),
               updated_at = excluded.updated_at, deleted_at = NULL""",
        values,
    )


async def _write_subscription(
    connection: Connection,
    manifest: SubscriptionManifest,
    applyset: str | None,
    now: datetime,
    *,
    is_new: bool,
) -> None:
    spec = manifest.spec
    status = None if spec.paused is None else ("paused" if spec.paused else "active")
    await connection.execute(
        """INSERT INTO subscriptions (id, name, definition, params, triggers, labels, annotations,
               applyset, status, created_at, updated_at)
           VALUES (%(id)s, %(name)s, %(definition)s, %(params)s, %(triggers)s, %(labels)s,
               %(annotations)s, %(applyset)s, coalesce(%(status)s, 'active'), %(now)s, %(now)s)
           ON CONFLICT (id) DO UPDATE SET definition = excluded.definition,
               params = excluded.params, triggers = excluded.triggers, labels = excluded.labels,
               annotations = excluded.annotations, updated_at = excluded.updated_at,
               applyset = coalesce(excluded.applyset, subscriptions.applyset),
               status = CASE WHEN %(is_new)s OR %(status)s::text IS NOT NULL
                   THEN excluded.status ELSE subscriptions.status END""",
        {
            "id": ids.subscription_id(manifest.metadata.name),
            "name": manifest.metadata.name,
            "definition": spec.activity,
            "params": Jsonb(spec.params),
            "triggers": Jsonb(spec.triggers),
            "labels": Jsonb(manifest.metadata.labels),
            "annotations": Jsonb(manifest.metadata.annotations),
            "applyset": applyset,
            "status": status,
            "is_new": is_new,
            "now": now,
        },
    )


async def _write_schedules(connection: Connection, plan: Plan) -> None:
    for subscription, schedules in plan.schedules.items():
        await connection.execute(
            """UPDATE schedules SET wanted_hash = NULL
               WHERE subscription_id = %s AND wanted_hash IS NOT NULL AND NOT id = ANY(%s)""",
            (subscription, [schedule.id for schedule in schedules]),
        )
        for schedule in schedules:
            await _write_schedule(connection, schedule)
    await connection.execute("SELECT pg_notify(%s, 'schedules')", (WORK_CHANNEL,))


async def _write_schedule(connection: Connection, schedule: WantedSchedule) -> None:
    await connection.execute(
        """INSERT INTO schedules (id, subscription_id, trigger, kind, body, wanted_hash)
           SELECT %(id)s, %(subscription)s, %(trigger)s, %(kind)s, %(body)s,
               %(hash)s || ':' || s.status
           FROM subscriptions s WHERE s.id = %(subscription)s
           ON CONFLICT (id) DO UPDATE SET kind = excluded.kind, body = excluded.body,
               wanted_hash = excluded.wanted_hash,
               observed_hash = CASE WHEN schedules.wanted_hash = excluded.wanted_hash
                   THEN schedules.observed_hash END""",
        {
            "id": schedule.id,
            "subscription": schedule.subscription_id,
            "trigger": schedule.trigger,
            "kind": schedule.kind,
            "body": Jsonb(schedule.body),
            "hash": schedule.content_hash,
        },
    )
