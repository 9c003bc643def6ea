"""The facts of a subscription in Postgres, read in one round trip, each by an index."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from activityctl.adapters.postgres.database import Database, to_storable_text
from activityctl.adapters.postgres.letter_status import LAST_ACTION, LETTER_STATUS
from activityctl.adapters.postgres.runs.at_work import read_at_work
from activityctl.adapters.postgres.runs.definition_facts import read_definition_facts
from activityctl.adapters.postgres.runs.fact_rows import (
    COUNTS_SQL,
    JUDGED_SQL,
    PERIODS_SQL,
    failure_of,
    figures_of,
    latest_of,
)
from activityctl.adapters.postgres.runs.guarded_begin import IS_WAITING
from activityctl.domain.runs.at_work import AtWork
from activityctl.domain.runs.definition_facts import DefinitionFacts
from activityctl.domain.runs.lateness import Deadline, NotedLateness
from activityctl.domain.runs.run import RunStatus
from activityctl.domain.runs.subscription_facts import (
    FEW,
    GUARDED,
    NEWEST,
    STRIP,
    WEEK,
    HeldGroup,
    OpenLetter,
    SubscriptionFacts,
)

_LETTERS: Final = 100
"""Among so many of the newest dead letters the open ones are looked for."""
_PAUSE_LOGGED_WITHIN: Final = timedelta(minutes=1)
FACT_QUERIES: Final[Mapping[str, str]] = {
    "figures": f"""
        WITH newest AS MATERIALIZED (
            SELECT status, created_at, CASE WHEN status IN ({JUDGED_SQL})
                THEN ended_at - started_at END AS took
            FROM runs WHERE subscription_id = %(owner)s AND created_at >= %(since)s
            ORDER BY created_at DESC LIMIT {NEWEST})
        SELECT p.name, {COUNTS_SQL}, count(*) = {NEWEST} AS is_cut,
            percentile_disc(ARRAY[0.5, 0.95, 1]) WITHIN GROUP (ORDER BY n.took) AS took
        FROM (VALUES {PERIODS_SQL}) AS p(name, span)
        JOIN newest n ON n.created_at >= %(now)s::timestamptz - p.span
        GROUP BY p.name""",
    "latest": f"""
        SELECT id, status, trigger, created_at, started_at, ended_at,
            ended_at IS NULL AND stuck_since IS NOT NULL AS is_stuck
        FROM runs WHERE subscription_id = %(owner)s
        ORDER BY created_at DESC, id LIMIT {STRIP}""",
    "failure": """
        SELECT id, status, reason, ended_at FROM runs
        WHERE subscription_id = %(owner)s AND status IN ('failed', 'timed_out')
        ORDER BY created_at DESC LIMIT 1""",
    "open": """
        WITH open AS MATERIALIZED (
            SELECT subscription_id, status, created_at, stuck_since FROM runs
            WHERE ended_at IS NULL)
        SELECT status, count(*) AS count, min(created_at) AS since,
            count(stuck_since) AS stuck
        FROM open WHERE subscription_id = %(owner)s GROUP BY status""",
    "firings": """
        WITH waiting AS MATERIALIZED (
            SELECT subscription_id, fires_at, attempts, error, not_before FROM firings
            WHERE dispatched_at IS NULL)
        SELECT CASE WHEN fires_at IS NULL THEN 'held' WHEN fires_at <= %(now)s THEN 'due'
                ELSE 'later' END AS state,
            count(*) AS count, min(fires_at) AS since,
            (array_agg(error ORDER BY not_before DESC) FILTER (WHERE attempts > 0))[1] AS error
        FROM waiting WHERE subscription_id = %(owner)s GROUP BY state""",
    "held": f"""
        SELECT h.breaker, h.limit_name, count(*) AS count, min(h.since) AS since,
            min(h.look_at) AS next_at
        FROM holds h LEFT JOIN tasks t ON t.id = h.task_id
        JOIN runs r ON r.id = coalesce(t.run_id, split_part(h.task_id, '/context/', 1))
        WHERE r.subscription_id = %(owner)s AND {IS_WAITING}
        GROUP BY h.breaker, h.limit_name ORDER BY count(*) DESC, h.breaker, h.limit_name""",
    "guards": f"""
        SELECT DISTINCT t.guard ->> 'breakerName' AS breaker
        FROM (SELECT id FROM runs WHERE subscription_id = %(owner)s
              ORDER BY created_at DESC LIMIT {GUARDED}) AS r
        JOIN LATERAL (SELECT guard FROM tasks WHERE run_id = r.id AND guard IS NOT NULL
              LIMIT 100) AS t ON t.guard ->> 'breakerName' IS NOT NULL
        ORDER BY 1""",
    "letters": f"""
        WITH newest AS MATERIALIZED (
            SELECT id, run_id, reason, created_at FROM dead_letters
            WHERE subscription_id = %(owner)s ORDER BY created_at DESC LIMIT {_LETTERS})
        SELECT d.id, d.run_id, d.reason, d.created_at FROM newest d {LAST_ACTION}
        WHERE {LETTER_STATUS} = 'open'
        ORDER BY d.created_at DESC, d.id LIMIT {FEW}""",
    "late": f"""
        WITH newest AS MATERIALIZED (
            SELECT run_id, deadline, late_by, noticed_at FROM late_runs
            WHERE subscription_id = %(owner)s AND noticed_at >= %(since)s
            ORDER BY noticed_at DESC LIMIT {NEWEST})
        SELECT p.name, n.deadline, count(*) AS count
        FROM (VALUES {PERIODS_SQL}) AS p(name, span)
        JOIN newest n ON n.noticed_at >= %(now)s::timestamptz - p.span
        GROUP BY p.name, n.deadline""",
    "latest_late": f"""
        SELECT run_id, deadline, late_by, noticed_at FROM late_runs
        WHERE subscription_id = %(owner)s
        ORDER BY noticed_at DESC, run_id, deadline LIMIT {FEW}""",
    "pause": """
        SELECT metadata ->> 'actor' AS actor FROM log_entries
        WHERE subscription_id = %(owner)s AND created_at >= %(paused_at)s::timestamptz
          AND created_at < %(paused_at)s::timestamptz + %(within)s
          AND metadata ->> 'status' = 'paused' AND metadata ? 'actor'
        ORDER BY created_at LIMIT 1""",
}
"""The statement behind each fact."""


class PostgresFacts:
    """Implements the Facts port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of_subscription(
        self, subscription_id: str, now: datetime, paused_at: datetime | None = None
    ) -> SubscriptionFacts:
        """Return the facts of this moment; `paused_at` is when it was paused, if it is."""
        values = {
            "owner": subscription_id,
            "now": now,
            "since": now - WEEK,
            "paused_at": paused_at,
            "within": _PAUSE_LOGGED_WITHIN,
        }
        async with self._database.connection() as connection, connection.pipeline():
            cursors = {
                name: await connection.execute(query.encode(), values)
                for name, query in FACT_QUERIES.items()
            }
        return _facts_of({name: await cursor.fetchall() for name, cursor in cursors.items()})

    async def of_definition(
        self, definition: str, owners: Mapping[str, str], now: datetime
    ) -> DefinitionFacts:
        """Return the facts of the runs that these subscriptions (id, name) had by a definition."""
        async with self._database.connection() as connection:
            return await read_definition_facts(connection, definition, owners, now)

    async def at_work(self, text: str | None = None) -> AtWork:
        """Return what is going on, without the workers; only runs that have the text are listed."""
        async with self._database.connection() as connection:
            return await read_at_work(connection, to_storable_text(text))


