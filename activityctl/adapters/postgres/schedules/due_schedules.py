"""Processes due schedules in Postgres: writes firings and runs for the due times.

The domain decides whether a due time fires, is skipped or is missed. Every function works in the
transaction of its caller, and writes what it decided of all schedules with a few statements.
"""

import logging
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from psycopg import AsyncCursor
from psycopg.types.json import Jsonb

from activityctl.adapters.postgres.database import Connection
from activityctl.adapters.postgres.logbook import insert_log_entries
from activityctl.adapters.postgres.notices import write_notices
from activityctl.adapters.postgres.schedules.calendars import read_calendars_of
from activityctl.adapters.postgres.signals import wake_workers
from activityctl.domain.manifests.param_defaults import fill_defaults
from activityctl.domain.runs.notices import missed_notice
from activityctl.domain.timing.firing import firing_key
from activityctl.domain.timing.misfires import (
    MAX_TIMES_AT_ONCE,
    DecidedTime,
    DueTimeDecisions,
    ScheduleProgress,
    decide_due_times,
    decide_until,
    next_nominal_time,
    skipped_log_entries,
)
from activityctl.domain.timing.trigger import Trigger, parsed_trigger
from activityctl.domain.values import ids
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.ports import Work

_LOG = logging.getLogger(__name__)

# An apply locks the rows of the schedules that it may change until it has written everything. So
# the lock that is held here keeps timing, revision and params those of one apply. Everybody locks
# schedules in the order of their ids.
_COLUMNS: Final = """c.id, c.subscription_id, c.trigger, c.kind, c.body, c.cursor, c.fired,
        clock_timestamp() AS now"""
_LOCK_SCHEDULES: Final = f"""
    SELECT {_COLUMNS} FROM schedules c WHERE c.id = ANY(%(ids)s) AND c.is_active
    ORDER BY c.id FOR UPDATE"""
# While the lock is waited for, others may decide some of them: then fewer are locked than found.
# IS TRUE keeps Postgres from reading all schedules of the alarm again by the other index.
_LOCK_DUE_OF_ALARM: Final = f"""
    WITH due AS MATERIALIZED (
        SELECT id FROM schedules WHERE alarm_id = %(alarm)s AND is_active AND next_at <= %(until)s
        ORDER BY next_at LIMIT %(limit)s),
    locked AS MATERIALIZED (
        SELECT {_COLUMNS} FROM schedules c
        WHERE c.id IN (SELECT id FROM due) AND c.is_active
            AND (c.alarm_id = %(alarm)s) IS TRUE AND (c.next_at <= %(until)s) IS TRUE
        ORDER BY c.id FOR UPDATE)
    SELECT found.count AS found, locked.* FROM (SELECT count(*) FROM due) AS found
    LEFT JOIN locked ON true ORDER BY locked.id"""
# Postgres expects a hundred rows of a list in JSON, and would read whole tables for one. So the
# lists have limits, which change nothing else.
_UPDATE_SCHEDULES: Final = """
    UPDATE schedules c SET cursor = x.cursor, next_at = x.next_at, fired = x.fired
    FROM (SELECT * FROM jsonb_to_recordset(%(rows)s) AS x(id text, cursor timestamptz,
        next_at timestamptz, fired integer) LIMIT %(count)s) AS x
    WHERE c.id = x.id"""
_INSERT_FIRINGS: Final = """
    INSERT INTO firings (id, subscription_id, trigger, firing_key, due_at, created_at, fires_at,
        dispatched_at, workflow_id, revision_id, params)
    SELECT x.id, x.subscription, x.trigger, x.key, x.due, x.now, x.fires,
        CASE WHEN x.own THEN x.now END, CASE WHEN x.own THEN %(workflow)s END, d.revision_id,
        s.params
    FROM (SELECT * FROM jsonb_to_recordset(%(rows)s) AS x(id text, subscription text, trigger text,
        key text, due timestamptz, fires timestamptz, own boolean, now timestamptz)
        LIMIT %(count)s) AS x
    JOIN subscriptions s ON s.id = x.subscription JOIN definitions d ON d.name = s.definition
    ON CONFLICT DO NOTHING"""
_INSERT_RUNS: Final = """
    INSERT INTO runs (id, subscription_id, definition, revision_id, trigger, firing_key,
        workflow_id, due_at, status, reason, params, created_at, ended_at)
    SELECT x.id, x.subscription, x.definition, x.revision, x.trigger, x.key, x.workflow,
        x.due, x.status, x.reason, x.params, x.now, x.now
    FROM jsonb_to_recordset(%(rows)s) AS x(id text, subscription text, definition text,
        revision text, trigger text, key text, workflow text, due timestamptz, status text,
        reason text, params jsonb, now timestamptz)
    ON CONFLICT DO NOTHING"""
