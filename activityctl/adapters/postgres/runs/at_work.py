"""What is going on in Postgres, read in one round trip; no statement reads beyond its bound."""

from collections.abc import Mapping
from typing import Any, Final

from activityctl.adapters.postgres.database import Connection
from activityctl.adapters.postgres.rows import breaker_of
from activityctl.adapters.postgres.runs.guarded_begin import IS_WAITING
from activityctl.domain.runs.at_work import (
    FEW,
    LISTED,
    MOST,
    RECENT,
    AtWork,
    BehindSchedule,
    ListedRun,
)
from activityctl.domain.runs.metrics_snapshot import OVERDUE_AFTER
from activityctl.domain.runs.run import RunStatus

_COLUMNS: Final = """r.id, s.name AS subscription, r.definition, r.trigger, r.status,
    r.reason, r.created_at, r.started_at, r.ended_at,
    r.ended_at IS NULL AND r.stuck_since IS NOT NULL AS is_stuck"""
_HAS_TEXT: Final = """(%(text)s::text IS NULL OR position(lower(%(text)s) IN
    lower(concat_ws(' ', r.id, s.name, r.definition, r.trigger))) > 0)"""
_FAILED: Final = "r.status IN ('failed', 'timed_out')"
_RECENT: Final = f"interval '{RECENT.total_seconds()} seconds'"
AT_WORK_QUERIES: Final[Mapping[str, str]] = {
    "now": "SELECT clock_timestamp() AS now",
    "open": f"""
        SELECT status, count(*) AS count, count(stuck_since) AS stuck FROM (
            SELECT status, stuck_since FROM runs WHERE ended_at IS NULL
            ORDER BY created_at LIMIT {MOST}) AS open GROUP BY status""",
    "firings": f"""
        SELECT CASE WHEN fires_at IS NULL THEN 'held' WHEN fires_at <= now() THEN 'due'
                ELSE 'later' END AS state, count(*) AS count, min(fires_at) AS since
        FROM (SELECT fires_at FROM firings WHERE dispatched_at IS NULL
              ORDER BY fires_at LIMIT {MOST}) AS waiting GROUP BY state""",
    "failing": f"""
        SELECT count(*) AS count FROM (SELECT FROM firings
            WHERE dispatched_at IS NULL AND attempts > 0 LIMIT {MOST}) AS failing""",
    "events": f"""
        SELECT count(*) AS count, min(arrived_at) AS since FROM (
            SELECT arrived_at FROM events WHERE routed_at IS NULL
            ORDER BY place LIMIT {MOST}) AS unrouted""",
    "held": f"""
        SELECT count(*) AS count FROM (SELECT h.task_id FROM holds h
            LEFT JOIN tasks t ON t.id = h.task_id WHERE {IS_WAITING} LIMIT {MOST}) AS held""",
    "failures": f"""
        SELECT count(*) AS day, count(*) FILTER (WHERE created_at >= now() - {_RECENT}) AS hour
        FROM (SELECT created_at FROM runs r
              WHERE {_FAILED} AND created_at >= now() - interval '1 day'
              ORDER BY created_at DESC LIMIT {MOST}) AS failed""",
    "late": f"""
        SELECT count(*) AS count FROM (SELECT FROM late_runs
            WHERE noticed_at >= now() - {_RECENT} LIMIT {MOST}) AS late""",
    "breakers": f"""
        SELECT * FROM breakers WHERE status <> 'closed' ORDER BY name LIMIT {FEW}""",
    "behind": f"""
        SELECT s.name, c.trigger, c.next_at FROM schedules c
        JOIN subscriptions s ON s.id = c.subscription_id
        WHERE c.next_at < now() - interval '{OVERDUE_AFTER.total_seconds()} seconds'
          AND c.is_active
        ORDER BY c.next_at LIMIT {FEW}""",
    "open_runs": f"""
        SELECT listed.*, t.name AS task, t.status AS task_status FROM (
            SELECT {_COLUMNS} FROM (SELECT * FROM runs WHERE ended_at IS NULL
                ORDER BY created_at LIMIT {MOST}) AS r
            JOIN subscriptions s ON s.id = r.subscription_id
            WHERE {_HAS_TEXT} ORDER BY r.created_at LIMIT {LISTED}) AS listed
        LEFT JOIN LATERAL (
            SELECT name, status FROM tasks WHERE run_id = listed.id AND ended_at IS NULL
            ORDER BY name, index LIMIT 1) AS t ON true
        ORDER BY listed.created_at""",
    "failed_runs": f"""
        SELECT {_COLUMNS}, NULL AS task, NULL AS task_status
        FROM (SELECT * FROM runs r WHERE {_FAILED} AND created_at >= now() - {_RECENT}
              ORDER BY created_at DESC LIMIT {MOST}) AS r
        JOIN subscriptions s ON s.id = r.subscription_id
        WHERE {_HAS_TEXT} ORDER BY r.created_at DESC LIMIT {LISTED}""",
}
"""The statement behind each part."""


async def read_at_work(connection: Connection, text: str | None) -> AtWork:
    """Return what is going on; the runs are those that have the text, without their workers."""
    async with connection.pipeline():
        cursors = {
            name: await connection.execute(query.encode(), {"text": text})
            for name, query in AT_WORK_QUERIES.items()
        }
    rows = {name: await cursor.fetchall() for name, cursor in cursors.items()}
    firings = {row["state"]: row for row in rows["firings"]}
    runs = [_run_of(row) for row in (*rows["open_runs"], *rows["failed_runs"])]
    events, failures = rows["events"][0], rows["failures"][0]
    return AtWork(
        at=rows["now"][0]["now"],
        open_runs={row["status"]: row["count"] for row in rows["open"]},
        stuck_runs=sum(row["stuck"] for row in rows["open"]),
        firings={state: row["count"] for state, row in firings.items()},
        due_since=firings["due"]["since"] if "due" in firings else None,
        failing_firings=rows["failing"][0]["count"],
        unrouted_events=events["count"],
        unrouted_since=events["since"],
        held_tasks=rows["held"][0]["count"],
        failed_hour=failures["hour"],
        failed_day=failures["day"],
        late_hour=rows["late"][0]["count"],
        breakers=tuple(breaker_of(row) for row in rows["breakers"]),
        behind=tuple(
            BehindSchedule(row["name"], row["trigger"], row["next_at"]) for row in rows["behind"]
        ),
        runs=runs,
    )


def _run_of(row: Mapping[str, Any]) -> ListedRun:
    return ListedRun(**{**row, "status": RunStatus(row["status"])})
