"""The statements that begin an attempt which a breaker or a limit may hold up.

They decide as `domain.tasks.limit.permit`; a suite runs both on the same cases.
"""

from typing import Final

from activityctl.adapters.postgres.rows import TASK_COLUMNS
from activityctl.adapters.postgres.runs.attempts import RECORD_BEGUN
from activityctl.domain.tasks.limit import LONGEST_LOOK, LOOK_AGAIN, SLOT_HOLDS, WAITER_LEASE

BEGIN_BEHIND_BREAKER: Final = f"""
    WITH begun AS (
        UPDATE tasks t SET status = 'running', attempts = t.attempts + 1, worker = %(worker)s,
            started_at = coalesce(t.started_at, %(now)s), attempt_at = %(now)s
        FROM tasks old JOIN runs r ON r.id = old.run_id
        LEFT JOIN breakers b ON b.name = old.guard->>'breakerName'
        WHERE t.id = %(id)s AND old.id = t.id AND t.ended_at IS NULL AND r.status = 'running'
            AND coalesce(b.status, 'closed') = 'closed'
        RETURNING {TASK_COLUMNS}, old.attempt_at AS lost_since,
            CASE WHEN old.attempt_at IS NOT NULL THEN old.worker END AS lost_worker),
    freed AS (DELETE FROM holds h USING begun WHERE h.task_id = begun.id),
    {RECORD_BEGUN}
    SELECT * FROM begun"""
"""As BEGIN_GUARDED, for a task without a limit. No row if the breaker is not closed, or none."""

MAKE_LIMIT: Final = """
    INSERT INTO limits (name)
    SELECT t.guard->>'limitName' FROM tasks t
    WHERE t.id = %(id)s AND t.guard->>'limitName' IS NOT NULL
        AND NOT EXISTS (SELECT FROM limits l WHERE l.name = t.guard->>'limitName')
    ON CONFLICT DO NOTHING"""
# The next statement sees what those have written who had the lock before.
LOCK_LIMIT: Final = """
    SELECT FROM limits l
    WHERE l.name = (SELECT t.guard->>'limitName' FROM tasks t WHERE t.id = %(id)s) FOR UPDATE"""

_ALIVE_FOR: Final = "interval '15 seconds'"
IS_AT_WORK: Final = f"""coalesce((
            SELECT max(w.seen_at) FROM workers w
            WHERE a.worker = 'worker ' || w.host || ' pid ' || w.pid),
        a.started_at + interval '45 seconds')
        BETWEEN k.at - {_ALIVE_FOR} AND k.at + interval '1 minute'"""
"""Whether the worker of the open attempt `a` lives at the time `k.at`. One that was never heard of
has just started, or is gone for a day. A later time is from before the clock was set back."""
_BEGINS: Final = "greatest(k.used_until, k.at) + k.gap - k.gap * k.burst"


def _guarded(source: str, condition: str, begun: str, recorded: str = RECORD_BEGUN) -> str:
    """Return the statement that begins an attempt of what `source` has as `t`."""
    return f"""
    WITH asked AS MATERIALIZED (
        SELECT t.id AS task_id, t.name AS task_name, clock_timestamp() AS at,
            t.guard->>'limitName' AS limit_name, (t.guard->>'places')::int AS places,
            (t.guard->>'interval')::float8 * interval '1 second' AS gap,
            coalesce((t.guard->>'burst')::int, 1) AS burst,
            coalesce(b.status, 'closed') <> 'closed' AND NOT %(passes)s AS is_stopped,
            l.used_until, h.slot_at, h.place, h.task_id IS NULL AS is_new
        FROM {source}
        LEFT JOIN breakers b ON b.name = t.guard->>'breakerName'
        LEFT JOIN limits l ON l.name = t.guard->>'limitName'
        LEFT JOIN holds h ON h.task_id = t.id
        WHERE {condition}),
    counted AS MATERIALIZED (
        SELECT k.*, CASE WHEN k.places IS NULL THEN 0 ELSE (
                SELECT count(*) FROM attempts a
                WHERE a.limit_name = k.limit_name AND a.ended_at IS NULL
                    AND a.task_id <> k.task_id AND {IS_AT_WORK}) END AS at_work,
            CASE WHEN k.places IS NULL THEN 0 ELSE (
                SELECT count(*) FROM holds h
                WHERE h.limit_name = k.limit_name AND h.task_id <> k.task_id
                    AND h.look_at > k.at - interval '{WAITER_LEASE.total_seconds()} seconds'
                    AND (k.place IS NULL OR h.place < k.place)) END AS ahead
        FROM asked k),
    decided AS MATERIALIZED (
        SELECT k.*, CASE
            WHEN k.is_stopped THEN 'breaker'
            WHEN k.at_work + k.ahead >= k.places THEN 'places'
            WHEN k.gap IS NULL THEN 'begin'
            WHEN k.at <= k.slot_at + interval '{SLOT_HOLDS.total_seconds()} seconds'
                THEN CASE WHEN k.slot_at > k.at THEN 'slot' ELSE 'begin' END
            WHEN {_BEGINS} <= k.at THEN 'take'
            ELSE 'reserve' END AS verdict
        FROM counted k),
    timed AS MATERIALIZED (
        SELECT k.*, CASE k.verdict
            WHEN 'places' THEN k.at + least(
                interval '{LONGEST_LOOK.total_seconds()} seconds',
                interval '{LOOK_AGAIN.total_seconds()} seconds' * (1 + k.ahead::float8 / k.places))
            WHEN 'slot' THEN k.slot_at
            WHEN 'reserve' THEN {_BEGINS} END AS look_at
        FROM decided k),
    used AS (
        UPDATE limits l SET used_until = greatest(l.used_until, k.at) + k.gap FROM timed k
        WHERE l.name = k.limit_name AND k.verdict IN ('take', 'reserve')),
    held AS (
        INSERT INTO holds (task_id, limit_name, slot_at, look_at)
        SELECT k.task_id, k.limit_name,
            CASE k.verdict WHEN 'places' THEN k.slot_at ELSE k.look_at END, k.look_at
        FROM timed k WHERE k.look_at IS NOT NULL
        ON CONFLICT (task_id) DO UPDATE SET limit_name = excluded.limit_name,
            slot_at = excluded.slot_at, look_at = excluded.look_at, breaker = NULL),
    freed AS (
        DELETE FROM holds h USING timed k
        WHERE h.task_id = k.task_id AND NOT k.is_new AND k.verdict IN ('begin', 'take')),
    begun AS ({begun}),
    {recorded}
    SELECT k.verdict, k.look_at, k.at AS asked_at, k.is_new, k.limit_name AS held_by,
        k.task_name, begun.*
    FROM timed k LEFT JOIN begun ON true"""