_TIMES_TOGETHER: Final = 10_000
"""The most due times of all schedules that are decided in one transaction."""
_FEWEST_TIMES: Final = 10


@frozen_dataclass
class Caller:
    """The workflow that asks, at a nominal time."""

    due: datetime
    carries: Collection[tuple[str, str]]
    """The subscriptions and triggers whose firing of that time it runs itself, if it starts now."""
    workflow_id: str


async def process_due_schedules(
    connection: Connection, schedule_ids: Sequence[str], caller: Caller | None = None
) -> dict[str, DueTimeDecisions]:
    """Process the due times of those of these schedules that are active; return them by id.

    Call again when a result is not complete.
    """
    cursor = await connection.execute(_LOCK_SCHEDULES.encode(), {"ids": list(schedule_ids)})
    return await _process(connection, await cursor.fetchall(), caller)


async def process_due_of_alarm(
    connection: Connection, alarm_id: str, until: datetime, limit: int, caller: Caller
) -> tuple[dict[str, DueTimeDecisions], bool]:
    """Process the due times of schedules of the alarm whose next time is not after `until`.

    What is processed is decided up to now. Returns also whether that were all of them; what this
    version cannot read stays.
    """
    cursor = await connection.execute(
        _LOCK_DUE_OF_ALARM.encode(),
        {"alarm": alarm_id, "until": until, "limit": limit},
    )
    rows = await cursor.fetchall()
    locked = [row for row in rows if row["id"] is not None]
    decided = await _process(connection, locked, caller)
    has_more = rows[0]["found"] == limit and (bool(decided) or not locked)
    is_complete = not has_more and all(each.is_complete for each in decided.values())
    return decided, is_complete


