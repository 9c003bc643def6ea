"""Metrics counted in Postgres, by one statement."""

from typing import Final

from activityctl.adapters.postgres.database import Database
from activityctl.adapters.postgres.letter_status import OPEN_LETTERS
from activityctl.adapters.postgres.schedule_status import SCHEDULE_STATUS
from activityctl.domain.runs.metrics_snapshot import (
    OVERDUE_AFTER,
    RUNS_COUNTED_FOR,
    MetricsSnapshot,
)
from activityctl.domain.runs.worker import COUNTS_AS_ALIVE

_COUNT_ALL: Final = f"""
    WITH recent AS (
        SELECT subscription_id, status, ended_at IS NOT NULL AS has_ended, count(*) AS count
        FROM runs WHERE created_at >= now() - %(runs)s OR ended_at IS NULL
        GROUP BY subscription_id, status, has_ended),
    counted AS (
        SELECT 'runs' AS what, status AS of, sum(count) AS count FROM recent GROUP BY status
        UNION ALL
        SELECT 'ended', s.name || '/' || recent.status, recent.count FROM recent
        JOIN subscriptions s ON s.id = recent.subscription_id WHERE recent.has_ended
        UNION ALL
        SELECT 'firings', state, count(*) FROM (
            SELECT CASE WHEN fires_at IS NULL THEN 'held'
                        WHEN fires_at <= now() THEN 'due' ELSE 'later' END AS state
            FROM firings WHERE dispatched_at IS NULL) AS waiting GROUP BY state
        UNION ALL
        SELECT 'schedules', state, count(*) FROM (
            SELECT {SCHEDULE_STATUS} AS state
            FROM schedules c LEFT JOIN alarms a ON a.id = c.alarm_id) AS wanted GROUP BY state
        UNION ALL
        SELECT 'subscriptions', status, count(*) FROM subscriptions
        WHERE status <> 'deleted' GROUP BY status
        UNION ALL
        SELECT 'breakers', status, count(*) FROM breakers WHERE openings > 0 GROUP BY status
        UNION ALL
        SELECT 'late', s.name, count(*) FROM late_runs l
        JOIN subscriptions s ON s.id = l.subscription_id
        WHERE l.noticed_at >= now() - %(runs)s GROUP BY s.name
        UNION ALL
        SELECT 'letters', s.name, open.count FROM ({OPEN_LETTERS % ""}) AS open
        JOIN subscriptions s ON s.id = open.subscription_id)
    SELECT now() AS counted_at,
        (SELECT coalesce(jsonb_object_agg(by_what.what, by_what.counts), '{{}}') FROM (
                SELECT what, jsonb_object_agg(of, count) AS counts FROM counted
                GROUP BY what) AS by_what) AS counts,
        (SELECT min(fires_at) FROM firings
         WHERE dispatched_at IS NULL AND fires_at <= now()) AS oldest_due_at,
        (SELECT count(*) FROM schedules c
         WHERE c.next_at < now() - %(overdue)s AND c.is_active) AS overdue_schedules,
        (SELECT count(*) FROM alarms WHERE observed_at IS NOT NULL) AS alarms,
        (SELECT coalesce(sum(restarts), 0) FROM alarms) AS restarts,
        (SELECT max(restarted_at) FROM alarms) AS restarted_at,
        (SELECT count(*) FROM workers
         WHERE seen_at BETWEEN clock_timestamp() - %(alive)s
           AND clock_timestamp() + %(alive)s) AS workers,
        (SELECT coalesce(sum(openings), 0) FROM breakers) AS breaker_openings,
        (SELECT count(*) FROM holds h JOIN tasks t ON t.id = h.task_id
         WHERE t.ended_at IS NULL) AS held_tasks,
        (SELECT count(*) FROM runs
         WHERE ended_at IS NULL AND stuck_since IS NOT NULL) AS stuck_runs,
        (SELECT count(*) FROM events WHERE routed_at IS NULL) AS unrouted_events,
        (SELECT arrived_at FROM events WHERE routed_at IS NULL
         ORDER BY place LIMIT 1) AS oldest_unrouted_at,
        (SELECT count(*) FROM verdicts
         WHERE outcome = 'error' AND created_at >= now() - %(runs)s) AS filter_errors"""


def _split(key: str) -> tuple[str, str]:
    name, _, status = key.partition("/")
    return name, status


class PostgresMetricsSource:
    """Implements the MetricsSource port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def snapshot(self) -> MetricsSnapshot:
        """Count everything at one moment, by the clock of the store."""
        (row,) = await self._database.fetch(
            _COUNT_ALL,
            runs=RUNS_COUNTED_FOR,
            overdue=OVERDUE_AFTER,
            alive=COUNTS_AS_ALIVE,
        )
        counts = row["counts"]
        return MetricsSnapshot(
            counted_at=row["counted_at"],
            runs=counts.get("runs", {}),
            firings=counts.get("firings", {}),
            oldest_due_at=row["oldest_due_at"],
            schedules=counts.get("schedules", {}),
            overdue_schedules=row["overdue_schedules"],
            alarms=row["alarms"],
            restarts=row["restarts"],
            restarted_at=row["restarted_at"],
            subscriptions=counts.get("subscriptions", {}),
            workers=row["workers"],
            dead_letters=counts.get("letters", {}),
            ended_runs={_split(key): count for key, count in counts.get("ended", {}).items()},
            late_runs=counts.get("late", {}),
            breakers=counts.get("breakers", {}),
            breaker_openings=row["breaker_openings"],
            held_tasks=row["held_tasks"],
            stuck_runs=row["stuck_runs"],
            unrouted_events=row["unrouted_events"],
            oldest_unrouted_at=row["oldest_unrouted_at"],
            filter_errors=row["filter_errors"],
        )
