"""The failures in a row of a subscription, and the pause that they cause, in Postgres.

`domain/runs/auto_pause.py` decides whether a run counts and whether it pauses.
"""

from typing import Final

from activityctl.adapters.postgres.database import Connection, to_storable_text
from activityctl.adapters.postgres.locks import Lock, take_lock
from activityctl.adapters.postgres.notices import count_trouble, notice_values, write_recovery
from activityctl.adapters.postgres.schedules.due_schedules import process_due_of_subscriptions
from activityctl.adapters.postgres.signals import notify_sql
from activityctl.domain.runs.notices import paused_notice
from activityctl.domain.runs.run_change import RunChange
from activityctl.ports import Work

_RESET_FAILURES: Final = """
    UPDATE subscriptions SET failures = 0
    WHERE id = %(id)s AND (failures <> 0 OR EXISTS (
        SELECT FROM troubles WHERE subscription_id = %(id)s))"""
_COUNT_FAILURE: Final = "UPDATE subscriptions SET failures = failures + 1 WHERE id = %s"
_PAUSE: Final = f"""
    WITH paused AS (
        UPDATE subscriptions SET status = 'paused', pause_reason = %(reason)s,
            paused_by_run = %(run)s, paused_at = %(now)s, updated_at = %(now)s
        WHERE id = %(id)s AND status = 'active' RETURNING id),
    follow AS (
        UPDATE schedules c SET is_active = false
        FROM paused WHERE c.subscription_id = paused.id),
    told AS (
        INSERT INTO notices (subscription_id, kind, items, count, created_at)
        SELECT id, %(kind)s, %(items)s, %(count)s, %(at)s FROM paused)
    SELECT {notify_sql(Work.SCHEDULES)} FROM paused"""


async def write_streak(connection: Connection, change: RunChange) -> None:
    """Write the streak of the change to its subscription, and pause it if the change says so."""
    streak, owner = change.streak, change.run.subscription_id
    if streak is None:
        return
    if not streak.has_failed:
        await connection.execute(_RESET_FAILURES, {"id": owner})
        await write_recovery(connection, change.run, streak.decided_at)
        return
    if streak.pause_reason is None:
        await connection.execute(_COUNT_FAILURE, (owner,))
        await count_trouble(connection, owner, streak.decided_at)
        return
    # Before the row is locked, because an apply that is running may add schedules.
    await take_lock(connection, Lock.CATALOG, is_shared=True)
    await process_due_of_subscriptions(connection, [owner])
    await connection.execute(_COUNT_FAILURE, (owner,))
    await count_trouble(connection, owner, streak.decided_at)
    values = {
        "id": owner,
        "run": change.run.id,
        "reason": to_storable_text(streak.pause_reason),
        "now": streak.decided_at,
        **notice_values(paused_notice(change.run, streak.pause_reason, streak.decided_at)),
    }
    await connection.execute(_PAUSE.encode(), values)
