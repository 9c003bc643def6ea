"""The statements that begin and end the attempts of tasks, each with the record of the attempt."""

from typing import Final

from activityctl.adapters.postgres.database import Connection, to_storable_text
from activityctl.adapters.postgres.logbook import insert_log_entries
from activityctl.adapters.postgres.rows import TASK_COLUMNS
from activityctl.domain.values.log import LogEntry

RECORD_BEGUN: Final = """
    lost AS (
        UPDATE attempts a SET outcome = 'lost', ended_at = b.attempt_at FROM begun b
        WHERE a.task_id = b.id AND a.number < b.attempts AND a.ended_at IS NULL),
    added AS (
        INSERT INTO attempts (task_id, number, worker, started_at, breaker, limit_name)
        SELECT id, attempts, worker, attempt_at, guard->>'breakerName', guard->>'limitName'
        FROM begun
        ON CONFLICT (task_id, number) DO UPDATE SET worker = excluded.worker,
            started_at = excluded.started_at, outcome = 'running', ended_at = NULL, error = NULL,
            code = NULL)"""
"""Records the attempt of the query `begun`, and that the one before was lost, if it was open."""

# A call for the first instance of a lane goes on with the open one of the lane.
# An attempt that is at work has an `attempt_at`. If the task still has one, that attempt is lost.
BEGIN_ATTEMPTS: Final = f"""
    WITH asked AS MATERIALIZED (
        SELECT a.*, coalesce((SELECT o.id FROM tasks o WHERE o.lane = a.id
                AND o.ended_at IS NULL ORDER BY o.index LIMIT 1), a.id) AS task_id
        FROM unnest(%(ids)s::text[], %(times)s::timestamptz[], %(workers)s::text[],
            %(lanes)s::text[]) AS a(id, now, worker, lane)),
    begun AS (
        UPDATE tasks t SET status = 'running', attempts = t.attempts + 1, worker = a.worker,
            started_at = coalesce(t.started_at, a.now), attempt_at = a.now, reason = NULL,
            lane = coalesce(a.lane, t.lane)
        FROM asked a JOIN tasks old ON old.id = a.task_id JOIN runs r ON r.id = old.run_id
        WHERE t.id = a.task_id AND t.ended_at IS NULL AND r.status = 'running'
            AND (a.lane IS NULL OR old.status = 'pending')
        RETURNING {TASK_COLUMNS}, a.id AS asked_as, old.attempt_at AS lost_since,
            CASE WHEN old.attempt_at IS NOT NULL THEN old.worker END AS lost_worker),
    {RECORD_BEGUN}
    SELECT * FROM begun"""
"""Takes `ids`, `times`, `workers` and `lanes` of attempts. Returns no row for those that may not
begin. If two of them mean the same task, only one begins."""

_FAIL: Final = """
    WITH failed AS (
        UPDATE tasks SET failures = failures + 1, attempt_at = NULL,
            error = CASE WHEN ended_at IS NULL THEN %(error)s ELSE error END,
            code = CASE WHEN ended_at IS NULL THEN %(code)s ELSE code END
        WHERE id = %(id)s RETURNING id, failures),
    recorded AS (
        UPDATE attempts a SET outcome = 'failed', ended_at = %(now)s, error = %(error)s,
            code = %(code)s
        FROM failed f WHERE a.task_id = f.id AND a.ended_at IS NULL)
    SELECT failures FROM failed"""
_RELEASE: Final = """
    WITH released AS (
        UPDATE tasks SET attempt_at = NULL WHERE id = %(id)s RETURNING id)
    UPDATE attempts a SET outcome = 'interrupted', ended_at = %(now)s FROM released r
    WHERE a.task_id = r.id AND a.ended_at IS NULL"""


async def fail_attempt(
    connection: Connection, task_id: str, error: str, entry: LogEntry, code: str | None
) -> int:
    """Record that the attempt at work failed, at the time of the entry; return all failures."""
    values = {
        "id": task_id,
        "error": to_storable_text(error),
        "code": to_storable_text(code),
        "now": entry.created_at,
    }
    row = await (await connection.execute(_FAIL, values)).fetchone()
    await insert_log_entries(connection, [entry])
    return row["failures"] if row else 0


async def hold_task(connection: Connection, task_id: str, reason: str, entry: LogEntry) -> None:
    """Note why no attempt of an open task begins; write the entry if that is new."""
    query = """UPDATE tasks SET reason = %(reason)s
        WHERE id = %(id)s AND ended_at IS NULL AND reason IS DISTINCT FROM %(reason)s
        RETURNING id"""
    values = {"id": task_id, "reason": to_storable_text(reason)}
    if await (await connection.execute(query, values)).fetchone() is not None:
        await insert_log_entries(connection, [entry])


async def release_attempt(connection: Connection, task_id: str, entry: LogEntry) -> None:
    """Record that the attempt at work was interrupted, at the time of the entry."""
    await connection.execute(_RELEASE, {"id": task_id, "now": entry.created_at})
    await insert_log_entries(connection, [entry])
