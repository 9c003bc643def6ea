"""The outbox in Postgres: firings asked for, until the dispatcher has started them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

from psycopg.types.json import Jsonb

from activityctl.adapters.postgres.database import Connection, Database
from activityctl.domain import ids
from activityctl.domain.firing_ref import FiringRef, ManualFiring
from activityctl.ports import WORK_CHANNEL


class PostgresClaim:
    """Firings that this transaction alone may dispatch."""

    def __init__(self, connection: Connection, firings: list[FiringRef]) -> None:
        self._connection = connection
        self.firings = firings

    async def dispatched(self, firings: list[FiringRef], now: datetime) -> None:
        """Mark them as started; committed when the claim ends."""
        await self._connection.execute(
            "UPDATE firings SET dispatched_at = %s WHERE id = ANY(%s)",
            (
                now,
                [
                    ids.firing_id(firing.subscription_id, firing.trigger, firing.firing_key)
                    for firing in firings
                ],
            ),
        )


class PostgresOutbox:
    """The Outbox port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, firings: list[ManualFiring], now: datetime) -> int:
        """Store the firings and wake the dispatcher; return how many keys were new."""
        async with self._database.transaction() as connection:
            cursor = await connection.execute(
                """INSERT INTO firings (id, subscription_id, trigger, firing_key, due_at, payload,
                       created_at, fires_at)
                   SELECT i, s, t, k, d, p, %(now)s, clock_timestamp() FROM unnest(%(ids)s::text[],
                       %(subscriptions)s::text[], %(triggers)s::text[], %(keys)s::text[],
                       %(due)s::timestamptz[], %(payloads)s::jsonb[]) AS u(i, s, t, k, d, p)
                   ON CONFLICT DO NOTHING""",
                {
                    "ids": [
                        ids.firing_id(one.subscription_id, one.trigger, one.firing_key)
                        for one in firings
                    ],
                    "subscriptions": [one.subscription_id for one in firings],
                    "triggers": [one.trigger for one in firings],
                    "keys": [one.firing_key for one in firings],
                    "due": [one.due_at for one in firings],
                    "payloads": [Jsonb(dict(one.payload)) for one in firings],
                    "now": now,
                },
            )
            await connection.execute("SELECT pg_notify(%s, 'firing')", (WORK_CHANNEL,))
            return cursor.rowcount

    @asynccontextmanager
    async def claimed(self, limit: int) -> AsyncIterator[PostgresClaim]:
        """Claim the firings whose time has come, the earliest first, passing over held ones."""
        async with self._database.transaction() as connection:
            cursor = await connection.execute(
                """SELECT * FROM firings
                   WHERE dispatched_at IS NULL AND fires_at <= clock_timestamp()
                   ORDER BY fires_at LIMIT %s FOR UPDATE SKIP LOCKED""",
                (limit,),
            )
            rows = await cursor.fetchall()
            yield PostgresClaim(
                connection,
                [
                    ManualFiring(
                        ids.SubscriptionId(row["subscription_id"]),
                        row["trigger"],
                        row["firing_key"],
                        row["due_at"],
                    ).ref
                    for row in rows
                ],
            )

    async def seconds_to_next(self) -> float | None:
        """Return how long until the next waiting firing may start; None when none waits."""
        row = await self._database.fetch_one(
            """SELECT extract(epoch FROM min(fires_at) - clock_timestamp())::float8 AS seconds
               FROM firings WHERE dispatched_at IS NULL"""
        )
        return None if row is None or row["seconds"] is None else max(float(row["seconds"]), 0.0)

    async def waiting(self) -> int:
        """Return how many firings wait to be dispatched."""
        row = await self._database.fetch_one(
            "SELECT count(*) AS n FROM firings WHERE dispatched_at IS NULL"
        )
        return int(row["n"]) if row else 0
