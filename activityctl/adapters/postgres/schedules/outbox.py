"""The outbox in Postgres: keeps firings until the dispatcher has started them."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, Final

from psycopg import AsyncCursor
from psycopg.types.json import Jsonb

from activityctl.adapters.postgres.database import Connection, Database, to_storable_text
from activityctl.adapters.postgres.rows import SUBSCRIPTION_COLUMNS, subscription_of
from activityctl.adapters.postgres.schedules.late_starts import surely_start
from activityctl.adapters.postgres.signals import notify_sql, wake_workers
from activityctl.domain.manifests.definition import Revision
from activityctl.domain.runs.admission import ClaimedFacts
from activityctl.domain.runs.run import Run
from activityctl.domain.timing.firing import FiringRef, FiringRequest
from activityctl.domain.timing.misfires import MISFIRE_GRACE
from activityctl.domain.values import ids
from activityctl.ports import ORDER_WAITS, FailingFirings, PostponedFiring, WaitingFiring, Work

_MOST_BYTES: Final = 16_384
"""If a firing has more data, its admission reads them."""
_KEPT_FOR: Final = timedelta(seconds=5)
"""So long what is read ahead is kept."""
_HEADS_PER_CLAIM: Final = 3
"""For each firing that may be claimed, the query looks at this many order keys."""
# Of each order key only the first waiting firing can be claimed; the recursion finds it by jumping
# from key to key. It may start when the firing before it has a run. Both branches lock only the
# rows that they return, so that two claims together take what one claim would.
_CLAIM: Final = """
    WITH RECURSIVE plain AS (
        SELECT * FROM firings
        WHERE dispatched_at IS NULL AND order_key IS NULL AND fires_at <= (SELECT clock_timestamp())
          AND (not_before IS NULL OR not_before <= (SELECT clock_timestamp()))
        ORDER BY priority DESC, fires_at, due_at, place LIMIT %(limit)s FOR UPDATE SKIP LOCKED),
    heads AS (
        (SELECT id, order_key, place, greatest(fires_at, not_before) AS fires_at FROM firings
         WHERE dispatched_at IS NULL AND order_key IS NOT NULL
         ORDER BY order_key, place LIMIT 1)
        UNION ALL
        SELECT next.* FROM heads h CROSS JOIN LATERAL (
            SELECT f.id, f.order_key, f.place, greatest(f.fires_at, f.not_before) FROM firings f
            WHERE f.dispatched_at IS NULL AND f.order_key > h.order_key
            ORDER BY f.order_key, f.place LIMIT 1) AS next),
    free AS (
        SELECT h.id FROM heads h
        WHERE h.fires_at <= (SELECT clock_timestamp()) AND NOT EXISTS (
            SELECT FROM (
                SELECT p.* FROM firings p
                WHERE p.order_key = h.order_key AND p.place < h.place
                ORDER BY p.place DESC LIMIT 1) AS before
            LEFT JOIN runs r USING (subscription_id, trigger, firing_key)
            WHERE r.id IS NULL AND before.dispatched_at > clock_timestamp() - %(patience)s)
        LIMIT %(heads)s),
    ordered AS (
        SELECT * FROM firings
        WHERE id IN (SELECT id FROM free) AND dispatched_at IS NULL
        ORDER BY priority DESC, fires_at, due_at, place LIMIT %(limit)s FOR UPDATE SKIP LOCKED),
    claimed AS (
        SELECT * FROM (SELECT * FROM plain UNION ALL SELECT * FROM ordered) AS firings
        ORDER BY priority DESC, fires_at, due_at, place LIMIT %(limit)s)
    SELECT c.subscription_id, c.trigger, c.firing_key, c.due_at, c.attempts, c.payload, c.priority,
        coalesce(c.revision_id, (SELECT d.revision_id FROM subscriptions s
            JOIN definitions d ON d.name = s.definition
            WHERE s.id = c.subscription_id)) AS revision_id,
        c.params AS firing_params, c.fires_at, clock_timestamp() AS now, admission.*
    FROM claimed c LEFT JOIN LATERAL ({facts}) AS admission ON true
    ORDER BY c.priority DESC, c.fires_at, c.due_at, c.place"""
# For the admission, so that it need not be read again. Compressed data counts as it is.
_FACTS: Final = f"""
    SELECT {SUBSCRIPTION_COLUMNS}, s.xmin::text AS version, v.definition AS firing_definition,
        v.number, v.created_at AS revised_at, (
            SELECT jsonb_agg(e.document ORDER BY x.place)
            FROM unnest(c.event_ids) WITH ORDINALITY AS x(id, place) JOIN events e ON e.id = x.id
        ) AS events
    FROM subscriptions s JOIN revisions v ON v.id = c.revision_id
    WHERE s.id = c.subscription_id AND c.params IS NOT NULL
        AND pg_column_size(c.payload) + pg_column_size(c.params) + pg_column_size(s.state)
            + (SELECT coalesce(sum(pg_column_size(e.document)), 0) FROM events e
               WHERE e.id = ANY(c.event_ids)) < {_MOST_BYTES}"""
_SELECT_FACTS: Final = f"""
    SELECT c.subscription_id, c.trigger, c.firing_key, c.due_at, c.payload, c.priority,
        c.revision_id, c.params AS firing_params, admission.*
    FROM firings c JOIN LATERAL ({_FACTS}) AS admission ON true
    WHERE c.id = ANY(%(ids)s) AND c.fires_at > clock_timestamp() - %(sure)s"""

_WAKE_NEXT_IN_ORDER: Final = f"""
    SELECT {notify_sql(Work.FIRING)} FROM firings f
    WHERE f.id = %s AND f.order_key IS NOT NULL AND EXISTS (
        SELECT FROM firings n WHERE n.order_key = f.order_key AND n.dispatched_at IS NULL)"""
# Subqueries instead of joins, so that a batch looks only at the firings that it removes. A firing
# without a run, or with an open run, stays.
_REMOVE: Final = """
    WITH old AS (
        SELECT f.id FROM firings f
        WHERE f.dispatched_at < (SELECT clock_timestamp() - %(age)s::interval)
          AND (SELECT r.ended_at FROM runs r
               WHERE r.subscription_id = f.subscription_id AND r.trigger = f.trigger
                 AND r.firing_key = f.firing_key)
              < (SELECT clock_timestamp() - %(age)s::interval)
          AND NOT EXISTS (SELECT FROM events e WHERE e.id = ANY(f.event_ids))
        ORDER BY f.dispatched_at LIMIT %(limit)s FOR UPDATE OF f SKIP LOCKED
    ), removed AS (
        DELETE FROM firings f USING old WHERE f.id = old.id RETURNING f.id
    )
    SELECT count(*) AS n FROM removed"""


class PostgresClaim:
    """Firings that nobody else may dispatch until the block ends."""

    def __init__(
        self,
        connection: Connection,
        firings: list[FiringRef],
        attempts: Mapping[ids.RunId, int],
        revisions: Mapping[ids.RunId, ids.RevisionId],
        facts: Mapping[ids.RunId, ClaimedFacts],
    ) -> None:
        self._connection = connection
        self._writes: list[tuple[str, Mapping[str, object]]] = []
        self.firings = firings
        self.attempts = attempts
        self.revisions = revisions
        self.facts = facts

    async def dispatched(self, firings: list[FiringRef], now: datetime) -> None:
        """Mark the firings as started, when the block ends without an exception."""
        self._write(
            "UPDATE firings SET dispatched_at = %(now)s WHERE id = ANY(%(ids)s)",
            {"now": now, "ids": [_id_of(firing) for firing in firings]},
        )

    async def settled(self, firing: FiringRef, now: datetime) -> None:
        """Mark a firing that will never start; its key is shortened as its run's key is."""
        self._write(
            "UPDATE firings SET dispatched_at = %(now)s, firing_key = %(key)s WHERE id = %(id)s",
            {"now": now, "key": ids.bounded_key(firing.firing_key), "id": _id_of(firing)},
        )

    async def postponed(self, firings: Sequence[PostponedFiring], now: datetime) -> None:
        """Count a failed try of each; none is claimed again before its time."""
        self._write(
            """UPDATE firings f SET attempts = attempts + 1, error = u.error,
                   failing_since = coalesce(failing_since, %(now)s),
                   not_before = clock_timestamp() + u.pause
               FROM unnest(%(ids)s::text[], %(pauses)s::interval[], %(errors)s::text[])
                   AS u(id, pause, error)
               WHERE f.id = u.id""",
            {
                "ids": [_id_of(postponed.firing) for postponed in firings],
                "pauses": [postponed.pause for postponed in firings],
                "errors": [to_storable_text(postponed.error) for postponed in firings],
                "now": now,
            },
        )

    def _write(self, statement: str, values: Mapping[str, object]) -> None:
        self._writes.append((statement, values))

    async def commit(self) -> None:
        """Write everything in one round trip."""
        async with self._connection.committing():
            for statement, values in self._writes:
                await self._connection.execute(statement.encode(), values)


