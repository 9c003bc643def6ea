"""What a run's outcome does to its subscription in Postgres: its streak of failures, its pause.

Whether it does, `domain.auto_pause` decides.
"""

from typing import Final

from activityctl.adapters.postgres.database import Connection, to_storable_text
from activityctl.adapters.postgres.locks import CATALOG_LOCK
from activityctl.adapters.postgres.schedules.due_schedules import process_due_of_subscriptions
from activityctl.adapters.postgres.signals import wakes
from activityctl.domain.runs.run_change import RunChange
from activityctl.ports import Work

_RESET: Final = "UPDATE subscriptions SET failures = 0 WHERE id = %s AND failures <> 0"
_COUNT: Final = "UPDATE subscriptions SET failures = failures + 1 WHERE id = %s"
_PAUSE: Final = f"""
    WITH paused AS (
        UPDATE subscriptions SET status = 'paused', pause_reason = %(reason)s,
            paused_by_run = %(run)s, paused_at = %(now)s, updated_at = %(now)s
        WHERE id = %(id)s AND status = 'active' RETURNING id),
    follow AS (
        UPDATE schedules c SET observed_hash = NULL, error = NULL,
            wanted_hash = split_part(c.wanted_hash, ':', 1) || ':paused'
        FROM paused WHERE c.subscription_id = paused.id AND c.wanted_hash IS NOT NULL)
    SELECT {wakes(Work.SCHEDULES)} FROM paused"""


async def write_streak(connection: Connection, change: RunChange) -> None:
    """Write what the change says of its subscription's streak, in the caller's transaction."""
    streak, owner = change.streak, change.run.subscription_id
    if streak is None:
        return
    if not streak.has_failed:
        await connection.execute(_RESET, (owner,))
        return
    if streak.pause_reason is None:
        await connection.execute(_COUNT, (owner,))
        return
    # Before the row is locked: an apply under way may bring schedules not seen yet.
    await connection.execute("SELECT pg_advisory_xact_lock_shared(%s)", (CATALOG_LOCK,))
    await process_due_of_subscriptions(connection, [owner])
    await connection.execute(_COUNT, (owner,))
    values = {
        "id": owner,
        "run": change.run.id,
        "reason": to_storable_text(streak.pause_reason),
        "now": streak.decided_at,
    }
    await connection.execute(_PAUSE.encode(), values)
