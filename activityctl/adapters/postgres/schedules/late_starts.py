"""Marks firings in Postgres as missed when they were decided but did not start in time.

`due_schedules.py` decides the due times that are not decided yet.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from activityctl.adapters.postgres.database import Connection
from activityctl.adapters.postgres.schedules.calendars import read_calendars_of
from activityctl.adapters.postgres.schedules.due_schedules import (
    recompute_next_times,
    write_unstarted_runs,
)
from activityctl.domain.timing.firing import FiringRef
from activityctl.domain.timing.misfires import (
    DecidedTime,
    DueOutcome,
    ScheduleProgress,
    has_later_start,
    late_start_reason,
)
from activityctl.domain.timing.trigger import Trigger, parsed_trigger, trigger_of
from activityctl.domain.timing.window import DaysByCalendar
from activityctl.domain.values import ids

# An old firing of a later time may have been removed already; then its run shows that it started.
_COLUMNS: Final = """c.subscription_id, c.trigger, c.kind, c.body, c.cursor, c.fired,
        EXISTS (SELECT FROM firings f WHERE f.subscription_id = c.subscription_id
            AND f.trigger = c.trigger AND f.due_at > x.due AND f.backfill_id IS NULL)
        OR EXISTS (SELECT FROM runs r WHERE r.subscription_id = c.subscription_id
            AND r.trigger = c.trigger AND r.due_at > x.due AND r.started_at IS NOT NULL
            AND r.firing_key = to_char(r.due_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'))
            AS is_followed"""
_LOCK_SCHEDULE: Final = f"""
    SELECT {_COLUMNS} FROM schedules c CROSS JOIN (SELECT %(due)s::timestamptz AS due) x
    WHERE c.id = %(id)s FOR UPDATE OF c"""
_SELECT_SCHEDULES: Final = f"""
    SELECT x.number, {_COLUMNS}
    FROM unnest(%(ids)s::text[], %(dues)s::timestamptz[]) WITH ORDINALITY AS x(id, due, number)
    JOIN schedules c ON c.id = x.id"""
_UNCOUNT_FIRING: Final = """
    UPDATE schedules SET fired = fired - 1
    WHERE id = %(id)s AND fired > 0 AND (counts_after IS NULL OR counts_after < %(due)s)
    RETURNING id, kind, body, cursor, fired"""


async def mark_missed_if_late(
    connection: Connection, firing: FiringRef, fires_at: datetime, now: datetime
) -> bool:
    """Write the firing as missed if it is too late for it to start; return whether it is.

    A firing that has a run, begun or queued, is left alone.
    """
    schedule = ids.schedule_id(firing.subscription_id, firing.trigger)
    values = {"id": schedule, "due": firing.due}
    cursor = await connection.execute(_LOCK_SCHEDULE.encode(), values)
    row = await cursor.fetchone()
    # A separate statement: another call may have written the run while this one waited.
    if row is None or await _has_run(connection, firing):
        return False
    trigger = trigger_of(row["kind"], row["body"])
    calendars = await read_calendars_of(connection, [trigger])
    reason = _reason(row, trigger, (firing.due, fires_at), now, calendars)
    if reason is None:
        return False
    missed = DecidedTime(firing.due, DueOutcome.MISSED, reason=reason)
    await write_unstarted_runs(connection, [(row, [missed], now)])
    await uncount_firing(connection, firing.subscription_id, firing.trigger, firing.due)
    return True


async def surely_start(
    connection: Connection,
    firings: Sequence[tuple[FiringRef, datetime]],
    span: tuple[datetime, datetime],
) -> set[ids.RunId]:
    """Return the runs of those late firings that may start at any time of the span.

    Each comes with when it should have started. What is missing may start or not: that is decided
    with its schedule locked. Firings of a deleted schedule may start.
    """
    if not firings:
        return set()
    values = {
        "ids": [ids.schedule_id(firing.subscription_id, firing.trigger) for firing, _ in firings],
        "dues": [firing.due for firing, _ in firings],
    }
    cursor = await connection.execute(_SELECT_SCHEDULES.encode(), values)
    rows = {row["number"] - 1: row for row in await cursor.fetchall()}
    triggers = {number: _readable(row) for number, row in rows.items()}
    known = [trigger for trigger in triggers.values() if trigger is not None]
    calendars = await read_calendars_of(connection, known)
    return {
        firing.run_id
        for number, (firing, fires_at) in enumerate(firings)
        if number not in rows
        or (
            (trigger := triggers[number]) is not None
            and not any(
                _reason(rows[number], trigger, (firing.due, fires_at), now, calendars)
                for now in span
            )
        )
    }


def _readable(row: Mapping[str, Any]) -> Trigger | None:
    try:
        return parsed_trigger(row["kind"], ids.canonical_json(row["body"]))
    except (ValueError, KeyError):
        return None


def _reason(
    row: Mapping[str, Any],
    trigger: Trigger,
    times: tuple[datetime, datetime],
    now: datetime,
    calendars: DaysByCalendar,
) -> str | None:
    progress = ScheduleProgress(row["cursor"], row["fired"])
    is_followed = row["is_followed"] or has_later_start(trigger, progress, times[0], now, calendars)
    return late_start_reason(trigger, times, now, calendars, is_followed=is_followed)


async def uncount_firing(
    connection: Connection, subscription: str, trigger: str, nominal: datetime
) -> None:
    """Take a missed firing out of the count for maxFirings.

    Firings from before the last change of the trigger are not in that count.
    """
    values = {"id": ids.schedule_id(subscription, trigger), "due": nominal}
    cursor = await connection.execute(_UNCOUNT_FIRING, values)
    if rows := await cursor.fetchall():
        await recompute_next_times(connection, rows)


async def _has_run(connection: Connection, firing: FiringRef) -> bool:
    cursor = await connection.execute("SELECT FROM runs WHERE id = %s", (firing.run_id,))
    return await cursor.fetchone() is not None
