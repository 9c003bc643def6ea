"""The register of schedules in Postgres: what Temporal must hold, and what it was seen to hold."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, LiteralString

from activityctl.adapters.postgres.database import Database, to_storable_text
from activityctl.adapters.postgres.locks import Lock, try_lock
from activityctl.domain.gitops.drift import StoredSchedule
from activityctl.domain.gitops.plan import WantedSchedule
from activityctl.domain.timing.silent_schedules import SILENT_AFTER, has_no_clock_change
from activityctl.domain.values.ids import ScheduleId, SubscriptionId
from activityctl.domain.values.selection import Selection
from activityctl.ports import ListedSchedule, UnsyncedSchedule


class PostgresScheduleRegister:
    """Implements the ScheduleRegister port; a wanted hash is `<timing>:<subscription status>`.

    Every change of the wanted hash resets the observed hash. Otherwise a hash that changes and
    changes back would look synced, while Temporal may hold the state in between.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def schedules(self, selection: Selection) -> list[ListedSchedule]:
        """Return the wanted schedules, by subscription and trigger."""
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
                _wanted_schedule(row),
                row["subscription"],
                _status(row),
                row["error"],
                row["observed_at"],
                row["fired"],
            )
            for row in rows
        ]

    async def next_times(self, subscription_ids: Sequence[str]) -> dict[str, datetime]:
        """Return the next nominal time of each of these active subscriptions, by its id."""
        rows = await self._database.fetch(
            """SELECT s.id, min(c.next_at) AS next_at FROM schedules c
               JOIN subscriptions s ON s.id = c.subscription_id AND s.status = 'active'
               WHERE s.id = ANY(%(ids)s) AND c.wanted_hash IS NOT NULL AND c.next_at IS NOT NULL
               GROUP BY s.id""",
            ids=list(subscription_ids),
        )
        return {row["id"]: row["next_at"] for row in rows}

    async def unsynced(self, limit: int) -> list[UnsyncedSchedule]:
        """Return schedules that Temporal does not hold as wanted, or that it must delete.

        Those that failed come last, in any order, so that they keep no others waiting.
        """
        rows = await self._database.fetch(
            """SELECT * FROM schedules
               WHERE wanted_hash IS NULL OR wanted_hash IS DISTINCT FROM observed_hash
               ORDER BY error IS NOT NULL, CASE WHEN error IS NULL THEN id END, random()
               LIMIT %(limit)s""",
            limit=limit,
        )
        return [
            UnsyncedSchedule(
                row["id"],
                _wanted_schedule(row) if row["wanted_hash"] else None,
                (row["wanted_hash"] or "").endswith(":paused"),
                row["wanted_hash"],
            )
            for row in rows
        ]

    async def mark_synced(self, drifts: Sequence[UnsyncedSchedule], now: datetime) -> None:
        """Record that Temporal holds these schedules; delete the rows that are no longer wanted."""
        hashes = {drift.id: drift.wanted_hash for drift in drifts if drift.wanted is not None}
        written_ids = (
            await self._write_observed(hashes, now, "FOR UPDATE SKIP LOCKED") if hashes else ()
        )
        for key in hashes.keys() - written_ids:
            # One by one: to wait for a row while holding others can end in a deadlock.
            await self._write_observed({key: hashes[key]}, now, "FOR UPDATE")
        for drift in drifts:
            if drift.wanted is None:
                await self._delete_row(drift.id)

    async def _write_observed(
        self, hashes: Mapping[str, str | None], now: datetime, lock: LiteralString
    ) -> set[str]:
        """Write the observed hashes; return the ids of the rows that were written."""
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

    async def _delete_row(self, schedule_id: str) -> None:
        """Delete the row, unless the schedule is wanted again by now."""
        async with self._database.transaction() as connection:
            await connection.execute(
                "DELETE FROM schedules WHERE id = %s AND wanted_hash IS NULL", (schedule_id,)
            )
            # It is wanted again since Temporal deleted it, so it must be created again.
            await connection.execute(
                "UPDATE schedules SET observed_hash = NULL WHERE id = %s", (schedule_id,)
            )

    async def mark_failed(self, drift: UnsyncedSchedule, error: str) -> None:
        """Record why the schedule could not be created, updated or deleted in Temporal."""
        query = "UPDATE schedules SET error = %(error)s WHERE id = %(id)s"
        await self._database.fetch(query, id=drift.id, error=to_storable_text(error))

    async def unsynced_errors(self, subscriptions: Sequence[str]) -> list[tuple[str, str | None]]:
        """Return (schedule id, last error) of the unsynced schedules of these subscriptions."""
        rows = await self._database.fetch(
            """SELECT id, error FROM schedules
               WHERE (wanted_hash IS NULL OR wanted_hash IS DISTINCT FROM observed_hash)
                 AND subscription_id = ANY(%(subscriptions)s) ORDER BY id""",
            subscriptions=list(subscriptions),
        )
        return [(row["id"], row["error"]) for row in rows]

    async def stored(self, ids: Sequence[str]) -> Mapping[str, StoredSchedule]:
        """Return what is recorded about these schedules, by id.

        Schedules of unknown subscriptions are absent.
        """
        rows = await self._database.fetch(
            """SELECT asked.id, s.id AS subscription_id, split_part(asked.id, '/', 3) AS trigger,
                   c.kind, c.body, c.wanted_hash, c.observed_hash, c.id IS NULL AS is_absent
               FROM unnest(%(ids)s::text[]) AS asked(id)
               JOIN subscriptions s ON s.id = split_part(asked.id, '/', 2)
               LEFT JOIN schedules c ON c.id = asked.id""",
            ids=list(ids),
        )
        return {row["id"]: _stored_schedule(row) for row in rows}

    async def synced_ids(self, *, after: str, limit: int) -> list[ScheduleId]:
        """Return the ids, in order, of schedules that Temporal was seen to hold as wanted."""
        rows = await self._database.fetch(
            """SELECT id FROM schedules
               WHERE id > %(after)s AND wanted_hash = observed_hash
               ORDER BY id LIMIT %(limit)s""",
            after=after,
            limit=limit,
        )
        return [ScheduleId(row["id"]) for row in rows]

    async def silent(self) -> list[StoredSchedule]:
        """Return schedules that Temporal seems to hold but that have stopped waking us.

        Around a clock change Temporal leaves out times; such a schedule is not silent.
        """
        rows = await self._database.fetch(
            """SELECT c.*, false AS is_absent, clock_timestamp() AS now FROM schedules c
               JOIN subscriptions s ON s.id = c.subscription_id AND s.status = 'active'
               WHERE c.wakes >= %(wakes)s AND c.wanted_hash = c.observed_hash ORDER BY c.id""",
            wakes=SILENT_AFTER,
        )
        found = [(_stored_schedule(row), row["now"]) for row in rows]
        return [
            schedule
            for schedule, now in found
            if schedule.wanted and has_no_clock_change(schedule.wanted.value, now)
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
        """Hold the lock of the drift detector; yield False when it is taken."""
        async with self._try_lock(Lock.DRIFT) as is_held:
            yield is_held

    @asynccontextmanager
    async def reconcile_lock(self) -> AsyncIterator[bool]:
        """Hold the lock of the reconciler; yield False when it is taken."""
        async with self._try_lock(Lock.RECONCILER) as is_held:
            yield is_held

    @asynccontextmanager
    async def _try_lock(self, lock: Lock) -> AsyncIterator[bool]:
        async with self._database.held_transaction(is_long=True) as connection:
            yield await try_lock(connection, lock)


def _wanted_schedule(row: dict[str, Any]) -> WantedSchedule:
    return WantedSchedule(
        ScheduleId(row["id"]),
        SubscriptionId(row["subscription_id"]),
        row["trigger"],
        row["kind"],
        row["body"],
    )


def _stored_schedule(row: dict[str, Any]) -> StoredSchedule:
    return StoredSchedule(
        ScheduleId(row["id"]),
        SubscriptionId(row["subscription_id"]),
        row["trigger"],
        _wanted_schedule(row) if row["wanted_hash"] else None,
        (row["wanted_hash"] or "").endswith(":paused"),
        row["wanted_hash"],
        # The row of a schedule that is no longer wanted stays until Temporal has deleted it.
        row["is_absent"] or (row["wanted_hash"] or "") == row["observed_hash"],
    )


def _status(row: dict[str, Any]) -> str:
    if row["wanted_hash"] == row["observed_hash"]:
        return str(row["life"])
    return "error" if row["error"] else "pending"
