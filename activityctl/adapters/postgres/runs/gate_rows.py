"""The SQL of the gates on the runs' rows; `gates` takes the locks around it."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from activityctl.adapters.postgres.database import Connection, Database, to_storable_text
from activityctl.adapters.postgres.locks import take_gates
from activityctl.adapters.postgres.logbook import insert_log_entries
from activityctl.adapters.postgres.rows import RUN_COLUMNS, run_of
from activityctl.adapters.postgres.runs.writes import INSERT_RUN, run_values
from activityctl.adapters.postgres.schedules.outbox import wake_next_in_order
from activityctl.adapters.postgres.signals import notify_sql
from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.manifests.run_limits import OverlapPolicy
from activityctl.domain.runs.concurrency import (
    QUEUE_COUNTED,
    Arrival,
    GateResult,
    Occupancy,
    QueuedRun,
    is_strict,
    let_in_log_entry,
    repeated_gate_result,
    replaced_end,
)
from activityctl.domain.runs.run import Decision, Run, RunEnd
from activityctl.domain.runs.run_change import RunChange, run_change
from activityctl.domain.timing.firing import FiringCause, FiringRef
from activityctl.domain.values import ids
from activityctl.domain.values.ids import RunId
from activityctl.ports import ADMITTED_WITHIN, Work

Locks = Iterable[tuple[int, bool]]
"""The numbers of locks in the order of taking, each with whether it is shared."""

IS_QUEUED: Final = """r.ended_at IS NULL AND r.let_in_at IS NULL AND r.status = 'queued'
    AND r.cancel_requested_at IS NULL"""
_IS_AT_WORK: Final = "r.ended_at IS NULL AND (r.let_in_at IS NOT NULL OR r.status <> 'queued')"
# A run that was let in but ended before it began has not started.
_HAS_STARTED: Final = "r.let_in_at IS NOT NULL AND (r.ended_at IS NULL OR r.started_at IS NOT NULL)"
_IS_BEFORE: Final = "(r.arrived_at, r.place) < (own.arrived_at, own.place)"
# Only the nearest ones, so that the query is as fast in a long burst.
_EARLIER_FIRINGS: Final = """
    SELECT f.* FROM firings f
    WHERE f.subscription_id = %(subscription)s AND f.place < own.place
    ORDER BY f.place DESC LIMIT 200"""
# One that failed, or that was started long ago, holds nobody up.
_IS_BEING_ADMITTED: Final = """e.fires_at <= own.arrived_at AND e.priority >= own.priority
    AND ((e.dispatched_at IS NULL AND e.attempts = 0)
        OR e.dispatched_at > clock_timestamp() - %(patience)s)
    AND NOT EXISTS (SELECT FROM runs r WHERE r.subscription_id = e.subscription_id
        AND r.trigger = e.trigger AND r.firing_key = e.firing_key)"""
_SELECT_HELD: Final = f"""
    SELECT own.id FROM runs own
    WHERE own.id = ANY(%(ids)s) AND own.created_at > clock_timestamp() - %(patience)s
        AND EXISTS (SELECT FROM ({_EARLIER_FIRINGS}) e WHERE {_IS_BEING_ADMITTED})"""

_SELECT_CLOCK: Final = "SELECT clock_timestamp() AS now"
_SELECT_RUN: Final = f"""
    SELECT {RUN_COLUMNS}, r.workflow_id, r.let_in_at FROM runs r
    JOIN subscriptions s ON s.id = r.subscription_id WHERE r.id = %(id)s"""
# A run does not overtake runs of its own trigger, even if the priority was raised since. With
# priority 0, the lowest, it overtakes no run anyway.
# The place in the queue is that of the firing in the outbox, whoever admits it when. A run without
# a firing arrives now.
_SELECT_OCCUPANCY: Final = f"""
    WITH own AS MATERIALIZED (
        SELECT CASE WHEN %(priority)s = 0 THEN 0 ELSE least(%(priority)s, (
            SELECT min(r.priority) FROM runs r
            WHERE r.subscription_id = %(subscription)s AND r.trigger = %(trigger)s
                AND r.concurrency_key IS NOT DISTINCT FROM %(key)s AND {IS_QUEUED}
        )) END AS priority, coalesce(f.fires_at, clock_timestamp()) AS arrived_at,
            coalesce(f.place, 0) AS place
        FROM (VALUES (1)) AS one LEFT JOIN firings f ON f.id = %(firing)s)
    SELECT clock_timestamp() AS now, own.*,
        ARRAY(SELECT r.id FROM runs r WHERE r.subscription_id = %(subscription)s
            AND r.concurrency_key = %(key)s AND {_IS_AT_WORK}
            ORDER BY coalesce(r.let_in_at, r.created_at), r.id) AS slots_taken,
        ARRAY(SELECT r.id FROM runs r WHERE r.subscription_id = %(subscription)s
            AND r.concurrency_key = %(key)s AND {IS_QUEUED}
            AND (%(counts_all)s OR r.priority >= own.priority)
            AND ((NOT %(counts_all)s AND r.priority > own.priority) OR {_IS_BEFORE})
            ORDER BY r.arrived_at, r.place, r.id LIMIT %(counted)s) AS queued_before,
        ARRAY(SELECT r.id FROM runs r WHERE %(counts_all)s
            AND r.subscription_id = %(subscription)s
            AND r.concurrency_key = %(key)s AND r.ended_at IS NULL
            AND r.cancel_requested_at IS NULL AND NOT {_IS_BEFORE}
            ORDER BY r.arrived_at, r.place, r.id) AS newer,
        CASE WHEN %(is_strict)s THEN EXISTS(
            SELECT FROM ({_EARLIER_FIRINGS}) e WHERE {_IS_BEING_ADMITTED}) ELSE false
        END AS is_earlier_on_its_way,
        ARRAY(SELECT r.let_in_at FROM runs r WHERE r.subscription_id = %(subscription)s
            AND r.throttle_key = %(throttle)s AND {_HAS_STARTED}
            ORDER BY r.let_in_at DESC LIMIT %(most)s) AS started,
        EXISTS(SELECT FROM runs r WHERE r.subscription_id = %(subscription)s
            AND r.throttle_key = %(throttle)s AND {IS_QUEUED}
            AND (r.priority > own.priority OR {_IS_BEFORE})) AS is_throttle_queued
    FROM own"""
# An earlier request to cancel keeps its time and reason.
_ASK_TO_CANCEL: Final = f"""
    WITH asked AS (
        UPDATE runs r SET cancel_requested_at = %(now)s, cancel_reason = %(reason)s
        WHERE r.id = ANY(%(ids)s) AND r.cancel_requested_at IS NULL AND {_IS_AT_WORK}
        RETURNING r.id)
    SELECT {notify_sql(Work.CANCEL)} FROM asked LIMIT 1"""
_END_RUNS: Final = """
    UPDATE runs SET status = u.status, reason = u.reason, ended_at = %(now)s,
        workflow_id = %(workflow)s
    FROM unnest(%(ids)s::text[], %(statuses)s::text[], %(reasons)s::text[])
        AS u(id, status, reason)
    WHERE runs.id = u.id"""
# The first `limit` runs of each pair of keys are enough, because no more are let in. Both the pairs
# and their first runs are found by an index on these terms, as a queue may be long.
_PAIR: Final = "coalesce('=' || r.concurrency_key, ''), coalesce('=' || r.throttle_key, '')"
_NEXT_PAIR: Final = f"""
    SELECT {_PAIR} FROM runs r WHERE r.subscription_id = %(subscription)s AND {IS_QUEUED}"""
SELECT_QUEUE_HEADS: Final = f"""
    WITH RECURSIVE pairs (concurrency, throttle) AS (
        ({_NEXT_PAIR} ORDER BY 1, 2 LIMIT 1) UNION ALL
        SELECT other.* FROM pairs p CROSS JOIN LATERAL (
            {_NEXT_PAIR} AND ({_PAIR}) > (p.concurrency, p.throttle) ORDER BY 1, 2 LIMIT 1) other)
    SELECT h.id, h.concurrency_key, h.throttle_key, h.revision_id, h.created_at,
        h.replay_of IS NOT NULL AS is_retry
    FROM pairs p CROSS JOIN LATERAL (
        SELECT r.* FROM runs r WHERE r.subscription_id = %(subscription)s AND {IS_QUEUED}
            AND ({_PAIR}) = (p.concurrency, p.throttle)
        ORDER BY r.priority DESC, r.arrived_at, r.place, r.id LIMIT %(limit)s) h
    ORDER BY h.priority DESC, h.arrived_at, h.place, h.id"""
_SELECT_QUEUED_OF_DELETED: Final = f"""
    SELECT r.id FROM runs r JOIN subscriptions s ON s.id = r.subscription_id
    WHERE r.subscription_id = %(subscription)s AND s.status = 'deleted' AND {IS_QUEUED}"""
SELECT_SLOTS: Final = f"""
    SELECT r.concurrency_key AS key,
        array_agg(r.id ORDER BY coalesce(r.let_in_at, r.created_at), r.id) AS ids FROM runs r
    WHERE r.subscription_id = %(subscription)s AND r.concurrency_key = ANY(%(keys)s)
        AND {_IS_AT_WORK}
    GROUP BY r.concurrency_key"""
_SELECT_STARTS: Final = f"""
    SELECT u.subscription, u.key, ARRAY(
        SELECT r.let_in_at FROM runs r WHERE r.subscription_id = u.subscription
            AND r.throttle_key = u.key AND {_HAS_STARTED}
        ORDER BY r.let_in_at DESC LIMIT u.most) AS started
    FROM unnest(%(subscriptions)s::text[], %(keys)s::text[], %(most)s::int[])
        AS u(subscription, key, most)"""
_UPDATE_LET_IN: Final = f"""
    UPDATE runs r SET let_in_at = %(now)s, reason = NULL WHERE r.id = ANY(%(ids)s) AND {IS_QUEUED}
    RETURNING r.id, r.created_at, r.subscription_id, r.trigger, r.firing_key, r.due_at,
        r.workflow_id"""


async def read_clock(connection: Connection) -> datetime:
    """Return the time by the clock of Postgres, which all gates use."""
    cursor = await connection.execute(_SELECT_CLOCK.encode())
    row: Any = await cursor.fetchone()
    now: datetime = row["now"]
    return now


async def read_repeated_result(
    connection: Connection, run_id: str, workflow_id: str
) -> GateResult | None:
    """Return the result for a run that has entered before; None when there is no such run."""
    cursor = await connection.execute(_SELECT_RUN.encode(), {"id": run_id})
    row = await cursor.fetchone()
    return None if row is None else _repeated_result(row, workflow_id)


def _repeated_result(row: Mapping[str, Any], workflow_id: str) -> GateResult:
    is_let_in, is_ours = row["let_in_at"] is not None, row["workflow_id"] == workflow_id
    return repeated_gate_result(run_of(row), is_let_in=is_let_in, is_ours=is_ours)


async def read_occupancy(
    connection: Connection, run: Run, spec: DefinitionSpec, workflow_id: str, locks: Locks
) -> tuple[datetime, Arrival, Occupancy] | GateResult:
    """Take the locks, then return the time, and the arrival and the occupancy of the run.

    For a run that has entered before, return its result instead.
    """
    counts_all = spec.concurrency.policy is OverlapPolicy.REPLACE
    values = {
        "id": run.id,
        "subscription": run.subscription_id,
        "key": run.concurrency_key,
        "firing": ids.firing_id(run.subscription_id, run.trigger, run.firing_key),
        "is_strict": is_strict(spec),
        "patience": ADMITTED_WITHIN,
        "throttle": run.throttle_key,
        "trigger": run.trigger,
        "priority": 0 if counts_all else run.priority,
        "counts_all": counts_all,
        "counted": None if counts_all else QUEUE_COUNTED,
        "most": spec.throttle.limit if spec.throttle else 0,
    }
    async with connection.pipeline():
        await take_gates(connection, locks)
        run_cursor = await connection.execute(_SELECT_RUN.encode(), values)
        occupancy_cursor = await connection.execute(_SELECT_OCCUPANCY.encode(), values)
    run_row, occupancy_row = await run_cursor.fetchone(), await occupancy_cursor.fetchone()
    if run_row is not None:
        return _repeated_result(run_row, workflow_id)
    occupancy: Any = occupancy_row
    arrival = Arrival(occupancy["arrived_at"], occupancy["place"])
    return (
        occupancy["now"],
        arrival,
        Occupancy(
            tuple(occupancy["slots_taken"]),
            tuple(occupancy["queued_before"]),
            tuple(reversed(occupancy["started"])),
            occupancy["is_throttle_queued"],
            occupancy["priority"],
            tuple(occupancy["newer"]),
            occupancy["is_earlier_on_its_way"],
        ),
    )


async def insert_run(
    connection: Connection,
    change: RunChange,
    workflow_id: str,
    let_in_at: datetime | None,
    arrival: Arrival,
) -> None:
    """Insert the run and its log entries; raise UniqueViolation when the run exists."""
    run = change.run
    await connection.execute(INSERT_RUN, run_values(run, workflow_id, let_in_at, arrival))
    await insert_log_entries(connection, change.entries)
    await wake_next_in_order(connection, run)


async def replace_runs(connection: Connection, run: Run, replaces: Iterable[RunId]) -> None:
    """End the replaced runs that are queued, and request the others to cancel."""
    replaced_ids, end, now = list(replaces), replaced_end(run), run.created_at
    if replaced_ids:
        await end_queued(connection, dict.fromkeys(replaced_ids, end), now)
        values = {"ids": replaced_ids, "now": now, "reason": end.reason}
        await connection.execute(_ASK_TO_CANCEL.encode(), values)


async def end_queued(connection: Connection, ends: Mapping[RunId, RunEnd], now: datetime) -> None:
    """End those of the runs that are queued, and write it to the log."""
    cursor = await connection.execute(
        f"""SELECT {RUN_COLUMNS} FROM runs r JOIN subscriptions s ON s.id = r.subscription_id
            WHERE r.id = ANY(%(ids)s) AND {IS_QUEUED}
            ORDER BY r.arrived_at, r.place, r.id FOR UPDATE OF r""".encode(),
        {"ids": list(ends)},
    )
    runs = [run_of(row) for row in await cursor.fetchall()]
    changes = [run_change(run, Decision(end=ends[run.id]), now) for run in runs]
    values = {
        "ids": [change.run.id for change in changes],
        "statuses": [change.run.status for change in changes],
        "reasons": [to_storable_text(change.run.reason) for change in changes],
        "workflow": ids.NO_WORKFLOW,
        "now": now,
    }
    await connection.execute(_END_RUNS, values)
    await insert_log_entries(connection, [entry for change in changes for entry in change.entries])


async def lock_queue(
    connection: Connection, subscription: str, lock: int, limit: int
) -> tuple[list[RunId], list[dict[str, Any]]]:
    """Take the lock; return the queued runs if the subscription is deleted, and the heads.

    Those are the first queued runs for each pair of keys, in queue order.
    """
    values = {"subscription": subscription, "limit": limit}
    async with connection.pipeline():
        await take_gates(connection, [(lock, False)])
        deleted = await connection.execute(_SELECT_QUEUED_OF_DELETED.encode(), values)
        heads = await connection.execute(SELECT_QUEUE_HEADS.encode(), values)
    return [RunId(row["id"]) for row in await deleted.fetchall()], await heads.fetchall()


async def read_places(
    connection: Connection, subscription: str, queue: Sequence[QueuedRun]
) -> tuple[dict[str, list[RunId]], dict[str, list[datetime]], datetime]:
    """Return the runs at work and the newest starts by the keys of the queue, and the time.

    Runs are listed oldest first, and so are starts.
    """
    keys = {queued.concurrency_key for queued in queue if queued.concurrency_key is not None}
    values = {"subscription": subscription, "keys": sorted(keys)}
    wanted = [
        (subscription, queued.throttle_key, queued.spec.throttle.limit)
        for queued in queue
        if queued.throttle_key is not None and queued.spec.throttle is not None
    ]
    async with connection.pipeline():
        slots = await connection.execute(SELECT_SLOTS.encode(), values)
        starts = await connection.execute(_SELECT_STARTS.encode(), _starts_wanted(wanted))
        clock = await connection.execute(_SELECT_CLOCK.encode())
    taken = {row["key"]: row["ids"] for row in await slots.fetchall()}
    started = {row["key"]: row["started"][::-1] for row in await starts.fetchall()}
    (row,) = await clock.fetchall()
    return taken, started, row["now"]


async def read_starts(
    connection: Connection, wanted: Iterable[tuple[str, str, int]]
) -> dict[tuple[str, str], list[datetime]]:
    """Return when the newest runs started, in ascending order, by (subscription, throttle key).

    Each item of `wanted` is a subscription, a throttle key and the number of start times needed.
    """
    cursor = await connection.execute(_SELECT_STARTS.encode(), _starts_wanted(wanted))
    rows = await cursor.fetchall()
    return {(row["subscription"], row["key"]): row["started"][::-1] for row in rows}


def _starts_wanted(wanted: Iterable[tuple[str, str, int]]) -> dict[str, list[Any]]:
    limits: dict[tuple[str, str], int] = {}
    for subscription, key, limit in wanted:
        limits[subscription, key] = max(limit, limits.get((subscription, key), 0))
    return {
        "subscriptions": [subscription for subscription, _ in limits],
        "keys": [key for _, key in limits],
        "most": list(limits.values()),
    }


async def read_held(
    connection: Connection, subscription: str, chosen: Iterable[RunId]
) -> set[RunId]:
    """Return those of the runs that must wait, because an earlier firing is being admitted."""
    values = {"subscription": subscription, "ids": list(chosen), "patience": ADMITTED_WITHIN}
    cursor = await connection.execute(_SELECT_HELD.encode(), values)
    return {RunId(row["id"]) for row in await cursor.fetchall()}


async def let_in_runs(
    connection: Connection, chosen: list[RunId], now: datetime
) -> dict[str, FiringRef]:
    """Let in these runs and commit; return those that were still queued, in the same order."""
    cursor = await connection.execute(_UPDATE_LET_IN.encode(), {"ids": chosen, "now": now})
    rows = {row["id"]: row for row in await cursor.fetchall()}
    found = [rows[run] for run in chosen if run in rows]
    entries = [
        let_in_log_entry(row["subscription_id"], row["id"], row["created_at"], now) for row in found
    ]
    async with connection.committing():
        await insert_log_entries(connection, entries)
    return {row["id"]: firing_ref(row) for row in found}


async def read_not_begun(
    database: Database, again_after: timedelta, limit: int
) -> dict[str, FiringRef]:
    """Return runs by id that were let in `again_after` ago and have not begun, oldest first."""
    rows = await database.fetch(
        """SELECT * FROM runs r WHERE r.ended_at IS NULL AND r.status = 'queued'
               AND r.started_at IS NULL
               AND r.let_in_at <= clock_timestamp() - %(again_after)s
           ORDER BY r.let_in_at, r.id LIMIT %(limit)s""",
        again_after=again_after,
        limit=limit,
    )
    return {row["id"]: firing_ref(row) for row in rows}


def firing_ref(row: Mapping[str, Any]) -> FiringRef:
    """Return the firing of a run that was let in, with the workflow that runs it."""
    return FiringRef(
        row["subscription_id"],
        row["trigger"],
        row["firing_key"],
        row["due_at"].isoformat(),
        row["workflow_id"],
        FiringCause.LET_IN,
    )