async def _to_be_judged(
    connection: Connection, claimed: Sequence[tuple[FiringRef, Mapping[str, Any]]]
) -> set[ids.RunId]:
    """Return the runs of those firings of the clock that may be missed, while they are kept.

    Their admissions judge them. In a large burst all others wait for as long, and surely start.
    """
    late = [
        (firing, row["fires_at"])
        for firing, row in claimed
        if firing.is_by_clock and row["now"] + _KEPT_FOR - row["fires_at"] > MISFIRE_GRACE
    ]
    if not late:
        return set()
    now = max(row["now"] for _, row in claimed)
    starting = await surely_start(connection, late, (now, now + _KEPT_FOR))
    return {firing.run_id for firing, _ in late} - starting


async def select_facts(
    connection: Connection, firings: Sequence[FiringRef]
) -> AsyncCursor[dict[str, Any]]:
    """Select what the admissions of these firings need; `facts_of` reads the rows.

    Firings that may be missed, while this is kept, are left out: their admissions judge them.
    """
    values = {
        "ids": [_id_of(firing) for firing in firings],
        "sure": MISFIRE_GRACE - _KEPT_FOR,
    }
    return await connection.execute(_SELECT_FACTS.encode(), values)


def facts_of(rows: Iterable[Mapping[str, Any]]) -> dict[ids.RunId, ClaimedFacts]:
    """Return what is in the rows, by run id."""
    return {
        ids.run_id(row["subscription_id"], row["trigger"], row["firing_key"]): _facts(row)
        for row in rows
    }


