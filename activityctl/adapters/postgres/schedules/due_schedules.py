"""Settling schedules in Postgres: the fates of nominal times become firings and runs.

One transaction of the caller's; which fate a time has is decided in the domain.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from psycopg.types.json import Jsonb

from activityctl.adapters.postgres.database import Connection, to_jsonb, to_storable_text
from activityctl.adapters.postgres.logbook import insert_log_entries
from activityctl.adapters.postgres.signals import wake_workers
from activityctl.domain.manifests.param_defaults import fill_defaults
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

_LOCKED: Final = """
    SELECT c.id, c.subscription_id, c.trigger, c.kind, c.body, c.cursor, c.fired, c.wakes,
        s.definition, clock_timestamp() AS now
    FROM schedules c JOIN subscriptions s ON s.id = c.subscription_id
    WHERE c.id = ANY(%(ids)s) AND c.wanted_hash IS NOT NULL AND s.status = 'active'
    ORDER BY c.id FOR UPDATE OF c"""
_MOVE: Final = """
    UPDATE schedules SET cursor = %(cursor)s, next_at = %(next_at)s, fired = %(fired)s,
        wakes = %(wakes)s
    WHERE id = %(id)s"""
_INSERT_FIRINGS: Final = """
    INSERT INTO firings (id, subscription_id, trigger, firing_key, due_at, created_at, fires_at,
        dispatched_at)
    SELECT x.id, %(subscription)s, %(trigger)s, x.key, x.due, %(now)s, x.fires,
        CASE WHEN x.own THEN %(now)s END
    FROM jsonb_to_recordset(%(rows)s) AS x(id text, key text, due timestamptz,
        fires timestamptz, own boolean)
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
    """Settle what has come due of those schedules, as far as they are active, by their ids.

    `caller` is the firing whose workflow asks: when it starts now, that workflow carries it.
    A settlement that is not complete wants to be called again.
    """
    cursor = await connection.execute(_LOCKED.encode(), {"ids": list(schedule_ids)})
    rows = await cursor.fetchall()
    return {row["id"]: await _process_row(connection, row, caller) for row in rows}


async def process_all_due(connection: Connection, schedule_ids: Sequence[str]) -> None:
    """Settle until nothing that is due is left; before pauses and changes of a trigger."""
    waiting = list(schedule_ids)
    while waiting:
        settled = await process_due_schedules(connection, waiting)
        waiting = [key for key, settlement in settled.items() if not settlement.is_complete]


async def process_due_of_subscriptions(
    connection: Connection, subscriptions: Sequence[str]
) -> None:
    """Settle whatever is due of those subscriptions, before they pause, change or go."""
    cursor = await connection.execute(
        """SELECT id FROM schedules
           WHERE subscription_id = ANY(%s) AND next_at <= clock_timestamp()""",
        (list(subscriptions),),
    )
    await process_all_due(connection, [row["id"] for row in await cursor.fetchall()])


