"""Tables of `get`: readable values, absolute times in wide tables, no column is lost."""

import io
import re
from typing import Any

import pytest
from rich.console import Console

from activityctl.cli.render.columns import columns_of
from activityctl.cli.render.output import print_table
from activityctl.operations.looking.kinds import Kind


def cells(kind: Kind, view: dict[str, Any], *, wide: bool = False) -> dict[str, object]:
    shown = {}
    for name, read in columns_of(kind, wide=wide):
        try:
            shown[name] = read(view)
        except KeyError:  # the view of the test has no value for this column
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
def test_wide_runs_show_their_due_time_in_utc_and_how_late_they_began(
    started: str | None, late: str | None
):
    shown = cells("runs", run(started), wide=True)
    assert (shown["DUE"], shown["LATE"]) == ("2026-01-01T12:00:00Z", late)


def test_the_spec_of_a_schedule_is_shown_as_yaml():
    spec = {"schedule": "0 8 * * *", "misfire": {"policy": "skip", "grace": None}}
    shown = cells("schedules", {"spec": spec}, wide=True)
    assert shown["SPEC"] == "schedule=0 8 * * * misfire={policy: skip, grace: null}"


def test_labels_are_shown_as_pairs():
    shown = cells("subscriptions", {"labels": {"team": "data", "tier": "1"}}, wide=True)
    assert shown["LABELS"] == "team=data, tier=1"
    assert cells("subscriptions", {"labels": {}}, wide=True)["LABELS"] is None


def test_a_subscription_shows_its_last_run_and_its_next_time():
    view = {
        "lastRun": {"id": "3f", "status": "failed", "createdAt": "2026-01-01T12:00:00.000Z"},
        "nextDueAt": "2126-01-01T12:00:00.000Z",
    }
    shown = cells("subscriptions", view)
    assert shown["LAST RUN"] == "failed"
    assert str(shown["AGO"]).endswith("d")
    assert str(shown["NEXT"]).startswith("in ")
    wide = cells("subscriptions", view, wide=True)
    assert (wide["LAST RUN ID"], wide["NEXT"]) == ("3f", "2126-01-01T12:00:00Z")
    assert cells("subscriptions", {"lastRun": None})["LAST RUN"] is None


def test_in_80_columns_a_schedule_is_whole_with_its_alarm():
    view = {
        "subscription": "disk-report-eu",
        "trigger": "every-morning",
        "kind": "cron",
        "spec": {"schedule": "0 8 * * 1-5", "timezone": "Europe/Berlin"},
        "alarm": "alarm/0 8 * * 1-5 Europe/Berlin",
        "status": "active",
        "error": None,
    }
    out = io.StringIO()
    console = Console(file=out, width=80, force_terminal=True, no_color=True, legacy_windows=False)
    print_table(console, [view], columns_of("schedules", wide=False), empty="")
    for whole in ("TRIGGER", "STATUS", "ERROR", *(view[key] for key in ("subscription", "alarm"))):
        assert str(whole) in out.getvalue()
    assert "…" not in out.getvalue()
    assert [name for name, _ in columns_of("schedules", wide=True)][-2:] == ["KIND", "SPEC"]


def drawn(width: int, *, is_wide: bool) -> list[str]:
    view = {
        "id": "0123456789abcdef",
        "name": "order-fulfilment",
        "definition": "order-fulfilment",
        "status": "active",
        "lastRun": None,
        "nextDueAt": None,
        "openDeadLetters": 0,
        "updatedAt": None,
        "params": {"least": 100},
        "labels": {},
        "applyset": "shop",
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


REASON = "5 runs failed in a row, the last with exit code 3"


@pytest.mark.parametrize("width", [20, 60, 80, 130])
def test_what_does_not_fit_into_a_wide_table_follows_its_row_with_its_name(width: int):
    head, row, *rest = drawn(width, is_wide=True)
    assert max(map(len, (head, row, *rest))) <= width
    assert head.split()[0] == "ID"
    assert row.startswith("01234567")
    assert "…" not in "".join((row, *rest))
    assert all(line.startswith("    ") for line in rest)
    told = " ".join(" ".join(line.split()) for line in rest)
    if width > 60:
        assert f"pause reason {REASON}" in told
        assert "0123456789abcdef" in row + told
    assert "last run" not in told  # an empty cell


def test_a_wide_table_that_fits_is_a_table():
    head, row = drawn(240, is_wide=True)
    assert head.split()[:5] == ["ID", "NAME", "DEFINITION", "STATUS", "LAST"]
    assert row.endswith(REASON)


def test_a_table_that_cannot_fit_is_not_cut():
    head, row, *rest = drawn(30, is_wide=False)
    assert (head.split(), row.split()) == (["ID", "NAME"], ["01234567", "order-fulfilment"])
    told = [line.strip() for line in rest]
    assert told == ["definition", "order-fulfilment", "status active"]


def test_a_table_that_can_fit_is_cut_to_the_terminal_but_not_the_name():
    head, row = drawn(66, is_wide=False)
    assert max(len(head), len(row)) <= 66
    assert "  order-fulfilment  order-fu…  active" in row
    assert "…" in row


def test_a_long_last_cell_follows_its_row_over_the_whole_width():
    out = io.StringIO()
    console = Console(file=out, width=40, force_terminal=True, no_color=True, legacy_windows=False)
    columns = (("ID", lambda view: view["id"]), ("REASON", lambda view: view["reason"]))
    views = [{"id": 20 * "x", "reason": 12 * "word "}, {"id": "y", "reason": "short"}]
    print_table(console, views, columns, empty="")
    lines = re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue()).splitlines()
    assert [line.rstrip() for line in lines] == [
        "ID                    REASON",
        20 * "x",
        "    word word word word word word word",
        "    word word word word word",
        "y                     short",
    ]


def test_texts_of_several_lines_stay_on_one_line_as_they_are():
    output = dict(columns_of("tasks", wide=True))["OUTPUT"]
    view = {"output": {"stdout": "a\nb\n", "exitCode": 1, "stderr": "é"}}
    assert output(view) == r'{stdout: "a\nb\n", exitCode: 1, stderr: é}'


def audit(**more: Any) -> dict[str, Any]:
    known = {"at": "2026-01-01T12:00:00.000Z", "actor": "token/shop", "action": "emit"}
    rest = {"target": None, "outcome": "done", "address": "127.0.0.1", "details": {}}
    return {**known, **rest, **more}


def test_an_audit_entry_without_a_target_tells_what_was_changed():
    emitted = audit(details={"accepted": 1_200, "duplicate": 0, "invalid": 3, "dryRun": True})
    assert cells("audit", emitted)["TARGET"] == "1,200 accepted; 3 invalid"
    changed = {"applyset": "shop", "created": "definition/a", "repeat": True}
    assert cells("audit", audit(details=changed))["TARGET"] == "set shop; created definition/a"
    assert cells("audit", audit(target="run/1", details={"x": 1}))["TARGET"] == "run/1"
    assert cells("audit", audit())["TARGET"] is None


def test_a_short_last_column_is_not_folded_where_another_is_cut_anyway():
    views = [audit(target="token/the-nightly-deployment-of-all-the-payments", action="revoke")]
    out = io.StringIO()
    console = Console(file=out, width=80, force_terminal=True, no_color=True, legacy_windows=False)
    print_table(console, views, columns_of("audit", wide=False), empty="")
    lines = re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue()).splitlines()
    assert len(lines) == 2
    assert lines[1].rstrip().endswith("127.0.0.1")
    assert max(map(len, lines)) <= 80
