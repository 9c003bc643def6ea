"""Ends a run whose data cannot be read or written, with statements that touch none of it."""

from datetime import datetime
from typing import Final

from activityctl.adapters.postgres.database import Connection, to_storable_text
from activityctl.adapters.postgres.signals import notify_sql
from activityctl.domain.runs.run import RunStatus
from activityctl.domain.runs.run_change import end_message
from activityctl.domain.values import ids
from activityctl.ports import LOG_CHANNEL, Work

# The input of a task may have credentials; they are masked when a task ends, and here unread.
_ABANDON: Final = f"""
    WITH ended AS (
        UPDATE runs SET status = %(status)s, reason = %(reason)s, ending = NULL,
            ended_at = %(now)s
        WHERE id = %(id)s AND ended_at IS NULL
          AND (%(status)s::text <> 'cancelled' OR cancel_requested_at IS NOT NULL)
        RETURNING id, subscription_id, trigger,
            trigger NOT IN ('onMissed', 'onRecovered') AS is_counted,
            events IS NULL AND trigger NOT IN ('onMissed', 'onRecovered') AS is_told),
    stopped AS (
        UPDATE tasks t SET status = 'cancelled', reason = %(reason)s, ended_at = %(now)s,
            input = NULL
        FROM ended WHERE t.run_id = ended.id AND t.ended_at IS NULL RETURNING t.id),
    attempts_ended AS (
        UPDATE attempts a SET outcome = 'stopped', ended_at = %(now)s FROM stopped
        WHERE a.task_id = stopped.id AND a.ended_at IS NULL),
    unanswered AS (
        UPDATE waits w SET ended_at = %(now)s
        FROM ended WHERE w.run_id = ended.id AND w.ended_at IS NULL),
    letter AS (
        INSERT INTO dead_letters (id, run_id, subscription_id, reason, created_at)
        SELECT %(letter)s, id, subscription_id, %(reason)s, %(now)s FROM ended
        WHERE %(status)s::text IN ('failed', 'timed_out') ON CONFLICT DO NOTHING),
    told AS (
        INSERT INTO notices (subscription_id, kind, items, count, created_at)
        SELECT subscription_id, 'failed', jsonb_build_array(jsonb_build_object('run', id,
            'trigger', trigger, 'status', %(status)s::text, 'reason', %(reason)s::text)), 1,
            %(now)s
        FROM ended WHERE %(status)s::text IN ('failed', 'timed_out') AND is_told),
    trouble AS (
        INSERT INTO troubles (subscription_id, kind, count, created_at)
        SELECT subscription_id, 'failed', 1, %(now)s FROM ended
        WHERE %(status)s::text IN ('failed', 'timed_out') AND is_counted),
    entry AS (
        INSERT INTO log_entries (subscription_id, run_id, level, message, metadata, created_at)
        SELECT subscription_id, id, 'error', %(message)s, '{{}}'::jsonb, %(now)s FROM ended)
    SELECT {notify_sql(Work.QUEUE)}, pg_notify('{LOG_CHANNEL}', subscription_id) FROM ended"""


async def abandon_run(
    connection: Connection, run_id: str, status: RunStatus, reason: str, now: datetime
) -> bool:
    """End the run in the caller's transaction; return whether it has ended, or does not exist."""
    values = {
        "id": run_id,
        "status": status.value,
        "reason": to_storable_text(reason),
        "letter": ids.dead_letter_id(run_id),
        "message": to_storable_text(end_message(status, reason)),
        "now": now,
    }
    await connection.execute(_ABANDON.encode(), values)
    cursor = await connection.execute(
        "SELECT 1 AS is_open FROM runs WHERE id = %s AND ended_at IS NULL", (run_id,)
    )
    return await cursor.fetchone() is None
