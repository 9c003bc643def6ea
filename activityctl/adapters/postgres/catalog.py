"""The catalog in Postgres: definitions, revisions, subscriptions and wanted schedules."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Final

from psycopg.types.json import Jsonb

from activityctl.adapters.postgres.database import Connection, Database, prefix_pattern
from activityctl.adapters.postgres.rows import (
    REVISION_COLUMNS,
    SUBSCRIPTION_COLUMNS,
    revision_of,
    spec_of,
    subscription_of,
)
from activityctl.domain import ids
from activityctl.domain.definition import ActivityDefinition, Revision
from activityctl.domain.definition import revision_of as revision_id_of
from activityctl.domain.model import canonical
from activityctl.domain.plan import Action, Plan, Present, PresentDefinition, WantedSchedule
from activityctl.domain.selection import Selection
from activityctl.domain.subscription import Subscription, SubscriptionManifest, SubscriptionStatus
from activityctl.errors import ConflictError, NotFoundError
from activityctl.ports import WORK_CHANNEL

_CATALOG_LOCK: Final = 0x61637470


class PostgresCatalog:
    """The Catalog port."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._changing: Connection | None = None

    @asynccontextmanager
    async def changing(self) -> AsyncIterator[None]:
        """Hold the catalog's lock, in one transaction; other changers wait their turn."""
        async with self._database.transaction() as connection:
            await connection.execute("SELECT pg_advisory_xact_lock(%s)", (_CATALOG_LOCK,))
            self._changing = connection
            try:
                yield
            finally:
                self._changing = None

    async def present(self) -> Present:
        """Return what lives; within `changing`, as that transaction sees it."""
        definitions = await self._rows(
            "SELECT d.*, v.spec FROM definitions d JOIN revisions v ON v.id = d.revision_id "
            "WHERE d.deleted_at IS NULL"
        )
        subscriptions = await self._rows(f"SELECT {SUBSCRIPTION_COLUMNS} FROM subscriptions s")
        return Present(
            {
                row["name"]: PresentDefinition(
                    row["name"],
                    row["revision_id"],
                    spec_of(row["spec"]),
                    row["labels"],
                    row["annotations"],
                )
                for row in definitions
            },
            {row["name"]: subscription_of(row) for row in subscriptions},
        )

    async def write(self, plan: Plan, now: datetime) -> None:
        """Carry out the plan; call it within `changing`."""
        connection = self._required()
        actions = {(change.kind, change.name): change.action for change in plan.changes}
        async with connection.pipeline():
            for name, definition in plan.definitions.items():
                if actions["ActivityDefinition", name] is not Action.UNCHANGED:
                    await _write_definition(connection, definition, now)
            for name, manifest in plan.subscriptions.items():
                action = actions["Subscription", name]
                if action is not Action.UNCHANGED:
                    is_new = action is Action.CREATED
                    await _write_subscription(connection, manifest, now, is_new=is_new)
            if not plan.is_empty:
                await _write_schedules(connection, plan)

    async def definitions(self, selection: Selection) -> list[tuple[Mapping[str, Any], Revision]]:
        """Return the definitions with their current revisions, by name."""
        rows = await self._database.fetch(
            f"""SELECT d.name, d.labels, d.annotations, d.created_at AS since, d.updated_at,
                    {REVISION_COLUMNS},
                    (SELECT count(*) FROM subscriptions s
                     WHERE s.definition = d.name AND s.status <> 'deleted') AS subscriptions
                FROM definitions d JOIN revisions v ON v.id = d.revision_id
                WHERE d.deleted_at IS NULL AND (%(name)s::text IS NULL OR d.name = %(name)s)
                  AND d.labels @> %(labels)s ORDER BY d.name LIMIT %(limit)s""",
            name=selection.name,
            labels=Jsonb(dict(selection.labels)),
            limit=selection.limit,
        )
        return [(row, revision_of(row)) for row in rows]

    async def revisions(self, selection: Selection) -> list[Revision]:
        """Return immutable revisions, newest first."""
        rows = await self._database.fetch(
            f"""SELECT {REVISION_COLUMNS} FROM revisions v
                WHERE (%(name)s::text IS NULL OR v.definition = %(name)s
                       OR v.id LIKE %(prefix)s)
                ORDER BY v.created_at DESC, v.number DESC LIMIT %(limit)s""",
            name=selection.name,
            prefix=prefix_pattern(selection.name or ""),
            limit=selection.limit,
        )
        return [revision_of(row) for row in rows]

    async def subscriptions(self, selection: Selection) -> list[Subscription]:
        """Return subscriptions by name; deleted ones only when asked for by status."""
        rows = await self._database.fetch(
            f"""SELECT {SUBSCRIPTION_COLUMNS} FROM subscriptions s
                WHERE (%(id)s::text IS NULL OR s.id = %(id)s)
                  AND (CASE WHEN %(status)s::text IS NULL THEN s.status <> 'deleted'
                       ELSE s.status = %(status)s END)
                  AND s.labels @> %(labels)s ORDER BY s.name LIMIT %(limit)s""",
            id=selection.subscription_id,
            status=selection.status,
            labels=Jsonb(dict(selection.labels)),
            limit=selection.limit,
        )
        return [subscription_of(row) for row in rows]

    async def find_subscription(self, reference: str) -> Subscription:
        """Return the one with that name, id or unique id prefix."""
        rows = await self._database.fetch(
            f"""SELECT {SUBSCRIPTION_COLUMNS} FROM subscriptions s
                WHERE s.name = %(reference)s OR s.id LIKE %(prefix)s
                ORDER BY s.name <> %(reference)s, s.name LIMIT 2""",
            reference=reference,
            prefix=prefix_pattern(reference),
        )
        if not rows:
            raise NotFoundError("subscription", reference, hint="activityctl get subscriptions")
        if len(rows) > 1 and rows[0]["name"] != reference:
            raise ConflictError(
                f'"{reference}" fits several subscriptions', hint="give more of the id"
            )
        return subscription_of(rows[0])

    async def set_subscription_status(
        self, subscription_id: str, status: SubscriptionStatus, now: datetime
    ) -> bool:
        """Pause, resume or delete; False when it was so already. Schedules follow."""
        async with self._database.transaction() as connection:
            cursor = await connection.execute(
                """UPDATE subscriptions SET status = %(status)s, updated_at = %(now)s
                   WHERE id = %(id)s AND status <> %(status)s""",
                {"id": subscription_id, "status": status.value, "now": now},
            )
            if not cursor.rowcount:
                return False
            await connection.execute(
                """UPDATE schedules SET wanted_hash = CASE %(status)s
                       WHEN 'deleted' THEN NULL
                       ELSE split_part(wanted_hash, ':', 1) || ':' || %(status)s END
                   WHERE subscription_id = %(id)s AND wanted_hash IS NOT NULL""",
                {"id": subscription_id, "status": status.value},
            )
            await connection.execute("SELECT pg_notify(%s, 'schedules')", (WORK_CHANNEL,))
        return True

    async def delete_definition(self, name: str, now: datetime) -> None:
        """Delete a definition that no live subscription uses (else ConflictError)."""
        async with self.changing():
            users = await self._rows(
                "SELECT name FROM subscriptions WHERE definition = %(name)s "
                "AND status <> 'deleted' ORDER BY name",
                name=name,
            )
            if users:
                names = ", ".join(row["name"] for row in users[:5])
                raise ConflictError(
                    f'definition "{name}" is used by {len(users)} subscriptions: {names}',
                    hint=f"activityctl delete subscription {users[0]['name']}",
                )
            found = await self._rows(
                "UPDATE definitions SET deleted_at = %(now)s WHERE name = %(name)s "
                "AND deleted_at IS NULL RETURNING name",
                name=name,
                now=now,
            )
        if not found:
            raise NotFoundError("definition", name, hint="activityctl get definitions")

    def _required(self) -> Connection:
        assert self._changing is not None, "call it within changing()"  # noqa: S101
        return self._changing

    async def _rows(self, query: str, **values: Any) -> list[dict[str, Any]]:
        if self._changing is None:
            return await self._database.fetch(query, **values)
        cursor = await self._changing.execute(query.encode(), values)
        return await cursor.fetchall()


