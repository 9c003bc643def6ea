"""Backfills in Postgres: their firings are held, and released a few at a time."""

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Final

from activityctl.adapters.postgres.database import Connection, Database
from activityctl.adapters.postgres.locks import Lock, take_lock
from activityctl.adapters.postgres.signals import wake_workers
from activityctl.domain.runs.backfill import Backfill, BackfillProgress, PastTimes
from activityctl.domain.runs.run import RunStatus
from activityctl.domain.values import ids
from activityctl.ports import Work

_LOCK_SCHEDULE: Final = """
    SELECT c.id FROM schedules c
    WHERE c.subscription_id = %(subscription)s AND c.trigger = %(trigger)s FOR UPDATE"""
_SELECT_DECIDED_UNTIL: Final = """
    SELECT least(clock_timestamp(),
        (SELECT c.cursor FROM schedules c
         WHERE c.subscription_id = %(subscription)s AND c.trigger = %(trigger)s
           AND c.is_active)) AS decided_until"""
_SELECT_RUNS: Final = """
    SELECT r.due_at, array_agg(DISTINCT r.status) AS statuses FROM runs r
    WHERE r.subscription_id = %(subscription)s AND r.trigger = %(trigger)s
      AND r.due_at BETWEEN %(first)s AND %(last)s
    GROUP BY r.due_at"""
_HELD: Final = "f.backfill_id IS NOT NULL AND f.fires_at IS NULL AND f.dispatched_at IS NULL"
_SELECT_FIRINGS: Final = f"""
    SELECT f.due_at, {_HELD} AS is_held FROM firings f
    WHERE f.subscription_id = %(subscription)s AND f.trigger = %(trigger)s
      AND f.due_at BETWEEN %(first)s AND %(last)s"""
_INSERT_BACKFILL: Final = """
    INSERT INTO backfills (id, subscription_id, trigger, from_at, to_at, max_parallel, created_at)
    VALUES (%(id)s, %(subscription)s, %(trigger)s, %(first)s, %(last)s, %(max_parallel)s,
        clock_timestamp())
    ON CONFLICT (id) DO UPDATE SET max_parallel = EXCLUDED.max_parallel, cancelled_at = NULL"""
_INSERT_FIRINGS: Final = """
    INSERT INTO firings AS f (id, subscription_id, trigger, firing_key, due_at, created_at,
        backfill_id, revision_id, params)
    SELECT i, %(subscription)s, %(trigger)s, k, d, clock_timestamp(), %(id)s,
        def.revision_id, sub.params
    FROM unnest(%(ids)s::text[], %(keys)s::text[], %(due)s::timestamptz[]) AS u(i, k, d),
        subscriptions sub JOIN definitions def ON def.name = sub.definition
    WHERE sub.id = %(subscription)s
    ON CONFLICT (id) DO UPDATE SET backfill_id = EXCLUDED.backfill_id,
        revision_id = EXCLUDED.revision_id, params = EXCLUDED.params
        WHERE f.fires_at IS NULL AND f.dispatched_at IS NULL
    RETURNING xmax = 0 AS is_new"""
_COUNT_PROGRESS: Final = f"""
    SELECT {_HELD} AS is_held, b.cancelled_at IS NOT NULL AS is_cancelled, r.status, count(*) AS n
    FROM firings f JOIN backfills b ON b.id = f.backfill_id
    LEFT JOIN runs r ON r.subscription_id = f.subscription_id AND r.trigger = f.trigger
        AND r.due_at = f.due_at AND r.firing_key = f.firing_key
    WHERE b.subscription_id = %(subscription)s AND b.trigger = %(trigger)s
      AND (f.backfill_id = %(id)s OR f.due_at = ANY(%(also)s))
    GROUP BY 1, 2, 3"""
_CANCEL: Final = f"""
    WITH stopped AS (
        UPDATE backfills b SET cancelled_at = clock_timestamp()
        WHERE b.subscription_id = %(subscription)s AND b.cancelled_at IS NULL
          AND (%(trigger)s::text IS NULL OR b.trigger = %(trigger)s)
          AND EXISTS (SELECT FROM firings f WHERE f.backfill_id = b.id AND {_HELD})
        RETURNING b.id)
    SELECT count(*) AS n FROM firings f JOIN stopped ON stopped.id = f.backfill_id
    WHERE {_HELD}"""
