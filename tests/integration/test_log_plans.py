"""Postgres reads the log by its indexes: what it reads is about what it returns."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from activityctl.adapters.postgres.logbook import held_back_query, page_query, tail_query
from activityctl.domain.values.log import LogFilter
from support.plans import scans

START = datetime(2026, 1, 1, tzinfo=UTC)
ROWS = 30_000
LIMIT = 100
FILL = """
    INSERT INTO log_entries (transaction, subscription_id, run_id, level, message, created_at)
    SELECT n / 10, CASE WHEN n %% 100 = 0 THEN 'rare' ELSE 'noisy' END, 'run-' || n / 1000,
        CASE WHEN n %% 500 = 1 THEN 'error' ELSE 'info' END, 'line ' || n,
        %s + interval '1 second' * n
    FROM generate_series(1, %s) AS n"""
NOISY = LogFilter(("noisy",))
LATE = {"transaction": 2_900, "id": 29_000}
CASES: Mapping[str, tuple[str, LogFilter, Mapping[str, Any], str]] = {
    "the first page": (page_query(NOISY), NOISY, {}, "log_entries_place_index"),
    "a late page": (page_query(NOISY), NOISY, LATE, "log_entries_place_index"),
    "the tail": (tail_query(NOISY), NOISY, {}, "log_entries_place_index"),
    "the tail of two": (
        tail_query(both := LogFilter(("noisy", "rare"))),
        both,
        {},
        "log_entries_place_index",
    ),
    "a page of a run": (
        page_query(run := LogFilter(("noisy",), "run-3")),
        run,
        {},
        "log_entries_run_index",
    ),
    "the tail of a run": (tail_query(run), run, {}, "log_entries_run_index"),
    "errors": (
        page_query(errors := LogFilter(("noisy",), level="error")),
        errors,
        {},
        "log_entries_trouble_index",
    ),
    "the latest trouble": (
        tail_query(trouble := LogFilter(("noisy",), level="warning")),
        trouble,
        {},
        "log_entries_trouble_index",
    ),
    "a late time": (
        page_query(late := LogFilter(("noisy",), since=START + timedelta(seconds=ROWS - 90))),
        late,
        {},
        "log_entries_time_index",
    ),
    "what is held back": (held_back_query(NOISY), NOISY, {}, "log_entries_place_index"),
}


@pytest.fixture
def filled(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(FILL, (START, ROWS))
        connection.execute("VACUUM ANALYZE log_entries")
        yield connection


def test_each_read_of_the_log_uses_the_index_of_its_order(filled: psycopg.Connection[Any]):
    for name, (query, wanted, place, index) in CASES.items():
        values = {
            "subscriptions": list(wanted.subscription_ids),
            "run": wanted.run_id,
            "limit": LIMIT,
            "since": wanted.since,
            "transaction": 0,
            "id": 0,
            **place,
        }
        explained = filled.execute(
            b"EXPLAIN (ANALYZE, FORMAT JSON) " + query.encode(), values
        ).fetchone()
        assert explained is not None
        found = list(scans(explained[0][0]["Plan"]))
        assert {scan["Index Name"] for scan in found if "Index Name" in scan} == {index}, name
        for scan in found:
            read = scan["Actual Rows"] + scan.get("Rows Removed by Filter", 0)
            assert read <= LIMIT, (name, scan)
