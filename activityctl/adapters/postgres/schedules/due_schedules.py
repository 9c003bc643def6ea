"""Processes due schedules in Postgres: writes firings and runs for the due times.

The domain decides whether a due time fires, is skipped or is missed. Every function works in the
transaction of its caller.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from psycopg import AsyncCursor
from psycopg.types.json import Jsonb

from activityctl.adapters.postgres.database import Connection, to_jsonb, to_storable_text
from activityctl.adapters.postgres.logbook import insert_log_entries
from activityctl.adapters.postgres.notices import write_notices
from activityctl.adapters.postgres.signals import wake_workers
from activityctl.domain.manifests.param_defaults import fill_defaults
from activityctl.domain.runs.notices import missed_notice
from activityctl.domain.timing.firing import FiringRef, firing_key
from activityctl.domain.timing.misfires import (
    DecidedTime,
    DueTimeDecisions,
    ScheduleProgress,
    count_wake_ups,
    decide_due_times,
    decide_until,
    next_nominal_time,
    skipped_log_entries,
)
from activityctl.domain.timing.trigger import Trigger, trigger_of
from activityctl.domain.timing.window import DaysByCalendar
from activityctl.domain.values import ids
from activityctl.domain.values.moment import parse_days
from activityctl.ports import Work

# An apply locks the rows of the schedules that it may change until it has written everything. So
# the lock that is held here keeps timing, revision and params those of one apply.
_LOCK_SCHEDULES: Final = """
    SELECT c.id, c.subscription_id, c.trigger, c.kind, c.body, c.cursor, c.fired, c.wakes,
        clock_timestamp() AS now
    FROM schedules c JOIN subscriptions s ON s.id = c.subscription_id
    WHERE c.id = ANY(%(ids)s) AND c.wanted_hash IS NOT NULL AND s.status = 'active'
    ORDER BY c.id FOR UPDATE OF c"""
_UPDATE_SCHEDULE: Final = """
    UPDATE schedules SET cursor = %(cursor)s, next_at = %(next_at)s, fired = %(fired)s,
        wakes = %(wakes)s
    WHERE id = %(id)s"""
_INSERT_FIRINGS: Final = """
    INSERT INTO firings (id, subscription_id, trigger, firing_key, due_at, created_at, fires_at,
        dispatched_at, revision_id, params)
    SELECT x.id, %(subscription)s, %(trigger)s, x.key, x.due, %(now)s, x.fires,
        CASE WHEN x.own THEN %(now)s END, d.revision_id, s.params
    FROM jsonb_to_recordset(%(rows)s) AS x(id text, key text, due timestamptz,
        fires timestamptz, own boolean),
        subscriptions s JOIN definitions d ON d.name = s.definition
    WHERE s.id = %(subscription)s
    ON CONFLICT DO NOTHING"""
_INSERT_RUNS: Final = """
    INSERT INTO runs (id, subscription_id, definition, revision_id, trigger, firing_key,
        workflow_id, due_at, status, reason, params, created_at, ended_at)
    SELECT x.id, %(subscription)s, %(definition)s, %(revision)s, %(trigger)s, x.key, x.workflow,
        x.due, x.status, x.reason, %(params)s, %(now)s, %(now)s
    FROM jsonb_to_recordset(%(rows)s) AS x(id text, key text, workflow text, due timestamptz,
        status text, reason text)
    ON CONFLICT DO NOTHING"""


async def process_due_schedules(
    connection: Connection, schedule_ids: Sequence[str], caller: FiringRef | None = None
) -> dict[str, DueTimeDecisions]:
    """Process the due times of those of these schedules that are active; return them by id.

    `caller` is the firing whose workflow asks: if it starts now, that workflow runs it.
    Call again when a result is not complete.
    """
    cursor = await connection.execute(_LOCK_SCHEDULES.encode(), {"ids": list(schedule_ids)})
    rows = await cursor.fetchall()
    return {row["id"]: await _process_row(connection, row, caller) for row in rows}


async def process_all_due(connection: Connection, schedule_ids: Sequence[str]) -> None:
    """Process all due times of these schedules, before they are paused or changed."""
    waiting = list(schedule_ids)
    while waiting:
        decided = await process_due_schedules(connection, waiting)
        waiting = [key for key, decisions in decided.items() if not decisions.is_complete]


async def process_due_of_subscriptions(
    connection: Connection, subscriptions: Sequence[str]
) -> None:
    """Process all due times of these subscriptions, before they are paused, changed or deleted."""
    due = await select_due(connection, subscriptions)
    await process_all_due(connection, [row["id"] for row in await due.fetchall()])


async def select_due(
    connection: Connection, subscriptions: Sequence[str]
) -> AsyncCursor[dict[str, Any]]:
    """Select the ids of the schedules of these subscriptions that are due."""
    return await connection.execute(
        """SELECT id FROM schedules
           WHERE subscription_id = ANY(%s) AND next_at <= clock_timestamp()""",
        (list(subscriptions),),
    )


async def move_cursors_to_now(connection: Connection, subscriptions: Sequence[str]) -> None:
    """Move the cursors of active schedules that are not due to now.

    Call it before `process_due_of_subscriptions`. Then every active schedule is decided up to a
    moment in this transaction, and a new timing counts from there: no due time is lost in between.
    """
    await connection.execute(
        """WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now)
           UPDATE schedules c SET cursor = clock.now FROM clock, subscriptions s
           WHERE c.subscription_id = ANY(%s) AND c.wanted_hash IS NOT NULL
             AND s.id = c.subscription_id AND s.status = 'active' AND c.cursor < clock.now
             AND (c.next_at IS NULL OR c.next_at > clock.now)""",
        (list(subscriptions),),
    )


async def recompute_next_times(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Compute the next times again; the rows have id, kind, body, cursor and fired."""
    triggers: dict[tuple[str, str], Trigger] = {}  # schedules of one definition share a trigger
    next_times = []
    for row in rows:
        key = (row["kind"], ids.canonical_json(row["body"]))
        trigger = triggers.get(key) or trigger_of(row["kind"], row["body"])
        triggers[key] = trigger
        next_times.append(
            (row["id"], next_nominal_time(trigger, ScheduleProgress(row["cursor"], row["fired"])))
        )
    await connection.execute(
        """UPDATE schedules c SET next_at = x.next_at
           FROM jsonb_to_recordset(%s) AS x(id text, next_at timestamptz) WHERE c.id = x.id""",
        (
            Jsonb(
                [
                    {"id": key, "next_at": next_at and next_at.isoformat()}
                    for key, next_at in next_times
                ]
            ),
        ),
    )