async def move_cursors_to_now(connection: Connection, subscriptions: Sequence[str]) -> None:
    """Move the cursors of what is not due to now; call it before `process_due_of_subscriptions`.

    Every active schedule is then settled up to a moment within this transaction, from which
    what becomes of it may count: no time is lost between the old timing and the new.
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
    """Have those schedules count from their cursor; rows have id, kind, body, cursor, fired."""
    triggers: dict[tuple[str, str], Trigger] = {}  # few differ: they come from definitions
    following = []
    for row in rows:
        key = (row["kind"], ids.canonical_json(row["body"]))
        trigger = triggers.get(key) or trigger_of(row["kind"], row["body"])
        triggers[key] = trigger
        following.append(
            (row["id"], next_nominal_time(trigger, ScheduleProgress(row["cursor"], row["fired"])))
        )
    await connection.execute(
        """UPDATE schedules c SET next_at = x.next_at
           FROM jsonb_to_recordset(%s) AS x(id text, next_at timestamptz) WHERE c.id = x.id""",
        (Jsonb([{"id": key, "next_at": at and at.isoformat()} for key, at in following]),),
    )


async def read_calendars(connection: Connection, names: Sequence[str]) -> DaysByCalendar:
    """Return the days of those calendars that live."""
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
    settlement = decide_due_times(
        (row["subscription_id"], row["trigger"]),
        trigger,
        ScheduleProgress(row["cursor"], row["fired"]),
        now,
        await read_trigger_calendars(connection, trigger),
    )
    async with connection.pipeline():
        await _write_firings(connection, row, settlement, caller)
        await _move_cursor(connection, row, settlement, caller)
    await write_runs(connection, row, settlement.refused, now)
    return settlement


async def read_trigger_calendars(connection: Connection, trigger: Trigger) -> DaysByCalendar:
    """Return the days of the calendars that the trigger names."""
    names = trigger.exclude.calendars if trigger.exclude is not None else ()
    return await read_calendars(connection, names)


async def _move_cursor(
    connection: Connection,
    row: dict[str, Any],
    settlement: DueTimeDecisions,
    caller: FiringRef | None,
) -> None:
    progress = settlement.progress
    await connection.execute(
        _MOVE.encode(),
        {
            "id": row["id"],
            "cursor": progress.cursor,
            "next_at": settlement.next_at,
            "fired": progress.fired,
            "wakes": count_wake_ups(row["wakes"], settlement, caller),
        },
    )


async def _write_firings(
    connection: Connection,
    row: dict[str, Any],
    settlement: DueTimeDecisions,
    caller: FiringRef | None,
) -> None:
    owner = (row["subscription_id"], row["trigger"])
    own = caller.due if caller is not None and settlement.starts_now(caller.due) else None
    firings = [
        {
            "id": ids.firing_id(*owner, firing_key(one.nominal)),
            "key": firing_key(one.nominal),
            "due": one.nominal.isoformat(),
            "fires": one.fires_at.isoformat(),
            "own": one.nominal == own,
        }
        for one in settlement.times
        if one.fires_at is not None
    ]
    if not firings:
        return
    await connection.execute(
        _INSERT_FIRINGS.encode(),
        {
            "rows": Jsonb(firings),
            "subscription": row["subscription_id"],
            "trigger": row["trigger"],
            "now": settlement.settled_at,
        },
    )
    if any(not one["own"] for one in firings):
        await wake_workers(connection, Work.FIRING)


async def write_runs(
    connection: Connection, row: dict[str, Any], refused: Sequence[DecidedTime], now: datetime
) -> None:
    """Write a run for each firing that does not start, and say so in the log.

    The row has the schedule's subscription_id, trigger and definition.
    """
    if not refused:
        return
    frozen = await _frozen(connection, row["subscription_id"])
    await connection.execute(
        _INSERT_RUNS.encode(),
        {
            "rows": Jsonb([_run_row(row, one) for one in refused]),
            "subscription": row["subscription_id"],
            "definition": row["definition"],
            "trigger": row["trigger"],
            "now": now,
            **frozen,
        },
    )
    owner = (row["subscription_id"], row["trigger"])
    await insert_log_entries(connection, skipped_log_entries(owner, refused, now))


def _run_row(row: dict[str, Any], one: DecidedTime) -> dict[str, Any]:
    owner, key = (row["subscription_id"], row["trigger"]), firing_key(one.nominal)
    return {
        "id": ids.run_id(*owner, key),
        "key": key,
        "workflow": ids.workflow_id(*owner, key),
        "due": one.nominal.isoformat(),
        "status": one.outcome.value,
        "reason": to_storable_text(one.reason),
    }


async def _frozen(connection: Connection, subscription: str) -> dict[str, Any]:
    """Return the revision and the params with which a run of the subscription would begin."""
    cursor = await connection.execute(
        """SELECT v.id AS revision, v.spec -> 'params' AS schema, s.params FROM subscriptions s
           JOIN definitions d ON d.name = s.definition JOIN revisions v ON v.id = d.revision_id
           WHERE s.id = %s""",
        (subscription,),
    )
    (row,) = await cursor.fetchall()
    params = fill_defaults(row["schema"] or {}, row["params"])
    return {"revision": row["revision"], "params": to_jsonb(params)}
