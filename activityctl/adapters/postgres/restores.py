"""Implements the Restores port: the fence for workers, and what became of each restore."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Final

from psycopg.types.json import Jsonb

from activityctl.adapters.postgres.database import Database
from activityctl.ports import Restore

_FENCE: Final = "fence"
_KEPT: Final = 1_000
"""So many ids of workflows are stored; their number is stored in any case."""


class PostgresRestores:
    """Implements the Restores port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def fence(self, lasting: timedelta) -> None:
        """Have workers stop, and keep them from starting, for so long."""
        await self._database.fetch(
            """INSERT INTO restores (id, taken_at, fenced_until)
               VALUES (%(id)s, clock_timestamp(), clock_timestamp() + %(lasting)s)
               ON CONFLICT (id) DO UPDATE SET fenced_until = excluded.fenced_until""",
            id=_FENCE,
            lasting=lasting,
        )

    async def lift_fence(self) -> None:
        """Let workers start again."""
        await self._database.fetch("DELETE FROM restores WHERE id = %(id)s", id=_FENCE)

    async def is_fenced(self) -> bool:
        """Return whether workers must not start."""
        rows = await self._database.fetch(
            "SELECT id FROM restores WHERE fenced_until > clock_timestamp()"
        )
        return bool(rows)

    async def latest(self) -> Restore | None:
        """Return the newest restore; None if the database was never restored."""
        row = await self._database.fetch_one(
            """SELECT taken_at, restored_at, settled_at, ended FROM restores
               WHERE restored_at IS NOT NULL ORDER BY restored_at DESC LIMIT 1"""
        )
        if row is None:
            return None
        ended = row["ended"] or {"count": 0, "workflows": []}
        return Restore(
            row["taken_at"],
            row["restored_at"],
            row["settled_at"],
            ended["workflows"],
            ended["count"],
        )

    async def carried(self, workflow_ids: Collection[str]) -> set[str]:
        """Return which of these workflows carry an open run."""
        rows = await self._database.fetch(
            """SELECT DISTINCT workflow_id FROM runs
               WHERE workflow_id = ANY(%(ids)s) AND ended_at IS NULL""",
            ids=list(workflow_ids),
        )
        return {row["workflow_id"] for row in rows}

    async def settle(self, restored_at: datetime, ended: Sequence[str]) -> None:
        """Record that the restores up to that one are settled; have every alarm written again."""
        said = {"count": len(ended), "workflows": list(ended[:_KEPT])}
        async with self._database.transaction() as connection:
            await connection.execute("UPDATE alarms SET observed_at = NULL")
            await connection.execute(
                """UPDATE restores SET settled_at = clock_timestamp(), ended = %s
                   WHERE restored_at <= %s AND settled_at IS NULL""",
                (Jsonb(said), restored_at),
            )
