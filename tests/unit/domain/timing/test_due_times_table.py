"""What cron expressions mean, row by row, as others say it.

cron_table.csv holds the answers of a Temporal server away from changes of the clocks
(record_cron_table.py asked it); cron_table_dst.csv holds what published rules give at changes,
worked out by hand from the source beside each row.
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


ASKED = _rows("cron_table.csv")
PUBLISHED = _rows("cron_table_dst.csv")


def _name(row: dict[str, str]) -> str:
    fields = ("schedule", "zone", "gap", "overlap", "after")
    return " ".join(row[field] for field in fields if row.get(field))


def _check(row: dict[str, str], dst: dict[str, str]) -> None:
    body = {"schedule": row["schedule"], "timezone": row["zone"], "dst": dst}
    due = [datetime.fromisoformat(one) for one in row["due"].split()]
    after = datetime.fromisoformat(row["after"])
    found = islice(nominal_times(CronTrigger.model_validate(body), after), len(due))
    assert list(found) == due


def test_the_tables_are_as_long_as_promised_and_repeat_nothing():
    assert len({_name(row) for row in ASKED}) == len(ASKED) >= 300
    assert len({_name(row) for row in PUBLISHED}) == len(PUBLISHED) >= 60
    assert len(ASKED) + len(PUBLISHED) >= 400


def test_the_table_of_changes_has_each_rule_and_a_source_a_row():
    rules = {(row["gap"], row["overlap"]) for row in PUBLISHED}
    assert rules >= {("skip", ""), ("shift", ""), ("skip", "first"), ("skip", "both")}
    assert all(row["source"] for row in PUBLISHED)


@pytest.mark.parametrize("row", ASKED, ids=_name)
def test_a_schedule_is_due_when_the_server_says(row: dict[str, str]):
    _check(row, {})


@pytest.mark.parametrize("row", PUBLISHED, ids=_name)
def test_a_change_of_the_clocks_is_met_as_published(row: dict[str, str]):
    zone = ZoneInfo(row["zone"])
    for text in [row["after"], *row["due"].split()]:
        moment = datetime.fromisoformat(text)
        # Else the row, or this machine's time zone database, is at fault.
        assert moment.astimezone(zone).utcoffset() == moment.utcoffset()
    dst = {"gap": row["gap"]} | ({"overlap": row["overlap"]} if row["overlap"] else {})
    _check(row, dst)