async def read_calendars(connection: Connection, names: Sequence[str]) -> DaysByCalendar:
    """Return the days of those of these calendars that are live."""
    if not names:
        return {}
    cursor = await connection.execute(
        "SELECT name, days FROM calendars WHERE name = ANY(%s) AND deleted_at IS NULL",
        (list(names),),
    )
    rows = await cursor.fetchall()
    return {row["name"]: tuple(parse_days(days) for days in row["days"]) for row in rows}


async def _process_row(
    connection: Connection, row: dict[str, Any], caller: FiringRef | None
) -> DueTimeDecisions:
    trigger = trigger_of(row["kind"], row["body"])
    now = decide_until(row["now"], caller.due if caller else None)
    decisions = decide_due_times(
        (row["subscription_id"], row["trigger"]),
        trigger,
        ScheduleProgress(row["cursor"], row["fired"]),
        now,
        await read_trigger_calendars(connection, trigger),
    )
    async with connection.pipeline():
        await _write_firings(connection, row, decisions, caller)
        await _move_cursor(connection, row, decisions, caller)
    await write_unstarted_runs(connection, row, decisions.refused, now)
    return decisions


async def read_trigger_calendars(connection: Connection, trigger: Trigger) -> DaysByCalendar:
    """Return the days of the calendars that the trigger names."""
    names = trigger.exclude.calendars if trigger.exclude is not None else ()
    return await read_calendars(connection, names)


