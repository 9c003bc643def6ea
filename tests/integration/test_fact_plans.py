"""What `describe` of a subscription or definition and `top` read does not grow with the runs."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import psycopg
import pytest

from activityctl.adapters.postgres.runs.at_work import AT_WORK_QUERIES
from activityctl.adapters.postgres.runs.definition_facts import DEFINITION_FACT_QUERIES
from activityctl.adapters.postgres.runs.facts import FACT_QUERIES
from activityctl.adapters.postgres.runs.gate_rows import SELECT_QUEUE_HEADS, SELECT_SLOTS
from activityctl.adapters.postgres.runs.gates import SELECT_QUEUES
from activityctl.adapters.postgres.runs.stuck import FORSAKEN
from activityctl.domain.runs.subscription_facts import NEWEST
from support.plans import scans

FEW_ROWS = 100
NOW = datetime(2026, 1, 1, tzinfo=UTC)
RUNS = 40_000
FILL = (
    """INSERT INTO definitions (name, revision_id, created_at, updated_at)
       VALUES ('d', 'v', now(), now())""",
    """INSERT INTO revisions (id, definition, number, created_at) VALUES ('v', 'd', 1, now())""",
    """INSERT INTO subscriptions (id, name, definition, status, created_at, updated_at)
       SELECT name, name, 'd', 'active', now(), now()
       FROM unnest(ARRAY['mine', 'other']) AS name""",
    """INSERT INTO runs (id, subscription_id, definition, revision_id, trigger, firing_key,
           workflow_id, due_at, status, created_at, started_at, ended_at)
       SELECT 'run-' || n, CASE WHEN n %% 20 = 0 THEN 'other' ELSE 'mine' END, 'd', 'v', 't',
           n::text, n::text, at, CASE WHEN n = 77 THEN 'failed' ELSE 'succeeded' END, at, at, at
       FROM generate_series(1, %(runs)s) AS n,
           LATERAL (SELECT %(now)s::timestamptz - interval '1 second' * n AS at) AS x""",
    """INSERT INTO firings (id, subscription_id, trigger, firing_key, due_at, created_at,
           dispatched_at, fires_at)
       SELECT 'f-' || n, 'mine', 't', n::text, %(now)s, %(now)s,
           CASE WHEN n > 20 THEN %(now)s::timestamptz END, %(now)s
       FROM generate_series(1, %(runs)s) AS n""",
    """INSERT INTO dead_letters (id, run_id, subscription_id, reason, created_at)
       SELECT 'l-' || id, id, subscription_id, 'no', created_at FROM runs""",
    """INSERT INTO late_runs (run_id, deadline, subscription_id, late_by, noticed_at)
       SELECT id, 'end', subscription_id, created_at, created_at FROM runs""",
    """INSERT INTO log_entries (transaction, subscription_id, run_id, level, message, created_at)
       SELECT n, 'mine', 'run-' || n, 'info', 'line', %(now)s::timestamptz - interval '1 s' * n
       FROM generate_series(1, %(runs)s) AS n""",
)
WAITING = (
    "UPDATE runs SET status = 'running', ended_at = NULL",
    """INSERT INTO tasks (id, run_id, name, index, phase, kind, status, created_at)
       SELECT id, id, 't', 0, 'tasks', 'manual', 'waiting', created_at FROM runs""",
    """INSERT INTO attempts (task_id, number, started_at, ended_at, outcome)
       SELECT id, 1, created_at, created_at, 'succeeded' FROM tasks""",
    "UPDATE tasks SET status = 'running' WHERE id = 'run-9'",
    "UPDATE attempts SET outcome = 'running', ended_at = NULL WHERE task_id = 'run-9'",
    "VACUUM ANALYZE",
)
"""All runs wait for a person, and one is at work in a worker that is lost."""
MOST = {
    "figures": NEWEST * 1.1,  # of a subscription that has nearly all runs, by time alone
    "late": NEWEST * 1.1,
    "firings": 20,
    "open": 0,
    "held": 0,
    "letters": 200,
    "pause": 60,
    "guards": 500,
}
"""The most rows that a statement may read; the others read only what they return."""


@pytest.fixture
def filled(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        for statement in FILL:
            connection.execute(statement.encode(), {"runs": RUNS, "now": NOW})
        connection.execute("VACUUM ANALYZE")
        yield connection


def test_each_fact_of_a_subscription_is_read_by_an_index(
    filled: psycopg.Connection[Any],
):
    values = {
        "now": NOW,
        "since": NOW - timedelta(days=7),
        "paused_at": NOW - timedelta(hours=1),
        "within": timedelta(minutes=1),
    }
    for (name, query), owner in product(FACT_QUERIES.items(), ("mine", "other")):
        for scan in _scans(filled, query, {**values, "owner": owner}):
            assert _read(scan) <= max(MOST.get(name, FEW_ROWS), FEW_ROWS), (name, scan)
    for name, query in DEFINITION_FACT_QUERIES.items():
        of_all = {"definition": "d", "owners": ["mine", "other"], "most": NEWEST // 2}
        for scan in _scans(filled, query, {**values, **of_all}):
            assert _read(scan) <= MOST.get(name, 2 * FEW_ROWS), (name, scan)
    for name, query in AT_WORK_QUERIES.items():
        for scan in _scans(filled, query, {"text": None}):
            assert _read(scan) <= MOST.get(name, FEW_ROWS), (name, scan)


def test_whose_turn_it_is_is_found_without_reading_the_queue(
    filled: psycopg.Connection[Any],
):
    filled.execute(
        b"""UPDATE runs SET status = 'queued', ended_at = NULL, arrived_at = created_at, place = 1,
               concurrency_key = CASE WHEN firing_key::int % 2 = 0 THEN 'k' ELSE '' END
           WHERE firing_key::int <= 5000"""
    )
    filled.execute("UPDATE runs SET status = 'running' WHERE id = 'run-9'")
    filled.execute("VACUUM ANALYZE runs")
    found = filled.execute(SELECT_QUEUES.encode()).fetchall()
    assert found == [("other",), ("mine",)]  # the oldest run is of the other
    assert all(_read(scan) <= 10 for scan in _scans(filled, SELECT_QUEUES, {}))
    values = {"subscription": "mine", "limit": 5, "keys": ["", "k"]}
    heads = filled.execute(SELECT_QUEUE_HEADS.encode(), values).fetchall()
    assert [row[0] for row in heads] == [
        *(f"run-{n}" for n in range(4999, 4989, -1)),
    ]
    assert all(_read(scan) <= 20 for scan in _scans(filled, SELECT_QUEUE_HEADS, values))
    assert filled.execute(SELECT_SLOTS.encode(), values).fetchall() == [("", ["run-9"])]
    assert all(_read(scan) <= 10 for scan in _scans(filled, SELECT_SLOTS, values))


def test_workflows_whose_worker_is_lost_are_found_among_many_that_wait(
    filled: psycopg.Connection[Any],
):
    for statement in WAITING:
        filled.execute(statement.encode())
    assert [row[0] for row in filled.execute(FORSAKEN.encode())] == ["9"]
    assert all(_read(scan) <= 10 for scan in _scans(filled, FORSAKEN, {}))


def _scans(
    connection: psycopg.Connection[Any], query: str, values: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    explained = connection.execute(
        b"EXPLAIN (ANALYZE, FORMAT JSON) " + query.encode(), values
    ).fetchone()
    assert explained is not None
    return scans(explained[0][0]["Plan"])


def _read(scan: dict[str, Any]) -> float:
    read: float = (scan["Actual Rows"] + scan.get("Rows Removed by Filter", 0)) * scan[
        "Actual Loops"
    ]
    return read
