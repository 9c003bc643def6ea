"""What Postgres believes to be under way: open runs, and started firings without a run."""

from datetime import datetime, timedelta
from typing import Any, Final

from activityctl.adapters.postgres.database import Database
from activityctl.domain.timing.firing import FiringCause, FiringRef, FiringRequest
from activityctl.ports import StartedFiring

_SELECT_OPEN: Final = """
    SELECT id, subscription_id, trigger, firing_key, due_at, workflow_id FROM runs
    WHERE ended_at IS NULL AND id > %(after)s
      AND (status <> 'queued' OR let_in_at IS NOT NULL)
      AND coalesce(let_in_at, created_at) <= clock_timestamp() - %(age)s::interval
    ORDER BY id LIMIT %(limit)s"""
_SELECT_WITHOUT_RUN: Final = """
    SELECT f.subscription_id, f.trigger, f.firing_key, f.due_at, f.dispatched_at FROM firings f
    WHERE f.dispatched_at <= clock_timestamp() - %(age)s::interval
      AND (%(since)s::timestamptz IS NULL OR f.dispatched_at >= %(since)s)
      AND NOT EXISTS (
        SELECT FROM runs r WHERE r.subscription_id = f.subscription_id
          AND r.trigger = f.trigger AND r.firing_key = f.firing_key)
    ORDER BY f.dispatched_at LIMIT %(limit)s"""


class PostgresUnfinishedWork:
    """Implements the UnfinishedWork port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def open_runs(
        self, older_than: timedelta, limit: int, *, after: str = ""
    ) -> list[FiringRef]:
        """Return the firings of runs that have begun and not ended, ordered by run id."""
        rows = await self._database.fetch(_SELECT_OPEN, age=older_than, limit=limit, after=after)
        return [_carried_again(row) for row in rows]

    async def firings_without_run(
        self, older_than: timedelta, limit: int, *, since: datetime | None = None
    ) -> list[StartedFiring]:
        """Return firings that were started that long ago and have no run, oldest start first."""
        rows = await self._database.fetch(
            _SELECT_WITHOUT_RUN, age=older_than, limit=limit, since=since
        )
        return [
            StartedFiring(
                FiringRequest(
                    row["subscription_id"], row["trigger"], row["firing_key"], row["due_at"]
                ).ref,
                row["dispatched_at"],
            )
            for row in rows
        ]


def _carried_again(row: dict[str, Any]) -> FiringRef:
    return FiringRef(
        row["subscription_id"],
        row["trigger"],
        row["firing_key"],
        row["due_at"].isoformat(),
        row["workflow_id"],
        FiringCause.RECOVERY,
    )