def _facts(row: Mapping[str, Any]) -> ClaimedFacts:
    revision = ids.RevisionId(row["revision_id"])
    return ClaimedFacts(
        subscription_of(row),
        Revision(revision, row["firing_definition"], row["number"], {}, row["revised_at"]),
        row["firing_params"],
        row["payload"] or {},
        tuple(row["events"] or ()),
        row["priority"] or 0,
        row["due_at"],
        row["version"],
    )


def _id_of(firing: FiringRef | FiringRequest) -> str:
    return ids.firing_id(firing.subscription_id, firing.trigger, firing.firing_key)


class PostgresOutbox:
    """Implements the Outbox port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, firings: list[FiringRequest], now: datetime) -> int:
        """Store the firings and wake the dispatcher; return how many were new."""
        async with self._database.one_trip() as connection:
            cursor = await connection.execute(
                """INSERT INTO firings (id, subscription_id, trigger, firing_key, due_at, payload,
                       created_at, fires_at, revision_id, params)
                   SELECT i, s, t, k, d, p, %(now)s, clock_timestamp(), o.revision_id, o.params
                   FROM unnest(%(ids)s::text[],
                       %(subscriptions)s::text[], %(triggers)s::text[], %(keys)s::text[],
                       %(due)s::timestamptz[], %(payloads)s::jsonb[]) AS u(i, s, t, k, d, p)
                   LEFT JOIN (SELECT sub.id, sub.params, def.revision_id FROM subscriptions sub
                       JOIN definitions def ON def.name = sub.definition) o ON o.id = s
                   ON CONFLICT DO NOTHING""",
                {
                    "ids": [_id_of(firing) for firing in firings],
                    "subscriptions": [firing.subscription_id for firing in firings],
                    "triggers": [firing.trigger for firing in firings],
                    "keys": [firing.firing_key for firing in firings],
                    "due": [firing.due_at for firing in firings],
                    "payloads": [Jsonb(dict(firing.payload)) for firing in firings],
                    "now": now,
                },
            )
            await wake_workers(connection, Work.FIRING)
        return cursor.rowcount

    async def has_other_payload(self, firing: FiringRequest) -> bool:
        """Return whether the firing of this id, or its run, is stored with another payload."""
        found = await self._database.fetch_one(
            """SELECT EXISTS (SELECT FROM firings WHERE id = %(id)s AND payload <> %(payload)s)
                   OR EXISTS (SELECT FROM runs WHERE id = %(run)s AND payload <> %(payload)s)
                   AS differs""",
            id=_id_of(firing),
            run=firing.ref.run_id,
            payload=Jsonb(dict(firing.payload)),
        )
        return bool(found and found["differs"])

    @asynccontextmanager
    async def claimed(self, limit: int) -> AsyncIterator[PostgresClaim]:
        """Claim firings that may start now: higher priority first, then the earliest.

        Of each order key only the next firing is claimed.
        """
        async with self._database.held_transaction() as connection:
            cursor = await connection.execute(
                _CLAIM.format(facts=_FACTS).encode(),
                {"limit": limit, "heads": _HEADS_PER_CLAIM * limit, "patience": ORDER_WAITS},
            )
            rows = await cursor.fetchall()
            firings = [
                FiringRequest(
                    ids.SubscriptionId(row["subscription_id"]),
                    row["trigger"],
                    row["firing_key"],
                    row["due_at"],
                ).ref
                for row in rows
            ]
            rows_by_run = dict(zip([firing.run_id for firing in firings], rows, strict=True))
            judged = await _to_be_judged(connection, list(zip(firings, rows, strict=True)))
            claim = PostgresClaim(
                connection,
                firings,
                {run: row["attempts"] for run, row in rows_by_run.items() if row["attempts"]},
                {run: ids.RevisionId(row["revision_id"]) for run, row in rows_by_run.items()},
                {
                    run: _facts(row)
                    for run, row in rows_by_run.items()
                    if row["version"] and run not in judged
                },
            )
            yield claim
            await claim.commit()

    async def seconds_to_next(self) -> float | None:
        """Return the seconds until the next waiting firing may start; None when none waits."""
        row = await self._database.fetch_one(
            """SELECT extract(epoch FROM least(
                   (SELECT min(fires_at) FROM firings
                    WHERE dispatched_at IS NULL AND not_before IS NULL),
                   (SELECT min(greatest(fires_at, not_before)) FROM firings
                    WHERE dispatched_at IS NULL AND attempts > 0)
               ) - clock_timestamp())::float8 AS seconds"""
        )
        return None if row is None or row["seconds"] is None else max(float(row["seconds"]), 0.0)

    async def failing(self) -> FailingFirings | None:
        """Return the firings that failed and wait for their next try; None if there are none."""
        row = await self._database.fetch_one(
            """SELECT count(*) AS n, min(failing_since) AS since,
                   (array_agg(error ORDER BY not_before DESC))[1] AS error
               FROM firings WHERE dispatched_at IS NULL AND attempts > 0"""
        )
        if row is None or not row["n"]:
            return None
        return FailingFirings(row["n"], row["since"], row["error"])

    async def waiting(self) -> int:
        """Return how many firings wait to be dispatched; held firings do not count."""
        row = await self._database.fetch_one(
            """SELECT count(*) AS n FROM firings
               WHERE dispatched_at IS NULL AND fires_at IS NOT NULL"""
        )
        return int(row["n"]) if row else 0

    async def waiting_of(self, subscription_id: str, limit: int) -> list[WaitingFiring]:
        """Return the firings of cron and interval triggers that start later, by nominal time."""
        rows = await self._database.fetch(
            """SELECT trigger, due_at, fires_at FROM firings
               WHERE dispatched_at IS NULL AND fires_at > (SELECT clock_timestamp())
                 AND subscription_id = %(subscription)s
                 AND firing_key = to_char(due_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
               ORDER BY due_at, trigger LIMIT %(limit)s""",
            subscription=subscription_id,
            limit=limit,
        )
        return [WaitingFiring(row["trigger"], row["due_at"], row["fires_at"]) for row in rows]

    async def remove(self, age: timedelta, limit: int) -> int:
        """Remove firings that started before that age, oldest first; return how many.

        A firing stays while one of its events is stored, and while its run does not exist,
        has not ended or ended within that age.
        """
        row = await self._database.fetch_one(_REMOVE, age=age, limit=limit)
        return int(row["n"]) if row else 0


async def wake_next_in_order(connection: Connection, run: Run) -> None:
    """Wake the dispatcher if a firing with the same order key may wait for this run."""
    if run.events:
        firing = ids.firing_id(run.subscription_id, run.trigger, run.firing_key)
        await connection.execute(_WAKE_NEXT_IN_ORDER.encode(), (firing,))
