"""Ends a run whose data cannot be read or written, with statements that touch none of it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from activityctl.adapters.postgres.database import Connection, to_storable_text
from activityctl.adapters.postgres.runs.streaks import write_streak
from activityctl.adapters.postgres.signals import notify_sql
from activityctl.domain.runs.auto_pause import streak_of_abandoned
from activityctl.domain.runs.run import FAILURES, Run, RunStatus
from activityctl.domain.runs.run_change import RunChange, end_message
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
    entry AS (
        INSERT INTO log_entries (subscription_id, run_id, level, message, metadata, created_at)
        SELECT subscription_id, id, 'error', %(message)s, '{{}}'::jsonb, %(now)s FROM ended)
    SELECT {notify_sql(Work.QUEUE)}, pg_notify('{LOG_CHANNEL}', subscription_id) FROM ended"""


_ABOUT_TO_END: Final = """
    SELECT r.id, r.subscription_id, s.name, r.definition, r.revision_id, r.trigger, r.firing_key,
        r.due_at, r.status, r.created_at, r.ending, s.failures, s.status = 'active' AS is_active,
        (v.spec #>> '{pauseAfter,failures}')::int AS most
    FROM runs r JOIN subscriptions s ON s.id = r.subscription_id
    JOIN revisions v ON v.id = r.revision_id
    WHERE r.id = %s AND r.ended_at IS NULL FOR UPDATE OF r"""


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
    cursor = await connection.execute(_ABOUT_TO_END.encode(), (run_id,))
    row = await cursor.fetchone()
    await connection.execute(_ABANDON.encode(), values)
    if row is not None and status in FAILURES:
        run = _run_of(row)
        streak = streak_of_abandoned(run, row["most"], reason, now)
        await write_streak(connection, RunChange(run, streak=streak))
    cursor = await connection.execute(
        "SELECT 1 AS is_open FROM runs WHERE id = %s AND ended_at IS NULL", (run_id,)
    )
    return await cursor.fetchone() is None


def _run_of(row: Mapping[str, Any]) -> Run:
    """Return the run without its data."""
    return Run(
        id=row["id"],
        subscription_id=row["subscription_id"],
        subscription=row["name"],
        definition=row["definition"],
        revision_id=row["revision_id"],
        trigger=row["trigger"],
        firing_key=row["firing_key"],
        due_at=row["due_at"],
        status=RunStatus(row["status"]),
        created_at=row["created_at"],
        ending=None if row["ending"] is None else RunStatus(row["ending"]),
        failures_before=row["failures"],
        owner_is_active=row["is_active"],
    )
