"""Which open runs and workflows are stuck, because the code of the workflow cannot go on."""

from datetime import datetime, timedelta
from typing import Final

from psycopg.rows import DictRow

from activityctl.adapters.postgres.database import Database, to_storable_text
from activityctl.adapters.postgres.runs.guarded_begin import IS_AT_WORK
from activityctl.domain.values.ids import RunId, SubscriptionId
from activityctl.ports import QuietWorkflow, StuckSummary, StuckWorkflow

_WITHOUT_RUN: Final = """s.since IS NOT NULL AND NOT EXISTS (
        SELECT FROM runs r WHERE r.workflow_id = s.workflow_id AND r.ended_at IS NULL)"""
_IDLE: Final = f"""
    SELECT s.workflow_id, max(s.stuck_since) AS since, min(s.created_at) AS began_at
    FROM runs s WHERE s.ended_at IS NULL AND s.stuck_since IS NOT NULL
    AND NOT EXISTS (
        SELECT FROM runs r JOIN tasks t ON t.run_id = r.id JOIN attempts a ON a.task_id = t.id
        CROSS JOIN (SELECT clock_timestamp() AS at) k
        WHERE r.workflow_id = s.workflow_id AND r.ended_at IS NULL AND a.ended_at IS NULL
            AND {IS_AT_WORK})
    GROUP BY s.workflow_id
    UNION ALL
    SELECT s.workflow_id, s.since, s.began_at FROM stuck_workflows s WHERE {_WITHOUT_RUN}"""
FORSAKEN: Final = f"""
    SELECT r.workflow_id, min(r.id) AS id, min(r.created_at) AS began_at
    FROM runs r JOIN tasks t ON t.run_id = r.id AND t.status = 'running'
    JOIN attempts a ON a.task_id = t.id AND a.ended_at IS NULL
    CROSS JOIN (SELECT clock_timestamp() AS at) k
    WHERE r.ended_at IS NULL AND r.stuck_since IS NULL
    GROUP BY r.workflow_id HAVING NOT bool_or({IS_AT_WORK})"""
_QUIET: Final = """
    SELECT r.workflow_id, min(r.id) AS id, min(r.created_at) AS began_at
    FROM runs r LEFT JOIN tasks t ON t.run_id = r.id LEFT JOIN attempts a ON a.task_id = t.id
    WHERE r.ended_at IS NULL AND r.stuck_since IS NULL AND r.status <> 'queued'
    GROUP BY r.workflow_id
    HAVING bool_and(a.task_id IS NULL OR a.ended_at IS NOT NULL)
        AND greatest(max(r.created_at), max(a.ended_at)) > clock_timestamp() - %(within)s
    ORDER BY greatest(max(r.created_at), max(a.ended_at)) DESC LIMIT %(limit)s"""
_MARK: Final = """
    WITH old AS (
        SELECT id, stuck_since FROM runs
        WHERE workflow_id = %(workflow)s AND ended_at IS NULL FOR UPDATE),
    without_run AS (
        INSERT INTO stuck_workflows AS s (workflow_id, began_at, since, reason)
        SELECT %(workflow)s, %(now)s, %(now)s, %(reason)s WHERE NOT EXISTS (SELECT FROM old)
        ON CONFLICT (workflow_id) DO UPDATE
        SET since = coalesce(s.since, excluded.since), reason = excluded.reason),
    forgotten AS (
        DELETE FROM stuck_workflows
        WHERE since IS NULL AND began_at < %(now)s - interval '1 day'
            AND workflow_id <> %(workflow)s)
    UPDATE runs r SET stuck_since = coalesce(r.stuck_since, %(now)s), stuck_reason = %(reason)s
    FROM old WHERE r.id = old.id
    RETURNING r.id, r.subscription_id, old.stuck_since IS NULL AS is_new"""
_CLEAR: Final = """
    WITH gone AS (
        DELETE FROM stuck_workflows WHERE workflow_id = %(workflow)s AND NOT %(is_replaced)s),
    replaced AS (
        UPDATE stuck_workflows SET since = NULL
        WHERE workflow_id = %(workflow)s AND %(is_replaced)s)
    UPDATE runs SET stuck_since = NULL, stuck_reason = NULL
    WHERE workflow_id = %(workflow)s AND stuck_since IS NOT NULL AND ended_at IS NULL
    RETURNING id, subscription_id"""
_SUMMARY: Final = f"""
    SELECT count(*) AS n, min(since) AS since, (array_agg(reason ORDER BY since DESC))[1] AS reason
    FROM (
        SELECT stuck_since, stuck_reason FROM runs
        WHERE ended_at IS NULL AND stuck_since IS NOT NULL
        UNION ALL
        SELECT s.since, s.reason FROM stuck_workflows s WHERE {_WITHOUT_RUN}
    ) stuck (since, reason)"""


class PostgresStuckRuns:
    """Implements the StuckRuns port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def mark_stuck(
        self, workflow_id: str, reason: str, now: datetime
    ) -> list[tuple[RunId, SubscriptionId]]:
        """Mark the open runs of the workflow; return those that were not marked before.

        A workflow without an open run is marked itself.
        """
        rows = await self._database.fetch(
            _MARK, workflow=workflow_id, reason=to_storable_text(reason), now=now
        )
        return [(row["id"], row["subscription_id"]) for row in rows if row["is_new"]]

    async def clear_stuck(
        self, workflow_id: str, *, is_replaced: bool = False
    ) -> list[tuple[RunId, SubscriptionId]]:
        """Unmark the workflow and its runs; return those that were marked and are open."""
        rows = await self._database.fetch(_CLEAR, workflow=workflow_id, is_replaced=is_replaced)
        return [(row["id"], row["subscription_id"]) for row in rows]

    async def stuck_workflows(self) -> list[str]:
        """Return the ids of the workflows that are stuck, with and without runs."""
        rows = await self._database.fetch(
            """SELECT workflow_id FROM runs WHERE ended_at IS NULL AND stuck_since IS NOT NULL
               UNION SELECT workflow_id FROM stuck_workflows WHERE since IS NOT NULL"""
        )
        return [row["workflow_id"] for row in rows]

    async def idle(self) -> list[StuckWorkflow]:
        """Return the stuck workflows that have no attempt at work in a living worker."""
        rows = await self._database.fetch(_IDLE)
        return [StuckWorkflow(row["workflow_id"], row["since"], row["began_at"]) for row in rows]

    async def forsaken(self) -> list[QuietWorkflow]:
        """Return the workflows with open attempts, all of which were lost with their workers."""
        return [_quiet(row) for row in await self._database.fetch(FORSAKEN)]

    async def quiet(self, within: timedelta, limit: int) -> list[QuietWorkflow]:
        """Return the workflows without open attempts that were at work not so long ago."""
        rows = await self._database.fetch(_QUIET, within=within, limit=limit)
        return [_quiet(row) for row in rows]

    async def summary(self) -> StuckSummary | None:
        """Return how many runs are stuck; None if there are none."""
        row = await self._database.fetch_one(_SUMMARY)
        if row is None or not row["n"]:
            return None
        return StuckSummary(row["n"], row["since"], row["reason"])


def _quiet(row: DictRow) -> QuietWorkflow:
    return QuietWorkflow(row["workflow_id"], row["id"], row["began_at"])
