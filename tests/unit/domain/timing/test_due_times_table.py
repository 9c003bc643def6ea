"""The due times of cron expressions, compared with two tables of other sources.

cron_table.csv has the answers of a Temporal server, without times near clock changes;
record_cron_table.py recorded them. cron_table_dst.csv has the times around clock changes,
computed by hand from published rules; each row has its source.
"""

import csv
from datetime import datetime
from itertools import islice
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from activityctl.domain.timing.due_times import nominal_times
from activityctl.domain.timing.trigger import CronTrigger


def _rows(name: str) -> list[dict[str, str]]:
    with Path(__file__).with_name(name).open(newline="") as table:
        return list(csv.DictReader(table))


RECORDED = _rows("cron_table.csv")
PUBLISHED = _rows("cron_table_dst.csv")


def _name(row: dict[str, str]) -> str:
    fields = ("schedule", "zone", "gap", "overlap", "after")
    return " ".join(row[field] for field in fields if row.get(field))


def _check(row: dict[str, str], dst: dict[str, str]) -> None:
    body = {"schedule": row["schedule"], "timezone": row["zone"], "dst": dst}
    due = [datetime.fromisoformat(text) for text in row["due"].split()]
    after = datetime.fromisoformat(row["after"])
    found = islice(nominal_times(CronTrigger.model_validate(body), after), len(due))
    assert list(found) == due


def test_the_tables_have_at_least_400_different_rows():
    assert len({_name(row) for row in RECORDED}) == len(RECORDED) >= 300
    assert len({_name(row) for row in PUBLISHED}) == len(PUBLISHED) >= 60
    assert len(RECORDED) + len(PUBLISHED) >= 400


def test_the_table_of_clock_changes_has_each_rule_and_a_source_per_row():
    rules = {(row["gap"], row["overlap"]) for row in PUBLISHED}
    assert rules >= {("skip", ""), ("shift", ""), ("skip", "first"), ("skip", "both")}
    assert all(row["source"] for row in PUBLISHED)


@pytest.mark.parametrize("row", RECORDED, ids=_name)
def test_a_schedule_has_the_times_of_the_server(row: dict[str, str]):
    _check(row, {})


@pytest.mark.parametrize("row", PUBLISHED, ids=_name)
def test_times_around_a_clock_change_follow_the_published_rules(row: dict[str, str]):
    zone = ZoneInfo(row["zone"])
    for text in [row["after"], *row["due"].split()]:
        moment = datetime.fromisoformat(text)
        # If this fails, the row or the time zone database of this machine is wrong.
        assert moment.astimezone(zone).utcoffset() == moment.utcoffset()
    dst = {"gap": row["gap"]} | ({"overlap": row["overlap"]} if row["overlap"] else {})
    _check(row, dst)
