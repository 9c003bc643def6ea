"""The facts of a definition in Postgres, read in one round trip, each by an index."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from activityctl.adapters.postgres.database import Connection
from activityctl.adapters.postgres.runs.fact_rows import (
    COUNTS_SQL,
    JUDGED_SQL,
    PERIODS_SQL,
    failure_of,
    figures_of,
    latest_of,
)
from activityctl.domain.runs.definition_facts import (
    DefinitionFacts,
    OwnedFailure,
    OwnedRun,
    most_of_each,
)
from activityctl.domain.runs.subscription_facts import STRIP, WEEK

_IS_OWNED: Final = "subscription_id >= o.id AND subscription_id <= o.id"
"""Like `=`, with which Postgres might read the runs of all subscriptions by time alone."""
DEFINITION_FACT_QUERIES: Final[Mapping[str, str]] = {
    "figures": f"""
        WITH newest AS MATERIALIZED (
            SELECT r.* FROM unnest(%(owners)s::text[]) AS o(id), LATERAL (
                SELECT definition, status, created_at, CASE WHEN status IN ({JUDGED_SQL})
                    THEN ended_at - started_at END AS took,
                    count(*) OVER () = %(most)s AS is_cut
                FROM (SELECT * FROM runs WHERE {_IS_OWNED} AND created_at >= %(since)s
                      ORDER BY subscription_id DESC, created_at DESC LIMIT %(most)s) AS n) AS r
            WHERE r.definition = %(definition)s)
        SELECT p.name, {COUNTS_SQL}, bool_or(n.is_cut) AS is_cut,
            percentile_disc(ARRAY[0.5, 0.95, 1]) WITHIN GROUP (ORDER BY n.took) AS took
        FROM (VALUES {PERIODS_SQL}) AS p(name, span)
        JOIN newest n ON n.created_at >= %(now)s::timestamptz - p.span
        GROUP BY p.name""",
    "latest": f"""
        SELECT o.id AS owner, r.id, r.status, r.trigger, r.created_at, r.started_at,
            r.ended_at, r.ended_at IS NULL AND r.stuck_since IS NOT NULL AS is_stuck
        FROM unnest(%(owners)s::text[]) AS o(id), LATERAL (
            SELECT * FROM runs WHERE {_IS_OWNED}
            ORDER BY subscription_id DESC, created_at DESC LIMIT {STRIP}) AS r
        WHERE r.definition = %(definition)s
        ORDER BY r.created_at DESC, r.id LIMIT {STRIP}""",
    "failure": """
        SELECT o.id AS owner, r.id, r.status, r.reason, r.ended_at
        FROM unnest(%(owners)s::text[]) AS o(id), LATERAL (
            SELECT * FROM runs WHERE subscription_id = o.id
                AND status IN ('failed', 'timed_out') ORDER BY created_at DESC LIMIT 1) AS r
        WHERE r.definition = %(definition)s
        ORDER BY r.created_at DESC LIMIT 1""",
}
"""The statement behind each fact."""


async def read_definition_facts(
    connection: Connection, definition: str, owners: Mapping[str, str], now: datetime
) -> DefinitionFacts:
    """Return the facts of this moment; `owners` are the names of its subscriptions by id."""
    values = {
        "definition": definition,
        "owners": list(owners),
        "most": most_of_each(len(owners)),
        "now": now,
        "since": now - WEEK,
    }
    async with connection.pipeline():
        cursors = {
            name: await connection.execute(query.encode(), values)
            for name, query in DEFINITION_FACT_QUERIES.items()
        }
    rows = {name: await cursor.fetchall() for name, cursor in cursors.items()}
    failures = (OwnedFailure(owners[row["owner"]], failure_of(row)) for row in rows["failure"])
    return DefinitionFacts(
        periods={row["name"]: figures_of(row) for row in rows["figures"]},
        latest=tuple(OwnedRun(owners[row["owner"]], latest_of(row)) for row in rows["latest"]),
        last_failure=next(failures, None),
    )
