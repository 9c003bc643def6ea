"""Which open runs are stuck, because the code of their workflow cannot go on."""

from datetime import datetime
from typing import Final

from activityctl.adapters.postgres.database import Database, to_storable_text
from activityctl.adapters.postgres.runs.guarded_begin import IS_AT_WORK
from activityctl.domain.values.ids import RunId, SubscriptionId
from activityctl.ports import StuckSummary, StuckWorkflow

_IDLE: Final = f"""
    SELECT s.workflow_id, max(s.stuck_since) AS since, min(s.created_at) AS began_at
    FROM runs s WHERE s.ended_at IS NULL AND s.stuck_since IS NOT NULL
    AND NOT EXISTS (
        SELECT FROM runs r JOIN tasks t ON t.run_id = r.id JOIN attempts a ON a.task_id = t.id
        CROSS JOIN (SELECT clock_timestamp() AS at) k
        WHERE r.workflow_id = s.workflow_id AND r.ended_at IS NULL AND a.ended_at IS NULL
            AND {IS_AT_WORK})
    GROUP BY s.workflow_id"""


class PostgresStuckRuns:
    """Implements the StuckRuns port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def mark_stuck(
        self, workflow_id: str, reason: str, now: datetime
    ) -> list[tuple[RunId, SubscriptionId]]:
        """Mark the open runs of the workflow; return those that were not marked before."""
        rows = await self._database.fetch(
            """UPDATE runs r SET stuck_since = coalesce(r.stuck_since, %(now)s),
                   stuck_reason = %(reason)s
               FROM (SELECT id, stuck_since FROM runs
                     WHERE workflow_id = %(workflow)s AND ended_at IS NULL FOR UPDATE) AS old
               WHERE r.id = old.id
               RETURNING r.id, r.subscription_id, old.stuck_since IS NULL AS is_new""",
            workflow=workflow_id,
            reason=to_storable_text(reason),
            now=now,
        )
        return [(row["id"], row["subscription_id"]) for row in rows if row["is_new"]]

    async def clear_stuck(self, workflow_id: str) -> list[tuple[RunId, SubscriptionId]]:
        """Unmark the runs of the workflow; return those that were marked and are open."""
        rows = await self._database.fetch(
            """UPDATE runs SET stuck_since = NULL, stuck_reason = NULL
               WHERE workflow_id = %(workflow)s AND stuck_since IS NOT NULL
                 AND ended_at IS NULL
               RETURNING id, subscription_id""",
            workflow=workflow_id,
        )
        return [(row["id"], row["subscription_id"]) for row in rows]

    async def stuck_workflows(self) -> list[str]:
        """Return the ids of the workflows of all stuck runs."""
        rows = await self._database.fetch(
            """SELECT DISTINCT workflow_id FROM runs
               WHERE ended_at IS NULL AND stuck_since IS NOT NULL"""
        )
        return [row["workflow_id"] for row in rows]

    async def idle(self) -> list[StuckWorkflow]:
        """Return the workflows of stuck runs that have no attempt at work in a living worker."""
        rows = await self._database.fetch(_IDLE)
        return [StuckWorkflow(row["workflow_id"], row["since"], row["began_at"]) for row in rows]

    async def summary(self) -> StuckSummary | None:
        """Return how many runs are stuck; None if there are none."""
        row = await self._database.fetch_one(
            """SELECT count(*) AS n, min(stuck_since) AS since,
                   (array_agg(stuck_reason ORDER BY stuck_since DESC))[1] AS reason
               FROM runs WHERE ended_at IS NULL AND stuck_since IS NOT NULL"""
        )
        if row is None or not row["n"]:
            return None
        return StuckSummary(row["n"], row["since"], row["reason"])