_SELECT_HOLDING: Final = f"""
    SELECT b.id FROM backfills b WHERE b.cancelled_at IS NULL
        AND EXISTS (SELECT FROM firings f WHERE f.backfill_id = b.id AND {_HELD})"""
_COUNT_OPEN_RUNS: Final = """
    SELECT count(*) FROM runs r
    WHERE r.ended_at IS NULL AND r.subscription_id = b.subscription_id AND r.trigger = b.trigger
      AND starts_with(r.firing_key, 'backfill-') AND r.due_at BETWEEN b.from_at AND b.to_at"""
# Counts only among the latest firings. So a release of a long backfill is not slower, and a firing
# whose run never begins does not take a slot for ever.
_COUNT_WITHOUT_RUN: Final = """
    SELECT count(*) FROM (
        SELECT f.subscription_id, f.trigger, f.due_at, f.firing_key FROM firings f
        WHERE f.backfill_id = b.id AND f.fires_at IS NOT NULL
        ORDER BY f.fires_at DESC LIMIT 2 * b.max_parallel + 100) AS latest
    WHERE NOT EXISTS (
        SELECT FROM runs r WHERE r.subscription_id = latest.subscription_id
            AND r.trigger = latest.trigger AND r.due_at = latest.due_at
            AND r.firing_key = latest.firing_key)"""
_FIRST_HELD_BY_OTHERS: Final = f"""
    SELECT min(f.due_at) FROM backfills other JOIN firings f ON f.backfill_id = other.id
    WHERE other.id <> b.id AND other.id = ANY(%(ids)s) AND other.cancelled_at IS NULL
      AND other.subscription_id = b.subscription_id AND other.trigger = b.trigger
      AND other.from_at <= b.to_at AND b.from_at <= other.to_at AND {_HELD}"""
_RELEASE: Final = f"""
    WITH places AS (
        SELECT b.id, b.max_parallel - ({_COUNT_OPEN_RUNS}) - ({_COUNT_WITHOUT_RUN}) AS free,
            ({_FIRST_HELD_BY_OTHERS}) AS until
        FROM backfills b WHERE b.id = ANY(%(ids)s) AND b.cancelled_at IS NULL),
    due AS (
        SELECT next.id FROM places CROSS JOIN LATERAL (
            SELECT f.id, f.due_at FROM firings f WHERE f.backfill_id = places.id AND {_HELD}
                AND f.due_at <= coalesce(places.until, 'infinity')
            ORDER BY f.due_at LIMIT greatest(places.free, 0)) AS next
        ORDER BY next.due_at LIMIT %(limit)s)
    UPDATE firings SET fires_at = clock_timestamp() FROM due WHERE firings.id = due.id"""


class PostgresLockedPastTimes:
    """The past due times of a trigger; nothing else changes them until the block ends."""

    def __init__(self, connection: Connection, past: PastTimes) -> None:
        self._connection = connection
        self.past = past

    async def hold(self, backfill: Backfill, nominals: Sequence[datetime]) -> int:
        """Record the backfill and its held firings; return how many of the firings are new.

        Firings that another backfill holds go over to this one. A cancelled one is open again.
        """
        firings = [backfill.firing(nominal) for nominal in nominals]
        scope = {"subscription": backfill.subscription_id, "trigger": backfill.trigger}
        await self._connection.execute(
            _INSERT_BACKFILL.encode(),
            {
                **scope,
                "id": backfill.id,
                "first": backfill.first,
                "last": backfill.last,
                "max_parallel": backfill.max_parallel,
            },
        )
        cursor = await self._connection.execute(
            _INSERT_FIRINGS.encode(),
            {
                **scope,
                "id": backfill.id,
                "ids": [
                    ids.firing_id(firing.subscription_id, firing.trigger, firing.firing_key)
                    for firing in firings
                ],
                "keys": [firing.firing_key for firing in firings],
                "due": [firing.due_at for firing in firings],
            },
        )
        rows = await cursor.fetchall()
        await wake_workers(self._connection, Work.QUEUE)
        return sum(row["is_new"] for row in rows)