BEGIN_GUARDED: Final = _guarded(
    "tasks t JOIN runs r ON r.id = t.run_id",
    "t.id = %(id)s AND t.ended_at IS NULL AND r.status = 'running'",
    f"""
        UPDATE tasks t SET status = 'running', attempts = t.attempts + 1, worker = %(worker)s,
            started_at = coalesce(t.started_at, %(now)s), attempt_at = %(now)s
        FROM tasks old, timed k
        WHERE t.id = k.task_id AND old.id = t.id AND k.verdict IN ('begin', 'take')
        RETURNING {TASK_COLUMNS}, old.attempt_at AS lost_since,
            CASE WHEN old.attempt_at IS NOT NULL THEN old.worker END AS lost_worker""",
)
"""Takes `id`, `now`, `worker`, and `passes`: whether the breaker has let it pass already.

Returns one row, with the task if the attempt began, or none if the task may not begin at all.
"""

BEGIN_LOOKUP: Final = _guarded(
    "(SELECT %(id)s::text AS id, %(name)s::text AS name, %(guard)s::jsonb AS guard) t",
    "true",
    """
        SELECT k.task_id AS id, %(worker)s::text AS worker, %(now)s::timestamptz AS attempt_at,
            %(guard)s::jsonb AS guard, 1 + coalesce((
                SELECT max(a.number) FROM attempts a WHERE a.task_id = k.task_id), 0) AS attempts
        FROM timed k WHERE k.verdict IN ('begin', 'take')""",
    """
    lost AS (
        UPDATE attempts a SET outcome = 'lost', ended_at = %(now)s FROM begun b
        WHERE a.task_id = b.id AND a.number < b.attempts AND a.ended_at IS NULL),
    added AS (
        INSERT INTO attempts (task_id, number, worker, started_at, breaker, limit_name, lookup_of)
        SELECT id, attempts, worker, attempt_at, guard->>'breakerName', guard->>'limitName',
            %(run)s FROM begun)""",
)
"""As BEGIN_GUARDED, for the lookup of a value of the context.

It takes `name`, `guard` and `run` too.
"""

IS_WAITING: Final = f"""(t.ended_at IS NULL AND (t.id IS NOT NULL
    OR h.look_at > clock_timestamp() - interval '{WAITER_LEASE.total_seconds()} seconds'))"""
"""Whether the hold `h`, of the task `t` or of a lookup without one, still counts."""

LIMIT_USES: Final = f"""
    SELECT k.name, u.at_work, w.waiting, w.next_at
    FROM (SELECT l.name, clock_timestamp() AS at FROM limits l) k
    CROSS JOIN LATERAL (SELECT count(*) AS at_work FROM attempts a
        WHERE a.limit_name = k.name AND a.ended_at IS NULL AND {IS_AT_WORK}) u
    CROSS JOIN LATERAL (SELECT count(*) AS waiting, min(h.look_at) AS next_at
        FROM holds h LEFT JOIN tasks t ON t.id = h.task_id
        WHERE h.limit_name = k.name AND {IS_WAITING}) w
    ORDER BY k.name"""
"""How far each limit is used, for people."""