def _facts_of(rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> SubscriptionFacts:
    by_status = {row["status"]: row for row in rows["open"]}
    by_state = {row["state"]: row for row in rows["firings"]}
    late: dict[str, dict[str, int]] = {}
    for row in rows["late"]:
        late.setdefault(row["name"], {})[row["deadline"]] = row["count"]
    queued, due = by_status.get(RunStatus.QUEUED), by_state.get("due")
    return SubscriptionFacts(
        periods={row["name"]: figures_of(row) for row in rows["figures"]},
        latest=tuple(latest_of(row) for row in rows["latest"]),
        open_runs={status: row["count"] for status, row in by_status.items()},
        stuck_runs=sum(row["stuck"] for row in rows["open"]),
        queued_since=None if queued is None else queued["since"],
        firings={state: row["count"] for state, row in by_state.items()},
        due_since=None if due is None else due["since"],
        firing_error=next((row["error"] for row in rows["firings"] if row["error"]), None),
        held=tuple(
            HeldGroup(row["breaker"], row["limit_name"], row["count"], row["since"], row["next_at"])
            for row in rows["held"]
        ),
        breakers=tuple(row["breaker"] for row in rows["guards"]),
        last_failure=next((failure_of(row) for row in rows["failure"]), None),
        letters=tuple(
            OpenLetter(row["id"], row["run_id"], row["reason"], row["created_at"])
            for row in rows["letters"]
        ),
        late=late,
        latest_late=tuple(
            NotedLateness(
                row["run_id"], Deadline(row["deadline"]), row["late_by"], row["noticed_at"]
            )
            for row in rows["latest_late"]
        ),
        paused_by=next((row["actor"] for row in rows["pause"]), None),
    )
