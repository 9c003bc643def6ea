"""The rows of breakers and of what they hold up: read, judged by the rules, and saved."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from activityctl.adapters.postgres.database import Connection, to_storable_text
from activityctl.domain.tasks import breaker as rules
from activityctl.domain.tasks.breaker import Breaker, BreakerPolicy, RecentAttempts, WhileOpen
from activityctl.ports import Hold

MAKE_BREAKER: Final = """
    INSERT INTO breakers (name, status, changed_at)
    VALUES (%(name)s, 'closed', clock_timestamp() - interval '1 day') ON CONFLICT DO NOTHING"""
LOCK_BREAKER: Final = """
    SELECT b.*, clock_timestamp() AS now FROM breakers b WHERE b.name = %(name)s FOR UPDATE"""
# A probe is a task, or the lookup of a value of the context, which has attempts only.
_OPEN_TASKS: Final = """
    SELECT id FROM tasks WHERE id = ANY(%(ids)s) AND ended_at IS NULL
    UNION ALL
    SELECT task_id FROM attempts WHERE task_id = ANY(%(ids)s) AND ended_at IS NULL"""
SAVE_BREAKER: Final = """
    UPDATE breakers SET status = %(status)s, changed_at = %(changed_at)s, reason = %(reason)s,
        open_until = %(open_until)s, probes = %(probes)s, succeeded = %(succeeded)s,
        openings = %(openings)s
    WHERE name = %(name)s"""
_HOLD: Final = """
    INSERT INTO holds (task_id, breaker, look_at) VALUES (%(id)s, %(breaker)s, %(look_at)s)
    ON CONFLICT (task_id) DO UPDATE SET breaker = excluded.breaker, look_at = excluded.look_at
    RETURNING xmax = 0 AS is_new"""
_GOOD: Final = "(s.outcome = 'succeeded' OR s.outcome = 'failed' AND NOT s.fault)"
_RECENT: Final = f"""
    SELECT count(*) FILTER (WHERE f.ended_at > coalesce((
            SELECT max(s.ended_at) FROM attempts s
            WHERE s.breaker = %(name)s AND s.ended_at > %(since)s AND {_GOOD}), '-infinity')
            AND f.fault) AS in_a_row,
        count(*) FILTER (WHERE f.ended_at > %(now)s - %(within)s::interval) AS total,
        count(*) FILTER (WHERE f.ended_at > %(now)s - %(within)s::interval AND f.fault) AS failed
    FROM attempts f
    WHERE f.breaker = %(name)s AND f.ended_at > %(since)s
        AND (f.outcome = 'succeeded' OR f.outcome = 'failed' AND f.fault IS NOT NULL)"""
_LOOKED_BACK: Final = timedelta(days=1)
"""Attempts that ended earlier do not count as failures in a row."""


async def hold_by_breaker(
    connection: Connection,
    task: Mapping[str, Any],
    breaker: Breaker,
    policy: BreakerPolicy,
    times: tuple[datetime, datetime],
) -> Hold:
    """Note that the breaker holds the task up, unless it fails; return for how long.

    `times` are now and when it asks again.
    """
    now, look_at = times
    fails = policy.while_open is WhileOpen.FAIL
    is_new = True
    if not fails:
        values = {"id": task["id"], "breaker": breaker.name, "look_at": look_at}
        row = await (await connection.execute(_HOLD, values)).fetchone()
        is_new = bool(row and row["is_new"])
    seconds = (look_at - now).total_seconds()
    return Hold(task["name"], breaker.name, True, seconds, look_at, is_new, fails, breaker.reason)


async def without_lost_probes(connection: Connection, breaker: Breaker) -> Breaker:
    """Return the breaker without the probes whose task has ended."""
    if not breaker.probes:
        return breaker
    ids = [probe.task_id for probe in breaker.probes]
    rows = await (await connection.execute(_OPEN_TASKS, {"ids": ids})).fetchall()
    for lost in set(ids) - {row["id"] for row in rows}:
        breaker = rules.without_probe(breaker, lost)
    return breaker


async def breaker_after(
    connection: Connection,
    before: Breaker,
    policy: BreakerPolicy,
    task_id: str,
    now: datetime,
    *,
    is_fault: bool | None,
) -> Breaker:
    """Return the breaker after an attempt that ended like this; None for one that was stopped."""
    if is_fault is None:
        return rules.without_probe(before, task_id)
    if not is_fault:
        return rules.after_success(before, policy, task_id, now)
    values = {
        "name": before.name,
        "since": max(before.changed_at, now - max(_LOOKED_BACK, policy.within)),
        "now": now,
        "within": policy.within,
    }
    row = await (await connection.execute(_RECENT.encode(), values)).fetchone()
    recent = RecentAttempts(0, 0, 0)
    if row is not None:
        recent = RecentAttempts(row["in_a_row"], row["total"], row["failed"])
    return rules.after_fault(before, policy, task_id, recent, now)


def breaker_values(breaker: Breaker) -> dict[str, object]:
    """Return the values of SAVE_BREAKER."""
    from psycopg.types.json import Jsonb

    return {
        "name": breaker.name,
        "status": breaker.status.value,
        "changed_at": breaker.changed_at,
        "reason": to_storable_text(breaker.reason),
        "open_until": breaker.open_until,
        "probes": Jsonb({probe.task_id: probe.until.isoformat() for probe in breaker.probes}),
        "succeeded": breaker.succeeded,
        "openings": breaker.openings,
    }
