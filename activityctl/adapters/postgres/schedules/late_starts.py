"""Firings in Postgres that were let go and never began: missed, and counted no more.

What becomes of nominal times that have no fate yet is in `settlements`.
"""

from datetime import datetime
from typing import Final

from activityctl.adapters.postgres.database import Connection
from activityctl.adapters.postgres.schedules.due_schedules import (
    read_trigger_calendars,
    recompute_next_times,
    write_runs,
)
from activityctl.domain.timing.firing import FiringRef
from activityctl.domain.timing.misfires import (
    DecidedTime,
    DueOutcome,
    ScheduleProgress,
    has_later_start,
    late_start_reason,
)
from activityctl.domain.timing.trigger import trigger_of
from activityctl.domain.values import ids

# Of a later time that began long ago only the run is left.
_CUT_OFF: Final = """
    SELECT c.subscription_id, c.trigger, c.kind, c.body, c.cursor, c.fired, s.definition,
        EXISTS (SELECT FROM firings f WHERE f.subscription_id = c.subscription_id
            AND f.trigger = c.trigger AND f.due_at > %(due)s AND f.backfill_id IS NULL)
        OR EXISTS (SELECT FROM runs r WHERE r.subscription_id = c.subscription_id
            AND r.trigger = c.trigger AND r.due_at > %(due)s AND r.started_at IS NOT NULL
            AND r.firing_key = to_char(r.due_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'))
            AS is_followed
    FROM schedules c JOIN subscriptions s ON s.id = c.subscription_id
    WHERE c.id = %(id)s FOR UPDATE OF c"""
_GIVE_BACK: Final = """
    UPDATE schedules SET fired = fired - 1
    WHERE id = %(id)s AND fired > 0 AND (counts_after IS NULL OR counts_after < %(due)s)
    RETURNING id, kind, body, cursor, fired"""


async def mark_missed_if_late(
    connection: Connection, firing: FiringRef, fires_at: datetime, now: datetime
) -> bool:
    """Write the firing as missed if it is too late for it to begin; whether it is.

    A run that has begun, or waits for its turn, stays.
    """
    schedule = ids.schedule_id(firing.subscription_id, firing.trigger)
    cursor = await connection.execute(_CUT_OFF, {"id": schedule, "due": firing.due})
    row = await cursor.fetchone()
    # A statement of its own, since others that wait for the schedule may write it meanwhile.
    if row is None or await _has_run(connection, firing):
        return False
    trigger = trigger_of(row["kind"], row["body"])
    calendars = await read_trigger_calendars(connection, trigger)
    progress = ScheduleProgress(row["cursor"], row["fired"])
    is_followed = row["is_followed"] or has_later_start(
        trigger, progress, firing.due, now, calendars
    )
    times = (firing.due, fires_at)
    reason = late_start_reason(trigger, times, now, calendars, is_followed=is_followed)
    if reason is None:
        return False
    await write_runs(
        connection, row, [DecidedTime(firing.due, DueOutcome.MISSED, reason=reason)], now
    )
    await uncount_firing(connection, firing.subscription_id, firing.trigger, firing.due)
    return True


async def uncount_firing(
    connection: Connection, subscription: str, trigger: str, nominal: datetime
) -> None:
    """Count a firing that was let go and is missed after all no more towards maxFirings.

    One of before the trigger was last changed counts no more anyway.
    """
    values = {"id": ids.schedule_id(subscription, trigger), "due": nominal}
    cursor = await connection.execute(_GIVE_BACK, values)
    if rows := await cursor.fetchall():
        await recompute_next_times(connection, rows)


async def _has_run(connection: Connection, firing: FiringRef) -> bool:
    cursor = await connection.execute("SELECT FROM runs WHERE id = %s", (firing.run_id,))
    return await cursor.fetchone() is not None