async def _move_cursor(
    connection: Connection,
    row: dict[str, Any],
    decisions: DueTimeDecisions,
    caller: FiringRef | None,
) -> None:
    progress = decisions.progress
    await connection.execute(
        _UPDATE_SCHEDULE.encode(),
        {
            "id": row["id"],
            "cursor": progress.cursor,
            "next_at": decisions.next_at,
            "fired": progress.fired,
            "wakes": count_wake_ups(row["wakes"], decisions, caller),
        },
    )


async def _write_firings(
    connection: Connection,
    row: dict[str, Any],
    decisions: DueTimeDecisions,
    caller: FiringRef | None,
) -> None:
    owner = (row["subscription_id"], row["trigger"])
    callers_time = caller.due if caller is not None and decisions.starts_now(caller.due) else None
    firings = [
        {
            "id": ids.firing_id(*owner, firing_key(time.nominal)),
            "key": firing_key(time.nominal),
            "due": time.nominal.isoformat(),
            "fires": time.fires_at.isoformat(),
            "own": time.nominal == callers_time,
        }
        for time in decisions.times
        if time.fires_at is not None
    ]
    if not firings:
        return
    await connection.execute(
        _INSERT_FIRINGS.encode(),
        {
            "rows": Jsonb(firings),
            "subscription": row["subscription_id"],
            "trigger": row["trigger"],
            "now": decisions.decided_at,
        },
    )
    if any(not firing["own"] for firing in firings):
        await wake_workers(connection, Work.FIRING)


async def write_unstarted_runs(
    connection: Connection, row: dict[str, Any], refused: Sequence[DecidedTime], now: datetime
) -> None:
    """Write an ended run for each due time that is skipped or missed, and write it to the log.

    The row has the subscription_id and trigger of the schedule. A firing that was decided before
    keeps its revision and params.
    """
    if not refused:
        return
    owner = (row["subscription_id"], row["trigger"])
    firing = ids.firing_id(*owner, firing_key(refused[0].nominal))
    frozen = await _read_frozen(connection, row["subscription_id"], firing)
    await connection.execute(
        _INSERT_RUNS.encode(),
        {
            "rows": Jsonb([_run_row(row, time) for time in refused]),
            "subscription": row["subscription_id"],
            "trigger": row["trigger"],
            "now": now,
            **frozen,
        },
    )
    await insert_log_entries(connection, skipped_log_entries(owner, refused, now))
    if (notice := missed_notice(owner, refused, now)) is not None:
        await write_notices(connection, [notice])


def _run_row(row: dict[str, Any], time: DecidedTime) -> dict[str, Any]:
    owner, key = (row["subscription_id"], row["trigger"]), firing_key(time.nominal)
    return {
        "id": ids.run_id(*owner, key),
        "key": key,
        "workflow": ids.NO_WORKFLOW,
        "due": time.nominal.isoformat(),
        "status": time.outcome.value,
        "reason": to_storable_text(time.reason),
    }


async def _read_frozen(connection: Connection, subscription: str, firing: str) -> dict[str, Any]:
    """Return the revision and the params of the firing; those of now if it is not stored."""
    cursor = await connection.execute(
        """SELECT v.id AS revision, v.definition, v.spec -> 'params' AS schema,
               coalesce(f.params, s.params) AS params
           FROM subscriptions s JOIN definitions d ON d.name = s.definition
           LEFT JOIN firings f ON f.id = %s
           JOIN revisions v ON v.id = coalesce(f.revision_id, d.revision_id)
           WHERE s.id = %s""",
        (firing, subscription),
    )
    (row,) = await cursor.fetchall()
    params = fill_defaults(row["schema"] or {}, row["params"])
    frozen = {name: row[name] for name in ("revision", "definition")}
    return {**frozen, "params": to_jsonb(params)}
