"""What the gates read and write in the runs' rows; the locks around it are in `gates`."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from activityctl.adapters.postgres.database import Connection, to_storable_text
from activityctl.adapters.postgres.logbook import insert_log_entries
from activityctl.adapters.postgres.rows import RUN_COLUMNS, run_of
from activityctl.adapters.postgres.runs.writes import INSERT_RUN, run_values
from activityctl.adapters.postgres.schedules.outbox import wake_next_in_order
from activityctl.adapters.postgres.signals import wakes
from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.manifests.run_limits import OverlapPolicy
from activityctl.domain.runs.concurrency import (
    QUEUE_COUNTED,
    GateResult,
    Occupancy,
    QueuedRun,
    let_in_log_entry,
    repeated_gate_result,
    replaced_end,
)
from activityctl.domain.runs.run import Decision, Run, RunEnd
from activityctl.domain.runs.run_change import RunChange, run_change
from activityctl.domain.timing.firing import FiringCause, FiringRef
from activityctl.domain.values.ids import RunId
from activityctl.ports import Work

Locks = Iterable[tuple[int, bool]]
"""Numbers of advisory locks in the order in which they are taken, and whether they are shared."""

QUEUED: Final = """r.ended_at IS NULL AND r.let_in_at IS NULL AND r.status = 'queued'
    AND r.cancel_requested_at IS NULL"""
_AT_WORK: Final = "r.ended_at IS NULL AND (r.let_in_at IS NOT NULL OR r.status = 'running')"
# A run that was let in, but ended before it began, has not started.
_STARTED: Final = "r.let_in_at IS NOT NULL AND (r.ended_at IS NULL OR r.started_at IS NOT NULL)"

_KNOWN: Final = f"""
    SELECT {RUN_COLUMNS}, r.workflow_id, r.let_in_at FROM runs r
    JOIN subscriptions s ON s.id = r.subscription_id WHERE r.id = %(id)s"""
# A run does not overtake those of its own trigger, though its priority may have been raised; of
# priority 0, the lowest, none can.
_OCCUPANCY: Final = f"""
    WITH own AS MATERIALIZED (
        SELECT CASE WHEN %(priority)s = 0 THEN 0 ELSE least(%(priority)s, (
            SELECT min(r.priority) FROM runs r
            WHERE r.subscription_id = %(subscription)s AND r.trigger = %(trigger)s
                AND r.concurrency_key IS NOT DISTINCT FROM %(place)s AND {QUEUED}
        )) END AS priority)
    SELECT clock_timestamp() AS now, own.priority,
        ARRAY(SELECT r.id FROM runs r WHERE r.subscription_id = %(subscription)s
            AND r.concurrency_key = %(place)s AND {_AT_WORK}
            ORDER BY coalesce(r.let_in_at, r.created_at), r.id) AS slots_taken,
        ARRAY(SELECT r.id FROM runs r WHERE r.subscription_id = %(subscription)s
            AND r.concurrency_key = %(place)s AND {QUEUED}
            AND (%(counts_all)s OR r.priority >= own.priority)
            ORDER BY r.created_at, r.id LIMIT %(counted)s) AS queued_before,
        ARRAY(SELECT r.let_in_at FROM runs r WHERE r.subscription_id = %(subscription)s
            AND r.throttle_key = %(throttle)s AND {_STARTED}
            ORDER BY r.let_in_at DESC LIMIT %(most)s) AS started,
        EXISTS(SELECT FROM runs r WHERE r.subscription_id = %(subscription)s
            AND r.throttle_key = %(throttle)s AND {QUEUED}) AS is_throttle_queued
    FROM own"""
# What a person asked for before keeps its own moment and reason.
_ASK_TO_CANCEL: Final = f"""
    WITH asked AS (
        UPDATE runs r SET cancel_requested_at = %(now)s, cancel_reason = %(reason)s
        WHERE r.id = ANY(%(ids)s) AND r.cancel_requested_at IS NULL AND {_AT_WORK}
        RETURNING r.id)
    SELECT {wakes(Work.CANCEL)} FROM asked LIMIT 1"""
_END: Final = """
    UPDATE runs SET status = u.status, reason = u.reason, ended_at = %(now)s
    FROM unnest(%(ids)s::text[], %(statuses)s::text[], %(reasons)s::text[])
        AS u(id, status, reason)
    WHERE runs.id = u.id"""
# The heads of the queues are enough: of one pair of keys no more than `limit` are let in.
_HEADS: Final = f"""
    SELECT h.id, h.concurrency_key, h.throttle_key, h.revision_id FROM (
        SELECT r.*, row_number() OVER (
            PARTITION BY r.concurrency_key, r.throttle_key
            ORDER BY r.priority DESC, r.created_at, r.id) AS place
        FROM runs r WHERE r.subscription_id = %(subscription)s AND {QUEUED}) h
    WHERE h.place <= %(limit)s ORDER BY h.priority DESC, h.created_at, h.id"""
_ORPHANS: Final = f"""
    SELECT r.id FROM runs r JOIN subscriptions s ON s.id = r.subscription_id
    WHERE r.subscription_id = %(subscription)s AND s.status = 'deleted' AND {QUEUED}"""
_PLACES: Final = f"""
    SELECT r.concurrency_key AS key,
        array_agg(r.id ORDER BY coalesce(r.let_in_at, r.created_at), r.id) AS ids FROM runs r
    WHERE r.subscription_id = %(subscription)s AND r.concurrency_key = ANY(%(keys)s)
        AND {_AT_WORK}
    GROUP BY r.concurrency_key"""
_STARTS: Final = f"""
    SELECT u.subscription, u.key, ARRAY(
        SELECT r.let_in_at FROM runs r WHERE r.subscription_id = u.subscription
            AND r.throttle_key = u.key AND {_STARTED}
        ORDER BY r.let_in_at DESC LIMIT u.most) AS started
    FROM unnest(%(subscriptions)s::text[], %(keys)s::text[], %(most)s::int[])
        AS u(subscription, key, most)"""
_LET_IN: Final = f"""
    UPDATE runs r SET let_in_at = %(now)s, reason = NULL WHERE r.id = ANY(%(ids)s) AND {QUEUED}
    RETURNING r.id, r.created_at, r.subscription_id, r.trigger, r.firing_key, r.due_at,
        r.workflow_id"""


async def read_clock(connection: Connection) -> datetime:
    """Return the time by the one clock that all gates go by."""
    cursor = await connection.execute("SELECT clock_timestamp() AS now")
    row: Any = await cursor.fetchone()
    now: datetime = row["now"]
    return now


async def read_answer(connection: Connection, run_id: str, workflow_id: str) -> GateResult | None:
    """Return what a repeated entry is told; None when there is no such run."""
    cursor = await connection.execute(_KNOWN.encode(), {"id": run_id})
    row = await cursor.fetchone()
    return None if row is None else _answer(row, workflow_id)


def _answer(row: Mapping[str, Any], workflow_id: str) -> GateResult:
    is_let_in, is_ours = row["let_in_at"] is not None, row["workflow_id"] == workflow_id
    return repeated_gate_result(run_of(row), is_let_in=is_let_in, is_ours=is_ours)


async def read_before(
    connection: Connection, run: Run, spec: DefinitionSpec, workflow_id: str, locks: Locks
) -> tuple[datetime, Occupancy] | GateResult:
    """Return the time and who is before a run at its gates, or what a repeated entry is told.

    The locks are taken first, in their order; (number, True) is a shared one.
    """
    counts_all = spec.concurrency.policy is OverlapPolicy.REPLACE
    values = {
        "id": run.id,
        "subscription": run.subscription_id,
        "place": run.concurrency_key,
        "throttle": run.throttle_key,
        "trigger": run.trigger,
        "priority": 0 if counts_all else run.priority,
        "counts_all": counts_all,
        "counted": None if counts_all else QUEUE_COUNTED,
        "most": spec.throttle.limit if spec.throttle else 0,
    }
    async with connection.pipeline():
        for number, is_shared in locks:
            kind = "_shared" if is_shared else ""
            await connection.execute(f"SELECT pg_advisory_xact_lock{kind}(%s)".encode(), (number,))
        known = await connection.execute(_KNOWN.encode(), values)
        before = await connection.execute(_OCCUPANCY.encode(), values)
        known_row, row = await known.fetchone(), await before.fetchone()
    if known_row is not None:
        return _answer(known_row, workflow_id)
    found: Any = row
    return found["now"], Occupancy(
        tuple(found["slots_taken"]),
        tuple(found["queued_before"]),
        tuple(reversed(found["started"])),
        found["is_throttle_queued"],
        found["priority"],
    )


async def insert_run(
    connection: Connection, change: RunChange, workflow_id: str, let_in_at: datetime | None
) -> None:
    """Insert the run with what the log says of it; UniqueViolation when it exists already."""
    run = change.run
    await connection.execute(INSERT_RUN, run_values(run, workflow_id, let_in_at))
    await insert_log_entries(connection, change.entries)
    await wake_next_in_order(connection, run)


async def replace_runs(connection: Connection, run: Run, replaces: Iterable[RunId]) -> None:
    """End those of the replaced runs that queue, and ask the others to cancel."""
    gone, end, now = list(replaces), replaced_end(run), run.created_at
    if gone:
        await end_queued(connection, dict.fromkeys(gone, end), now)
        values = {"ids": gone, "now": now, "reason": end.reason}
        await connection.execute(_ASK_TO_CANCEL.encode(), values)


async def end_queued(connection: Connection, ends: Mapping[RunId, RunEnd], now: datetime) -> None:
    """End those of the runs that queue, and say so in the log."""
    cursor = await connection.execute(
        f"""SELECT {RUN_COLUMNS} FROM runs r JOIN subscriptions s ON s.id = r.subscription_id
            WHERE r.id = ANY(%(ids)s) AND {QUEUED}
            ORDER BY r.created_at, r.id FOR UPDATE OF r""".encode(),
        {"ids": list(ends)},
    )
    runs = [run_of(row) for row in await cursor.fetchall()]
    changes = [run_change(run, Decision(end=ends[run.id]), now) for run in runs]
    values = {
        "ids": [change.run.id for change in changes],
        "statuses": [change.run.status for change in changes],
        "reasons": [to_storable_text(change.run.reason) for change in changes],
        "now": now,
    }
    await connection.execute(_END, values)
    await insert_log_entries(connection, [one for change in changes for one in change.entries])


async def read_orphans(connection: Connection, subscription: str) -> list[RunId]:
    """Return what queues of the subscription when it was deleted."""
    cursor = await connection.execute(_ORPHANS.encode(), {"subscription": subscription})
    return [RunId(row["id"]) for row in await cursor.fetchall()]


async def read_heads(connection: Connection, subscription: str, limit: int) -> list[dict[str, Any]]:
    """Return the first runs of each queue of a subscription, in the order of their turns."""
    values = {"subscription": subscription, "limit": limit}
    cursor = await connection.execute(_HEADS.encode(), values)
    return await cursor.fetchall()


async def read_slots(
    connection: Connection, subscription: str, queue: Iterable[QueuedRun]
) -> dict[str, list[RunId]]:
    """Return the runs at work, oldest first, by the concurrency keys of a queue."""
    keys = {one.concurrency_key for one in queue if one.concurrency_key is not None}
    values = {"subscription": subscription, "keys": sorted(keys)}
    cursor = await connection.execute(_PLACES.encode(), values)
    return {row["key"]: row["ids"] for row in await cursor.fetchall()}


async def read_starts(
    connection: Connection, wanted: Iterable[tuple[str, str, int]]
) -> dict[tuple[str, str], list[datetime]]:
    """Return when the newest runs started, ascending, by (subscription, throttle key).

    `wanted` has these two and how many moments are needed.
    """
    most: dict[tuple[str, str], int] = {}
    for subscription, key, limit in wanted:
        most[subscription, key] = max(limit, most.get((subscription, key), 0))
    values = {
        "subscriptions": [subscription for subscription, _ in most],
        "keys": [key for _, key in most],
        "most": list(most.values()),
    }
    cursor = await connection.execute(_STARTS.encode(), values)
    rows = await cursor.fetchall()
    return {(row["subscription"], row["key"]): row["started"][::-1] for row in rows}


async def let_in_runs(
    connection: Connection, chosen: list[RunId], now: datetime
) -> dict[str, FiringRef]:
    """Let these runs in; return those that still queued, in the same order."""
    cursor = await connection.execute(_LET_IN.encode(), {"ids": chosen, "now": now})
    rows = {row["id"]: row for row in await cursor.fetchall()}
    found = [rows[run] for run in chosen if run in rows]
    said = [
        let_in_log_entry(row["subscription_id"], row["id"], row["created_at"], now) for row in found
    ]
    await insert_log_entries(connection, said)
    return {row["id"]: ref_of(row) for row in found}


async def read_unbegun(
    connection: Connection, again_after: timedelta, known: Iterable[str], limit: int
) -> list[FiringRef]:
    """Return other runs that were let in so long ago, the oldest first, and have not begun."""
    cursor = await connection.execute(
        """SELECT * FROM runs r WHERE r.ended_at IS NULL AND r.status = 'queued'
               AND r.let_in_at <= clock_timestamp() - %(again_after)s
               AND NOT r.id = ANY(%(known)s)
           ORDER BY r.let_in_at, r.id LIMIT %(limit)s""",
        {"again_after": again_after, "known": list(known), "limit": limit},
    )
    return [ref_of(row) for row in await cursor.fetchall()]


def ref_of(row: Mapping[str, Any]) -> FiringRef:
    """Return the firing of a run that was let in, with the workflow that carries the run."""
    return FiringRef(
        row["subscription_id"],
        row["trigger"],
        row["firing_key"],
        row["due_at"].isoformat(),
        row["workflow_id"],
        FiringCause.LET_IN,
    )