async def _write_definition(
    connection: Connection, definition: ActivityDefinition, now: datetime
) -> None:
    values = {
        "name": definition.metadata.name,
        "revision": revision_id_of(definition),
        "spec": Jsonb(canonical(definition.spec)),
        "labels": Jsonb(definition.metadata.labels),
        "annotations": Jsonb(definition.metadata.annotations),
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
        """INSERT INTO definitions (name, revision_id, labels, annotations, created_at, updated_at)
           VALUES (%(name)s, %(revision)s, %(labels)s, %(annotations)s, %(now)s, %(now)s)
           ON CONFLICT (name) DO UPDATE SET revision_id = excluded.revision_id,
               labels = excluded.labels, annotations = excluded.annotations,
               updated_at = excluded.updated_at, deleted_at = NULL""",
        values,
    )


async def _write_subscription(
    connection: Connection, manifest: SubscriptionManifest, now: datetime, *, is_new: bool
) -> None:
    spec = manifest.spec
    status = None if spec.paused is None else ("paused" if spec.paused else "active")
    await connection.execute(
        """INSERT INTO subscriptions (id, name, definition, params, triggers, labels, annotations,
               status, created_at, updated_at)
           VALUES (%(id)s, %(name)s, %(definition)s, %(params)s, %(triggers)s, %(labels)s,
               %(annotations)s, coalesce(%(status)s, 'active'), %(now)s, %(now)s)
           ON CONFLICT (id) DO UPDATE SET definition = excluded.definition,
               params = excluded.params, triggers = excluded.triggers, labels = excluded.labels,
               annotations = excluded.annotations, updated_at = excluded.updated_at,
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
               wanted_hash = excluded.wanted_hash""",
        {
            "id": schedule.id,
            "subscription": schedule.subscription_id,
            "trigger": schedule.trigger,
            "kind": schedule.kind,
            "body": Jsonb(schedule.body),
            "hash": schedule.content_hash,
        },
    )
