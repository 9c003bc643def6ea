"""The register of schedules in Postgres: what Temporal shall hold and was made to hold."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Final, LiteralString

from activityctl.adapters.postgres.database import Database, to_storable_text
from activityctl.domain.gitops.drift import StoredSchedule
from activityctl.domain.gitops.plan import WantedSchedule
from activityctl.domain.timing.silent_schedules import SILENT_AFTER, has_no_clock_change
from activityctl.domain.values.ids import ScheduleId, SubscriptionId
from activityctl.domain.values.selection import Selection
from activityctl.ports import ListedSchedule, UnsyncedSchedule

_RECONCILER_LOCK: Final = 0x61637472
_AUDITOR_LOCK: Final = 0x61637461


class PostgresScheduleRegister:
    """The ScheduleRegister port; a wanted hash is `<timing>:<subscription status>`.

    Whoever changes it forgets the observed hash: a wish that returns after another that was
    being placed would otherwise look fulfilled, while Temporal holds the other.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def schedules(self, selection: Selection) -> list[ListedSchedule]:
        """Return the wanted schedules by subscription and trigger."""
        rows = await self._database.fetch(
            """SELECT c.*, s.name AS subscription, s.status AS life FROM schedules c
               JOIN subscriptions s ON s.id = c.subscription_id
               WHERE c.wanted_hash IS NOT NULL
                 AND (%(id)s::text IS NULL OR s.id = %(id)s)
               ORDER BY s.name, c.trigger LIMIT %(limit)s""",
            id=selection.subscription_id,
            limit=selection.limit,
        )
        return [
            ListedSchedule(
                _wanted(row),
                row["subscription"],
                _status(row),
                row["error"],
                row["observed_at"],
                row["fired"],
            )
            for row in rows
        ]

    async def unsynced(self, limit: int) -> list[UnsyncedSchedule]:
        """Return schedules that are not observed as wanted, or are wanted no more."""
        rows = await self._database.fetch(
            """SELECT * FROM schedules
               WHERE wanted_hash IS NULL OR wanted_hash IS DISTINCT FROM observed_hash
               ORDER BY id LIMIT %(limit)s""",
            limit=limit,
        )
        return [
            UnsyncedSchedule(
                row["id"],
                _wanted(row) if row["wanted_hash"] else None,
                (row["wanted_hash"] or "").endswith(":paused"),
                row["wanted_hash"],
            )
            for row in rows
        ]

    async def mark_synced(self, drifts: Sequence[UnsyncedSchedule], now: datetime) -> None:
        """Record that Temporal now holds them; rows that are wanted no more are dropped."""
        held = {one.id: one.wanted_hash for one in drifts if one.wanted is not None}
        free = await self._held(held, now, "FOR UPDATE SKIP LOCKED") if held else ()
        for key in held.keys() - free:
            # Whoever waits for a row while it holds others may wait for ever.
            await self._held({key: held[key]}, now, "FOR UPDATE")
        for one in drifts:
            if one.wanted is None:
                await self._removed(one.id)

    async def _held(
        self, hashes: Mapping[str, str | None], now: datetime, lock: LiteralString
    ) -> set[str]:
        """Return the ids of the rows that were written."""
        rows = await self._database.fetch(
            f"""UPDATE schedules c
                SET observed_hash = x.hash, observed_at = %(now)s, error = NULL
                FROM (SELECT id FROM schedules WHERE id = ANY(%(ids)s) {lock}) AS own
                JOIN unnest(%(ids)s::text[], %(hashes)s::text[]) AS x(id, hash) USING (id)
                WHERE c.id = own.id RETURNING c.id""",
            ids=list(hashes),
            hashes=list(hashes.values()),
            now=now,
        )
        return {row["id"] for row in rows}

    async def _removed(self, schedule_id: str) -> None:
        async with self._database.transaction() as connection:
            await connection.execute(
                "DELETE FROM schedules WHERE id = %s AND wanted_hash IS NULL", (schedule_id,)
            )
            # Wanted anew since it was removed: it must be placed again.
            await connection.execute(
                "UPDATE schedules SET observed_hash = NULL WHERE id = %s", (schedule_id,)
            )

    async def mark_failed(self, drift: UnsyncedSchedule, error: str) -> None:
        """Record why Temporal could not be made to hold it."""
        query = "UPDATE schedules SET error = %(error)s WHERE id = %(id)s"
        await self._database.fetch(query, id=drift.id, error=to_storable_text(error))

    async def unsynced_errors(self, subscriptions: Sequence[str]) -> list[tuple[str, str | None]]:
        """Return (schedule id, last error) of those subscriptions' schedules that drift."""
        rows = await self._database.fetch(
            """SELECT id, error FROM schedules
               WHERE (wanted_hash IS NULL OR wanted_hash IS DISTINCT FROM observed_hash)
                 AND subscription_id = ANY(%(subscriptions)s) ORDER BY id""",
            subscriptions=list(subscriptions),
        )
        return [(row["id"], row["error"]) for row in rows]

    async def stored(self, ids: Sequence[str]) -> Mapping[str, StoredSchedule]:
        """Return what is recorded of these schedules; those of unknown subscriptions are absent."""
        rows = await self._database.fetch(
            """SELECT asked.id, s.id AS subscription_id, split_part(asked.id, '/', 3) AS trigger,
                   c.kind, c.body, c.wanted_hash, c.observed_hash, c.id IS NULL AS is_absent
               FROM unnest(%(ids)s::text[]) AS asked(id)
               JOIN subscriptions s ON s.id = split_part(asked.id, '/', 2)
               LEFT JOIN schedules c ON c.id = asked.id""",
            ids=list(ids),
        )
        return {row["id"]: _stored(row) for row in rows}

    async def synced_ids(self, *, after: str, limit: int) -> list[ScheduleId]:
        """Return the ids, in their order, of schedules that are observed as wanted."""
        rows = await self._database.fetch(
            """SELECT id FROM schedules
               WHERE id > %(after)s AND wanted_hash = observed_hash
               ORDER BY id LIMIT %(limit)s""",
            after=after,
            limit=limit,
        )
        return [ScheduleId(row["id"]) for row in rows]

    async def silent(self) -> list[StoredSchedule]:
        """Return schedules that Temporal seems to hold but which have stopped waking us.

        Around a change of the clocks the server leaves times out; that is no silence.
        """
        rows = await self._database.fetch(
            """SELECT c.*, false AS is_absent, clock_timestamp() AS now FROM schedules c
               JOIN subscriptions s ON s.id = c.subscription_id AND s.status = 'active'
               WHERE c.wakes >= %(wakes)s AND c.wanted_hash = c.observed_hash ORDER BY c.id""",
            wakes=SILENT_AFTER,
        )
        found = [(_stored(row), row["now"]) for row in rows]
        return [
            one for one, now in found if one.wanted and has_no_clock_change(one.wanted.value, now)
        ]

    async def mark_restarted(self, schedule_id: ScheduleId, now: datetime) -> None:
        """Record that a silent schedule was created again."""
        await self._database.fetch(
            """UPDATE schedules SET wakes = 0, restarts = restarts + 1, restarted_at = %(now)s
               WHERE id = %(id)s""",
            id=schedule_id,
            now=now,
        )

    @asynccontextmanager
    async def drift_lock(self) -> AsyncIterator[bool]:
        """Hold the one auditor's lock; False when another process holds it."""
        async with self._holding(_AUDITOR_LOCK) as is_held:
            yield is_held

    @asynccontextmanager
    async def reconcile_lock(self) -> AsyncIterator[bool]:
        """Hold the one reconciler's lock; False when another process holds it."""
        async with self._holding(_RECONCILER_LOCK) as is_held:
            yield is_held

    @asynccontextmanager
    async def _holding(self, lock: int) -> AsyncIterator[bool]:
        async with self._database.transaction() as connection:
            cursor = await connection.execute(
                "SELECT pg_try_advisory_xact_lock(%s) AS held", (lock,)
            )
            row = await cursor.fetchone()
            yield bool(row and row["held"])


def _wanted(row: dict[str, Any]) -> WantedSchedule:
    return WantedSchedule(
        ScheduleId(row["id"]),
        SubscriptionId(row["subscription_id"]),
        row["trigger"],
        row["kind"],
        row["body"],
    )


def _stored(row: dict[str, Any]) -> StoredSchedule:
    return StoredSchedule(
        ScheduleId(row["id"]),
        SubscriptionId(row["subscription_id"]),
        row["trigger"],
        _wanted(row) if row["wanted_hash"] else None,
        (row["wanted_hash"] or "").endswith(":paused"),
        row["wanted_hash"],
        # A row that is wanted no more stays until Temporal has let the schedule go.
        row["is_absent"] or (row["wanted_hash"] or "") == row["observed_hash"],
    )


def _status(row: dict[str, Any]) -> str:
    if row["wanted_hash"] == row["observed_hash"]:
        return str(row["life"])
    return "error" if row["error"] else "pending"