async def _process(
    connection: Connection, rows: Sequence[dict[str, Any]], caller: Caller | None
) -> dict[str, DueTimeDecisions]:
    found = [(row, trigger) for row in rows if (trigger := _trigger_of(row)) is not None]
    rows, triggers = [row for row, _ in found], [trigger for _, trigger in found]
    if not rows:
        return {}
    calendars = await read_calendars_of(connection, triggers)
    at_once = min(max(_TIMES_TOGETHER // len(rows), _FEWEST_TIMES), MAX_TIMES_AT_ONCE)
    decided = [
        (
            row,
            decide_due_times(
                (row["subscription_id"], row["trigger"]),
                trigger,
                ScheduleProgress(row["cursor"], row["fired"]),
                decide_until(row["now"], caller.due if caller else None),
                calendars,
                at_once=at_once,
            ),
        )
        for row, trigger in zip(rows, triggers, strict=True)
    ]
    async with connection.pipeline():
        await _write_firings(connection, decided, caller)
        await _move_cursors(connection, decided)
    await write_unstarted_runs(
        connection,
        [
            (row, decisions.refused, decisions.decided_at)
            for row, decisions in decided
            if decisions.refused
        ],
    )
    return {row["id"]: decisions for row, decisions in decided}


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
           WHERE subscription_id = ANY(%s) AND next_at <= clock_timestamp() ORDER BY id""",
        (list(subscriptions),),
    )


async def move_cursors_to_now(connection: Connection, subscriptions: Sequence[str]) -> None:
    """Move the cursors of active schedules that are not due to now.

    Call it before `process_due_of_subscriptions`. Then every active schedule is decided up to a
    moment in this transaction, and a new timing counts from there: no due time is lost in between.
    """
    await connection.execute(
        """WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now)
           UPDATE schedules c SET cursor = clock.now FROM clock
           WHERE c.subscription_id = ANY(%s) AND c.is_active AND c.cursor < clock.now
             AND (c.next_at IS NULL OR c.next_at > clock.now)""",
        (list(subscriptions),),
    )


async def recompute_next_times(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Compute the next times again; the rows have id, kind, body, cursor and fired."""
    next_times = [
        (
            row["id"],
            next_nominal_time(
                parsed_trigger(row["kind"], ids.canonical_json(row["body"])),
                ScheduleProgress(row["cursor"], row["fired"]),
            ),
        )
        for row in rows
    ]
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


def _trigger_of(row: Mapping[str, Any]) -> Trigger | None:
    """Return the trigger; None if it cannot be read, which must not keep others from their times.

    Its due times stay undecided until a version comes that knows it.
    """
    try:
        return parsed_trigger(row["kind"], ids.canonical_json(row["body"]))
    except (ValueError, KeyError) as error:  # pydantic's ValidationError is a ValueError
        fault = type(error).__name__
        _LOG.warning("cannot read a trigger: %s", fault, extra={"schedule": row["id"]})
        return None


async def _move_cursors(
    connection: Connection, decided: Sequence[tuple[dict[str, Any], DueTimeDecisions]]
) -> None:
    rows = [
        {
            "id": row["id"],
            "cursor": decisions.progress.cursor.isoformat(),
            "next_at": decisions.next_at and decisions.next_at.isoformat(),
            "fired": decisions.progress.fired,
        }
        for row, decisions in decided
    ]
    values = {"rows": Jsonb(rows), "count": len(rows)}
    await connection.execute(_UPDATE_SCHEDULES.encode(), values)


async def _write_firings(
    connection: Connection,
    decided: Sequence[tuple[dict[str, Any], DueTimeDecisions]],
    caller: Caller | None,
) -> None:
    firings = [
        firing for row, decisions in decided for firing in _firing_rows(row, decisions, caller)
    ]
    if not firings:
        return
    workflow_id = caller and caller.workflow_id
    values = {"rows": Jsonb(firings), "count": len(firings), "workflow": workflow_id}
    await connection.execute(_INSERT_FIRINGS.encode(), values)
    if any(not firing["own"] for firing in firings):
        await wake_workers(connection, Work.FIRING)


def _firing_rows(
    row: Mapping[str, Any], decisions: DueTimeDecisions, caller: Caller | None
) -> list[dict[str, Any]]:
    owner = (row["subscription_id"], row["trigger"])
    is_carried = caller is not None and owner in caller.carries
    carried = caller.due if caller and is_carried and decisions.starts_now(caller.due) else None
    return [
        {
            "id": ids.firing_id(*owner, firing_key(time.nominal)),
            "subscription": owner[0],
            "trigger": owner[1],
            "key": firing_key(time.nominal),
            "due": time.nominal.isoformat(),
            "fires": time.fires_at.isoformat(),
            "own": time.nominal == carried,
            "now": decisions.decided_at.isoformat(),
        }
        for time in decisions.times
        if time.fires_at is not None
    ]


async def write_unstarted_runs(
    connection: Connection,
    refused: Sequence[tuple[Mapping[str, Any], Sequence[DecidedTime], datetime]],
) -> None:
    """Write an ended run for each due time that is skipped or missed, and write it to the log.

    Each entry has the row of a schedule, with subscription_id and trigger, its times and when they
    were decided. Firings that were decided before keep their revision and params.
    """
    if not refused:
        return
    frozen = await _read_frozen(
        connection,
        [
            ids.firing_id(row["subscription_id"], row["trigger"], firing_key(times[0].nominal))
            for row, times, _ in refused
        ],
        [row["subscription_id"] for row, _, _ in refused],
    )
    runs = [
        _run_row(row, time, now) | kept
        for (row, times, now), kept in zip(refused, frozen, strict=True)
        for time in times
    ]
    entries, notices = [], []
    for row, times, now in refused:
        owner = (row["subscription_id"], row["trigger"])
        entries += skipped_log_entries(owner, times, now)
        if (notice := missed_notice(owner, times, now)) is not None:
            notices.append(notice)
    async with connection.pipeline():
        await connection.execute(_INSERT_RUNS.encode(), {"rows": Jsonb(runs)})
        await insert_log_entries(connection, entries)
        await write_notices(connection, notices)


def _run_row(row: Mapping[str, Any], time: DecidedTime, now: datetime) -> dict[str, Any]:
    owner, key = (row["subscription_id"], row["trigger"]), firing_key(time.nominal)
    return {
        "id": ids.run_id(*owner, key),
        "subscription": owner[0],
        "trigger": owner[1],
        "key": key,
        "workflow": ids.NO_WORKFLOW,
        "due": time.nominal.isoformat(),
        "status": time.outcome.value,
        "reason": time.reason,
        "now": now.isoformat(),
    }


async def _read_frozen(
    connection: Connection, firings: Sequence[str], subscriptions: Sequence[str]
) -> list[dict[str, Any]]:
    """Return the revision and the params of each firing; those of now if it is not stored."""
    cursor = await connection.execute(
        """SELECT v.id AS revision, v.definition, v.spec -> 'params' AS schema,
               coalesce(f.params, s.params) AS params
           FROM unnest(%s::text[], %s::text[]) WITH ORDINALITY AS x(firing, subscription, place)
           JOIN subscriptions s ON s.id = x.subscription
           JOIN definitions d ON d.name = s.definition
           LEFT JOIN firings f ON f.id = x.firing
           JOIN revisions v ON v.id = coalesce(f.revision_id, d.revision_id)
           ORDER BY x.place""",
        (list(firings), list(subscriptions)),
    )
    return [
        {
            "revision": row["revision"],
            "definition": row["definition"],
            "params": fill_defaults(row["schema"] or {}, row["params"]),
        }
        for row in await cursor.fetchall()
    ]
