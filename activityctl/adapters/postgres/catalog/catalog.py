"""The catalog in Postgres; `writes.py` writes a plan into its tables."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from datetime import datetime
from typing import Any, Final

from psycopg.types.json import Jsonb

from activityctl.adapters.postgres.catalog.calendars import (
    SELECT_LIVE_CALENDARS,
    calendar_of,
    days_of,
)
from activityctl.adapters.postgres.catalog.sources import (
    SELECT_LIVE_SOURCES,
    listed_sources,
    refused_requests,
    source_of,
)
from activityctl.adapters.postgres.catalog.writes import write_history, write_plan
from activityctl.adapters.postgres.database import (
    Connection,
    Database,
    prefix_pattern,
    to_jsonb,
    to_storable_text,
)
from activityctl.adapters.postgres.locks import Lock, take_lock
from activityctl.adapters.postgres.rows import (
    PLANNED_SUBSCRIPTION_COLUMNS,
    REVISION_COLUMNS,
    SUBSCRIPTION_COLUMNS,
    past_change_of,
    planned_subscription_of,
    revision_of,
    spec_of,
    subscription_of,
)
from activityctl.adapters.postgres.schedules.due_schedules import (
    process_all_due,
    recompute_next_times,
    select_due,
)
from activityctl.adapters.postgres.signals import wake_workers
from activityctl.domain.gitops.answered import ANSWERS_KEPT, AnsweredRequest
from activityctl.domain.gitops.history import UNKNOWN_ORIGIN, Origin, PastApply, PastChange
from activityctl.domain.gitops.plan import Plan, Present, PresentDefinition, Recorded
from activityctl.domain.manifests.calendar import PresentCalendar
from activityctl.domain.manifests.definition import Revision
from activityctl.domain.manifests.event_source import PresentEventSource
from activityctl.domain.manifests.subscription import OperatorStatus, Subscription
from activityctl.domain.sources.traffic import RefusedRequest, SourceTraffic
from activityctl.domain.values.model import JsonValue
from activityctl.domain.values.moment import DaySpan
from activityctl.domain.values.selection import Selection
from activityctl.domain.values.shared import Shared
from activityctl.errors import CANDIDATES_TOLD, AmbiguousError, NotFoundError
from activityctl.ports import Work

_ALLOW_LONG_READ: Final = "SET LOCAL idle_in_transaction_session_timeout = '60s'"
"""Postgres hears nothing while a hundred thousand objects are read: ten seconds, and more on a
machine with much other work."""

_SELECT_PRESENT: Final = (
    """SELECT d.*, v.spec FROM definitions d JOIN revisions v ON v.id = d.revision_id
        WHERE d.deleted_at IS NULL""",
    f"SELECT {PLANNED_SUBSCRIPTION_COLUMNS} FROM subscriptions s",
    SELECT_LIVE_CALENDARS,
    SELECT_LIVE_SOURCES,
)


class PostgresCatalog:
    """Implements the Catalog port."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._changing: ContextVar[Connection | None] = ContextVar("changing", default=None)

    @asynccontextmanager
    async def changing(self) -> AsyncIterator[None]:
        """Hold the catalog's lock; other callers wait until the block ends.

        What is written takes effect when the block ends without an exception. A block inside of
        another one is a part of it.
        """
        if self._changing.get() is not None:
            yield
            return
        async with self._database.held_transaction(is_long=True) as connection:
            async with connection.pipeline():
                await connection.execute(_ALLOW_LONG_READ)
                await take_lock(connection, Lock.CATALOG)
            token = self._changing.set(connection)
            try:
                yield
            finally:
                self._changing.reset(token)

    async def present(self) -> Present:
        """Return the live objects and the deleted subscriptions, at one moment.

        The subscriptions come without state and without the reason of their pause.
        Inside `changing`, the result contains what was written there.
        """
        connection = self._changing.get()
        if connection is not None:
            async with connection.pipeline():
                cursors = [await connection.execute(query.encode()) for query in _SELECT_PRESENT]
        else:
            async with self._database.one_trip() as snapshot:
                await snapshot.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
                cursors = [await snapshot.execute(query.encode()) for query in _SELECT_PRESENT]
        definitions, subscriptions, calendars, sources = cursors
        shared = Shared()
        return Present(
            {
                row["name"]: PresentDefinition(
                    row["name"],
                    row["revision_id"],
                    spec_of(row["spec"]),
                    row["labels"],
                    row["annotations"],
                    row["applyset"],
                )
                for row in await definitions.fetchall()
            },
            {row["name"]: planned_subscription_of(row, shared) async for row in subscriptions},
            {row["name"]: calendar_of(row) for row in await calendars.fetchall()},
            sources={row["name"]: source_of(row) for row in await sources.fetchall()},
        )

    async def write(self, plan: Plan, now: datetime, origin: Origin = UNKNOWN_ORIGIN) -> None:
        """Carry out the plan and record it in the history; call it inside `changing`."""
        await write_plan(self._changing_connection(), plan, origin, now)

    async def answered(self, actor: str, key: str) -> AnsweredRequest | None:
        """Return what a request with this key of this actor has changed."""
        rows = await self._rows(
            """SELECT digest, content FROM answered_requests
               WHERE actor = %(actor)s AND key = %(key)s""",
            actor=actor,
            key=key,
        )
        return AnsweredRequest(rows[0]["digest"], rows[0]["content"]) if rows else None

    async def keep_answered(
        self, actor: str, key: str, request: AnsweredRequest, now: datetime
    ) -> None:
        """Keep what a request has changed, and forget what is older than a day."""
        connection = self._changing_connection()
        async with connection.pipeline():
            await connection.execute(
                "DELETE FROM answered_requests WHERE at < %s", (now - ANSWERS_KEPT,)
            )
            await connection.execute(
                "INSERT INTO answered_requests (actor, key, digest, content, at)"
                " VALUES (%s, %s, %s, %s, %s)",
                (actor, key, request.digest, Jsonb(dict(request.content)), now),
            )

    async def history(self, kind: str, name: str, *, limit: int | None = None) -> list[PastChange]:
        """Return the recorded changes of one object, newest first; None for all."""
        rows = await self._rows(
            """SELECT c.*, a.command, a.actor, a.source_commit, a.applyset, a.created_at
               FROM apply_changes c JOIN applies a ON a.id = c.apply_id
               WHERE c.kind = %(kind)s AND c.name = %(name)s
               ORDER BY c.number DESC LIMIT %(limit)s""",
            kind=kind,
            name=name,
            limit=limit,
        )
        return [past_change_of(row) for row in rows]

    async def last_applies(self) -> Mapping[str, PastApply]:
        """Return the last recorded apply of each apply set, by the name of the set."""
        rows = await self._rows(
            """SELECT DISTINCT ON (applyset) applyset, command, actor, source_commit, created_at
               FROM applies WHERE applyset IS NOT NULL ORDER BY applyset, id DESC"""
        )
        return {
            row["applyset"]: PastApply(
                row["created_at"], Origin(row["command"], row["actor"], row["source_commit"])
            )
            for row in rows
        }

    async def definitions(self, selection: Selection) -> list[tuple[Mapping[str, Any], Revision]]:
        """Return the live definitions with their current revisions, by name."""
        rows = await self._database.fetch(
            f"""SELECT d.name, d.labels, d.annotations, d.applyset,
                    d.created_at AS since, d.updated_at,
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

    async def calendars(self) -> Mapping[str, tuple[DaySpan, ...]]:
        """Return the days of every live calendar, by its name."""
        return {
            row["name"]: days_of(row["days"]) for row in await self._rows(SELECT_LIVE_CALENDARS)
        }

    async def listed_calendars(self, selection: Selection) -> list[PresentCalendar]:
        """Return the live calendars, by name."""
        rows = await self._rows(
            f"""{SELECT_LIVE_CALENDARS} AND (%(name)s::text IS NULL OR c.name = %(name)s)
                AND c.labels @> %(labels)s ORDER BY c.name LIMIT %(limit)s""",
            name=selection.name,
            labels=Jsonb(dict(selection.labels)),
            limit=selection.limit,
        )
        return [calendar_of(row) for row in rows]

    async def listed_sources(
        self, selection: Selection
    ) -> list[tuple[PresentEventSource, SourceTraffic]]:
        """Return the live event sources with what came to them, by name."""
        return await listed_sources(self._database, selection)

    async def refused_requests(self, source: str, limit: int) -> list[RefusedRequest]:
        """Return the last refused requests of an event source, newest first."""
        return await refused_requests(self._database, source, limit)

    async def revisions(self, selection: Selection) -> list[Revision]:
        """Return revisions, newest first."""
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
        """Return subscriptions by name; deleted ones only when that status is selected."""
        rows = await self._database.fetch(
            f"""SELECT {SUBSCRIPTION_COLUMNS} FROM subscriptions s
                WHERE (%(id)s::text IS NULL OR s.id = %(id)s)
                  AND (%(definition)s::text IS NULL OR s.definition = %(definition)s)
                  AND (CASE WHEN %(statuses)s::text[] IS NULL THEN s.status <> 'deleted'
                       ELSE s.status = ANY(%(statuses)s) END)
                  AND s.labels @> %(labels)s ORDER BY s.name LIMIT %(limit)s""",
            id=selection.subscription_id,
            definition=selection.definition,
            statuses=list(selection.statuses) or None,
            labels=Jsonb(dict(selection.labels)),
            limit=selection.limit,
        )
        return [subscription_of(row) for row in rows]

    async def subscriptions_of(self, ids: Sequence[str]) -> list[Subscription]:
        """Return the subscriptions with these ids, also deleted ones, in any order."""
        rows = await self._database.fetch(
            f"SELECT {SUBSCRIPTION_COLUMNS} FROM subscriptions s WHERE s.id = ANY(%(ids)s)",
            ids=list(ids),
        )
        return [subscription_of(row) for row in rows]

    async def find_subscription(self, reference: str) -> Subscription:
        """Return the subscription with that name or id, or with that unique prefix of its id.

        Raises NotFoundError when there is none, AmbiguousError when the prefix matches several.
        """
        rows = await self._database.fetch(
            f"""SELECT {SUBSCRIPTION_COLUMNS} FROM subscriptions s
                WHERE s.name = %(reference)s OR (s.id LIKE %(prefix)s AND %(reference)s <> '')
                ORDER BY s.name <> %(reference)s, s.name LIMIT %(limit)s""",
            limit=CANDIDATES_TOLD + 1,
            reference=to_storable_text(reference),
            prefix=prefix_pattern(reference),
        )
        if not rows:
            raise NotFoundError("subscription", reference, hint="activityctl get subscriptions")
        if len(rows) > 1 and rows[0]["name"] != reference:
            names = [f"{row['id']} ({row['name']})" for row in rows]
            raise AmbiguousError(reference, "subscriptions", names)
        return subscription_of(rows[0])

    async def replace_state(
        self,
        before: Subscription,
        state: Mapping[str, JsonValue],
        recorded: Recorded,
        now: datetime,
        origin: Origin,
    ) -> bool:
        """Store and record a new state; False if the stored one is not that of `before`."""
        async with self._database.transaction() as connection:
            await take_lock(connection, Lock.CATALOG)  # it also numbers the changes of an object
            cursor = await connection.execute(
                "UPDATE subscriptions SET state = %s WHERE id = %s AND state = %s",
                (to_jsonb(dict(state)), before.id, to_jsonb(before.state)),
            )
            if not cursor.rowcount:
                return False
            await write_history(connection, [recorded], None, origin, now)
        return True

    async def set_subscription_status(
        self,
        subscription_id: str,
        status: OperatorStatus,
        now: datetime,
        *,
        reason: str | None = None,
        catch_up: bool = False,
    ) -> bool:
        """Pause or resume the subscription and its schedules; return whether its status changed.

        What is due is processed first. A resume moves the cursors to now, unless `catch_up`.
        """
        async with self._database.transaction() as connection:
            async with connection.pipeline():
                await take_lock(connection, Lock.CATALOG)  # a running apply may add schedules
                due = await select_due(connection, [subscription_id])
            await process_all_due(connection, [row["id"] for row in await due.fetchall()])
            cursor = await connection.execute(
                """UPDATE subscriptions SET status = %(status)s, updated_at = %(now)s,
                       failures = CASE %(status)s WHEN 'active' THEN 0 ELSE failures END,
                       pause_reason = %(reason)s, paused_by_run = NULL,
                       paused_at = CASE %(status)s WHEN 'paused' THEN %(now)s::timestamptz END
                   WHERE id = %(id)s AND status NOT IN (%(status)s, 'deleted')""",
                {
                    "id": subscription_id,
                    "status": status.value,
                    "now": now,
                    "reason": to_storable_text(reason),
                },
            )
            if not cursor.rowcount:
                return False
            cursor = await connection.execute(
                """UPDATE schedules SET is_active = %(status)s = 'active',
                       cursor = CASE WHEN %(catch_up)s OR %(status)s = 'paused' THEN cursor
                           ELSE clock_timestamp() END
                   WHERE subscription_id = %(id)s
                   RETURNING id, kind, body, cursor, fired""",
                {"id": subscription_id, "status": status.value, "catch_up": catch_up},
            )
            rows = await cursor.fetchall()
            async with connection.committing():
                await recompute_next_times(connection, rows)
                await wake_workers(connection, Work.SCHEDULES)
        return True

    def _changing_connection(self) -> Connection:
        connection = self._changing.get()
        assert connection is not None, "call it inside changing()"  # noqa: S101  # our bug
        return connection

    async def _rows(self, query: str, **values: Any) -> list[dict[str, Any]]:
        connection = self._changing.get()
        if connection is None:
            return await self._database.fetch(query, **values)
        cursor = await connection.execute(query.encode(), values)
        return await cursor.fetchall()
