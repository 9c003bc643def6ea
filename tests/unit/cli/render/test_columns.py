"""What a table of `get` shows: readable values, absolute times when wide, every column."""

import io
import re
from typing import Any

import pytest
from rich.console import Console

from activityctl.cli.render.columns import columns_of
from activityctl.cli.render.output import print_table
from activityctl.operations.looking.get import Kind


def cells(kind: Kind, view: dict[str, Any], *, wide: bool = False) -> dict[str, object]:
    shown = {}
    for name, read in columns_of(kind, wide=wide):
        try:
            shown[name] = read(view)
        except KeyError:  # a column that this test does not speak of
            continue
    return shown


def run(started: str | None) -> dict[str, Any]:
    return {"dueAt": "2026-01-01T12:00:00.000Z", "startedAt": started, "endedAt": None}


@pytest.mark.parametrize(
    ("started", "late"),
    [
        (None, None),
        ("2026-01-01T12:00:00.999Z", None),
        ("2026-01-01T12:00:01.500Z", "1.5s"),
        ("2026-01-01T14:00:00.000Z", "2h"),
    ],
)
def test_wide_runs_have_their_due_time_in_utc_and_how_late_they_began(
    started: str | None, late: str | None
):
    shown = cells("runs", run(started), wide=True)
    assert (shown["DUE"], shown["LATE"]) == ("2026-01-01T12:00:00Z", late)


def test_a_schedules_spec_is_yaml_and_no_python():
    spec = {"schedule": "0 8 * * *", "misfire": {"policy": "skip", "grace": None}}
    shown = cells("schedules", {"spec": spec})
    assert shown["SPEC"] == "schedule=0 8 * * * misfire={policy: skip, grace: null}"


def test_labels_are_pairs():
    shown = cells("subscriptions", {"labels": {"team": "data", "tier": "1"}}, wide=True)
    assert shown["LABELS"] == "team=data, tier=1"
    assert cells("subscriptions", {"labels": {}}, wide=True)["LABELS"] is None


def test_no_column_of_schedules_is_lost_in_80_columns_and_the_spec_gives_way():
    view = {
        "subscription": "disk-report-eu",
        "trigger": "every-morning",
        "kind": "cron",
        "spec": {
            "schedule": "0 8 * * 1-5",
            "timezone": "Europe/Berlin",
            "misfire": {"a": "b" * 40},
        },
        "status": "active",
        "error": None,
    }
    out = io.StringIO()
    console = Console(file=out, width=80, force_terminal=True, no_color=True, legacy_windows=False)
    print_table(console, [view], columns_of("schedules", wide=False), empty="")
    for whole in ("TRIGGER", "KIND", "STATUS", "ERROR", "disk-report-eu", "every-morning"):
        assert whole in out.getvalue()
    assert "schedule" in out.getvalue()
    assert "…" in out.getvalue()
    assert "cron" in out.getvalue()
    assert "active" in out.getvalue()


def drawn(width: int, *, is_wide: bool) -> list[str]:
    view = {
        "id": "0123456789abcdef",
        "name": "order-fulfilment",
        "definition": "order-fulfilment",
        "status": "active",
        "updatedAt": None,
        "params": {"least": 100},
        "labels": {},
        "pausedAt": None,
        "pauseReason": "5 runs failed in a row, the last with exit code 3",
    }
    out = io.StringIO()
    console = Console(
        file=out, width=width, force_terminal=True, no_color=True, legacy_windows=False
    )
    print_table(
        console, [view], columns_of("subscriptions", wide=is_wide), empty="", is_wide=is_wide
    )
    return re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue()).splitlines()


@pytest.mark.parametrize("width", [20, 80, 130, 160])
def test_a_wide_table_is_whole_however_narrow_the_terminal(width: int):
    head, row = drawn(width, is_wide=True)
    assert head.split()[:5] == ["ID", "NAME", "DEFINITION", "STATUS", "UPDATED"]
    assert row.endswith("5 runs failed in a row, the last with exit code 3")
    assert "0123456789abcdef" in row
    assert "…" not in row


def test_a_table_that_cannot_be_made_to_fit_is_whole():
    head, row = drawn(30, is_wide=False)
    assert head.split() == ["ID", "NAME", "DEFINITION", "STATUS", "UPDATED"]
    assert "order-fulfilment  order-fulfilment  active" in row


def test_a_table_that_can_be_made_to_fit_does():
    lines = drawn(54, is_wide=False)
    assert max(map(len, lines)) <= 54
    assert "…" in lines[1]
