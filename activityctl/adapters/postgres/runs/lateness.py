"""Runs that are late in Postgres: finding them, and keeping which deadlines they missed."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from activityctl.adapters.postgres.database import Database
from activityctl.adapters.postgres.logbook import insert_log_entries
from activityctl.adapters.postgres.rows import spec_of
from activityctl.domain.manifests.definition import NOTICE_TRIGGERS
from activityctl.domain.manifests.run_limits import Slo
from activityctl.domain.runs.lateness import Deadline, LateRun, NotedLateness, RunTimes
from activityctl.domain.runs.run import RunStatus
from activityctl.domain.values import ids
from activityctl.domain.values.log import LogEntry

_RUNS: Final = """
    SELECT r.id, r.subscription_id, r.definition, r.trigger, r.firing_key, r.revision_id,
        r.due_at, r.status, r.started_at, r.ended_at, strict.after,
        coalesce(jsonb_path_exists(
            r.events, '$[*].type ? (@ starts with "activityctl.")'), false) AS follows
    FROM strict JOIN runs r ON r.revision_id = strict.revision
    WHERE r.replay_of IS NULL
        AND r.trigger <> ALL(%(notices)s) AND NOT starts_with(r.firing_key, 'backfill-')"""
_CANDIDATES: Final = f"""
    WITH strict AS MATERIALIZED (
        SELECT * FROM unnest(%(revisions)s::text[], %(after)s::interval[]) AS x(revision, after)
    ), found AS (
        ({_RUNS} AND r.ended_at IS NULL)
        UNION ALL
        ({_RUNS} AND r.ended_at IS NOT NULL
            AND r.created_at >= clock_timestamp() - %(recent)s::interval)
        UNION ALL
        SELECT NULL, f.subscription_id, d.name, f.trigger, f.firing_key, strict.revision,
            f.due_at, 'queued', NULL, NULL, strict.after, false
        FROM firings f JOIN subscriptions s ON s.id = f.subscription_id
        JOIN definitions d ON d.name = s.definition
        JOIN strict ON strict.revision = coalesce(f.revision_id, d.revision_id)
        WHERE f.dispatched_at IS NULL AND f.fires_at IS NOT NULL AND f.backfill_id IS NULL
          AND f.replay IS NULL AND f.trigger <> ALL(%(notices)s)
          AND NOT EXISTS (
              SELECT FROM runs r WHERE r.subscription_id = f.subscription_id
                  AND r.trigger = f.trigger AND r.firing_key = f.firing_key)
    )
    SELECT found.*, s.name AS subscription, d.labels || s.labels AS labels FROM found
    JOIN subscriptions s ON s.id = found.subscription_id
    JOIN definitions d ON d.name = s.definition
    WHERE found.due_at < clock_timestamp() - found.after
    ORDER BY (SELECT count(*) FROM late_runs l WHERE l.run_id = found.id), found.due_at
    LIMIT %(limit)s"""
_NOTE: Final = """
    INSERT INTO late_runs (run_id, deadline, subscription_id, late_by, noticed_at)
    VALUES (%(run)s, %(deadline)s, %(subscription)s, %(by)s, %(now)s)
    ON CONFLICT DO NOTHING"""


class PostgresLateness:
    """Implements the Lateness port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def slos(self) -> Mapping[str, Slo]:
        """Return the slo of each revision that has one, by revision id."""
        rows = await self._database.fetch("SELECT id, spec FROM revisions WHERE spec ? 'slo'")
        specs = {row["id"]: spec_of(row["spec"]) for row in rows}
        return {key: spec.slo for key, spec in specs.items() if spec.slo is not None}

    async def now(self) -> datetime:
        """Return the time of Postgres."""
        (row,) = await self._database.fetch("SELECT clock_timestamp() AS now")
        found: datetime = row["now"]
        return found

    async def candidates(
        self, revisions: Mapping[str, timedelta], recent: timedelta, limit: int
    ) -> list[tuple[str, RunTimes]]:
        """Return runs and firings of these revisions that are due for longer than that."""
        rows = await self._database.fetch(
            _CANDIDATES,
            revisions=list(revisions),
            after=list(revisions.values()),
            recent=recent,
            notices=sorted(NOTICE_TRIGGERS),
            limit=limit,
        )
        return [(row["revision_id"], _times_of(row)) for row in rows]

    async def note(self, late: LateRun, entry: LogEntry) -> bool:
        """Keep the missed deadline and write the entry; False if it was noted before."""
        async with self._database.transaction() as connection:
            cursor = await connection.execute(
                _NOTE.encode(),
                {
                    "run": late.run.run_id,
                    "deadline": late.deadline.value,
                    "subscription": late.run.subscription_id,
                    "by": late.by,
                    "now": entry.created_at,
                },
            )
            if not cursor.rowcount:
                return False
            await insert_log_entries(connection, [entry])
        return True

    async def of_runs(self, run_ids: Sequence[str]) -> list[NotedLateness]:
        """Return the missed deadlines of these runs, the start first."""
        rows = await self._database.fetch(
            """SELECT * FROM late_runs WHERE run_id = ANY(%(ids)s)
               ORDER BY run_id, deadline DESC""",
            ids=list(run_ids),
        )
        return [
            NotedLateness(
                row["run_id"], Deadline(row["deadline"]), row["late_by"], row["noticed_at"]
            )
            for row in rows
        ]


def _times_of(row: Mapping[str, Any]) -> RunTimes:
    owner, trigger, key = row["subscription_id"], row["trigger"], row["firing_key"]
    return RunTimes(
        row["id"] or ids.run_id(owner, trigger, key),
        owner,
        row["subscription"],
        row["definition"],
        trigger,
        row["due_at"],
        RunStatus(row["status"]),
        row["started_at"],
        row["ended_at"],
        row["follows"],
        row["labels"],
    )