class PostgresBackfills:
    """Implements the Backfills port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def past(
        self, subscription_id: str, trigger: str, first: datetime, last: datetime
    ) -> PastTimes:
        """Return what is recorded about the trigger's due times from `first` to `last`."""
        async with self._database.transaction() as connection:
            await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            return await _read_past(connection, _scope(subscription_id, trigger, first, last))

    @asynccontextmanager
    async def locked(
        self, subscription_id: str, trigger: str, first: datetime, last: datetime
    ) -> AsyncIterator[PostgresLockedPastTimes]:
        """Lock the trigger's schedule while a backfill is chosen and recorded."""
        scope = _scope(subscription_id, trigger, first, last)
        async with self._database.held_transaction() as connection:
            await connection.execute(_LOCK_SCHEDULE.encode(), scope)
            yield PostgresLockedPastTimes(connection, await _read_past(connection, scope))

    async def progress(self, wanted: Backfill, also: Collection[datetime]) -> BackfillProgress:
        """Return the progress of the backfill's firings.

        Firings of the trigger's other backfills count when they are due at a time in `also`.
        """
        rows = await self._database.fetch(
            _COUNT_PROGRESS,
            subscription=wanted.subscription_id,
            trigger=wanted.trigger,
            id=wanted.id,
            also=list(also),
        )
        return _progress_of(rows)

    async def cancel(self, subscription_id: str, trigger: str | None) -> int:
        """Cancel the backfills that hold firings, of one trigger or of all; count those firings."""
        row = await self._database.fetch_one(_CANCEL, subscription=subscription_id, trigger=trigger)
        return int(row["n"]) if row else 0

    async def release(self, limit: int) -> int:
        """Release held firings, in the order of their times; return how many.

        Fewer than `max_parallel` firings of a backfill may be released without an ended run.
        """
        holding = await self._database.fetch(_SELECT_HOLDING)
        if not holding:
            return 0
        async with self._database.transaction() as connection:
            await take_lock(connection, Lock.BACKFILLS)
            values = {"ids": [row["id"] for row in holding], "limit": limit}
            cursor = await connection.execute(_RELEASE.encode(), values)
            if cursor.rowcount:
                await wake_workers(connection, Work.FIRING)
            return cursor.rowcount


def _scope(subscription_id: str, trigger: str, first: datetime, last: datetime) -> dict[str, Any]:
    return {"subscription": subscription_id, "trigger": trigger, "first": first, "last": last}


async def _read_past(connection: Connection, scope: dict[str, Any]) -> PastTimes:
    cursor = await connection.execute(_SELECT_DECIDED_UNTIL.encode(), scope)
    (row,) = await cursor.fetchall()
    cursor = await connection.execute(_SELECT_RUNS.encode(), scope)
    runs = await cursor.fetchall()
    cursor = await connection.execute(_SELECT_FIRINGS.encode(), scope)
    firings = await cursor.fetchall()
    return PastTimes(
        row["decided_until"],
        {row["due_at"]: frozenset(map(RunStatus, row["statuses"])) for row in runs},
        frozenset(row["due_at"] for row in firings if not row["is_held"]),
        frozenset(row["due_at"] for row in firings if row["is_held"]),
    )


def _progress_of(rows: Sequence[dict[str, Any]]) -> BackfillProgress:
    held = cancelled = starting = 0
    runs: dict[RunStatus, int] = {}
    for row in rows:
        if row["is_held"]:
            cancelled += row["n"] if row["is_cancelled"] else 0
            held += 0 if row["is_cancelled"] else row["n"]
        elif row["status"] is None:
            starting += row["n"]
        else:
            status = RunStatus(row["status"])
            runs[status] = runs.get(status, 0) + row["n"]
    return BackfillProgress(held, cancelled, starting, runs)
