"""`next` shows the next firings, of live subscriptions and of manifests that are not applied."""

import json
import time
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

MANIFESTS = """\
apiVersion: activityctl/v1
kind: Calendar
metadata: {name: next-holidays}
spec: {days: [2027-03-30]}
---
apiVersion: activityctl/v1
kind: ActivityDefinition
metadata: {name: next-report}
spec:
  triggers:
    - name: nightly
      cron: {schedule: "30 2 * * *", timezone: Europe/Berlin, dst: {gap: shift},
             exclude: {calendars: [next-holidays]}, jitter: 10s}
    - name: often
      interval: {every: 2s, jitter: 1s, maxFirings: 400}
  tasks:
    - name: note
      command: {argv: ["true"]}
---
apiVersion: activityctl/v1
kind: Subscription
metadata: {name: next-sub}
spec: {activity: next-report, triggers: {often: null}}
---
apiVersion: activityctl/v1
kind: Subscription
metadata: {name: next-often}
spec: {activity: next-report, triggers: {nightly: null}}
"""
SPRING = ("--since", "2027-03-27T12:00:00Z", "--until", "2027-03-31T00:00:00Z")


@pytest.fixture
def files(tmp_path: Path) -> Path:
    path = tmp_path / "next.yaml"
    path.write_text(MANIFESTS)
    return path


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_firings_of_files_are_shown_without_a_server(stranger: Any, files: Path):
    listed = stranger.json("next", "next-sub", "-f", str(files), *SPRING)
    assert (listed["kind"], len(listed["items"])) == ("List", 3)
    shifted, plain, excluded = listed["items"]
    assert set(plain) == {"subscription", "trigger", "dueAt", "localTime", "firesAt", "note"}
    assert (shifted["dueAt"], shifted["localTime"]) == (
        "2027-03-28T01:30:00.000Z",
        "2027-03-28T03:30:00+02:00",
    )
    reason = "shifted: 02:30 does not exist on that day (clocks go forward); jitter "
    assert shifted["note"].startswith(reason)
    waited = moment(plain["firesAt"]) - moment(plain["dueAt"])
    assert timedelta(0) < waited < timedelta(seconds=10)
    assert excluded["firesAt"] is None
    assert excluded["note"] == "skipped: excluded: 2027-03-30 (calendar next-holidays)"


def test_a_date_is_midnight_in_utc_and_one_trigger_can_be_chosen(stranger: Any, files: Path):
    time_range = ("--since", "2027-03-28", "--until", "2027-03-30")
    listed = stranger.json("next", "-f", str(files), "--trigger", "nightly", *time_range)["items"]
    assert [firing["dueAt"][:10] for firing in listed] == ["2027-03-28", "2027-03-29"]
    assert "nightly" in stranger("next", "-f", str(files), "--trigger", "no", code=4).stderr


def test_a_list_that_is_cut_is_valid_json_and_prints_a_note(stranger: Any, files: Path):
    path = files.with_name("often.yaml")
    path.write_text(MANIFESTS.replace(", maxFirings: 400", ""))
    arguments = ("next", "next-often", "-f", str(path), "--since", "2027-03-01")
    done = stranger(*arguments, "--until", "2027-04-01", "-o", "json")
    assert len(json.loads(done.stdout)["items"]) == 10_000
    assert "only the first 10,000" in done.stderr
    assert "only the first" not in stranger(*arguments, "-n", "5").stderr


def test_files_show_all_their_subscriptions_unless_one_is_named(stranger: Any, files: Path):
    done = stranger("next", "-f", str(files), "-n", "3")
    assert done.stdout.splitlines()[0].split()[:2] == ["SUBSCRIPTION", "TRIGGER"]
    assert len(done.stdout.splitlines()) == 4
    lines = stranger("next", "next-sub", "-f", str(files), "-n", "3", "-o", "jsonl").stdout
    assert {json.loads(line)["subscription"] for line in lines.splitlines()} == {"next-sub"}


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("next",), 2, "name a subscription"),
        (("next", "x"), 7, "activityctl up"),
        (("next", "x", "-n", "0"), 2, "-n"),
        (("next", "x", "--since", "soon"), 2, "2026-12-31T18:00:00Z"),
        (("next", "x", "--since", "+2h", "--until", "+1h"), 2, "before"),
        (("next", "x", "--since", "now", "--until", "2h"), 2, "write --until +2h"),
        (("next", "x", "--since", "now", "--from", "2h"), 2, "old name of --since"),
        (("next", "x", "--from", "2h", "--until", "1h"), 2, "before"),
        (("next", "x", "-f", "absent.yaml"), 3, "absent.yaml"),
    ],
)
def test_an_error_says_why(stranger: Any, arguments: tuple[str, ...], code: int, message: str):
    done = stranger(*arguments, code=code)
    assert message in done.stderr
    assert done.stdout == ""


def firings(stranger: Any, files: Path, *time_range: str) -> tuple[list[str], str]:
    """Return the due times of a yearly trigger in the time range, and stderr.

    With a trigger of each night, a firing could pass between two commands.
    """
    files.write_text(MANIFESTS.replace("30 2 * * *", "30 2 2 1 *"))
    arguments = ("next", "next-sub", "-f", str(files), "--trigger", "nightly", "-o", "json")
    done = stranger(*arguments, *time_range)
    return [firing["dueAt"] for firing in json.loads(done.stdout)["items"]], done.stderr


def test_the_old_option_from_keeps_its_meaning_with_a_warning(stranger: Any, files: Path):
    new, errors = firings(stranger, files, "--since", "+24h", "--until", "+20000h")
    assert (len(new) >= 2, errors) == (True, "")
    old, errors = firings(stranger, files, "--from", "24h", "--until", "20000h")
    assert old == new
    assert errors.splitlines() == [
        "warning: --until 20000h is now --until +20000h; write --until +20000h",
        "warning: --from is now --since; write --since +24h",
    ]
    past, errors = firings(stranger, files, "--from", "-20000h", "--until", "now")
    assert (len(past) >= 2, errors) == (
        True,
        "warning: --from is now --since; write --since 20000h\n",
    )
    assert past == firings(stranger, files, "--since", "20000h", "--until", "now")[0]
    assert "--from" not in stranger("next", "--help").stdout


def test_until_without_since_keeps_its_meaning_with_a_warning(stranger: Any, files: Path):
    new, errors = firings(stranger, files, "--until", "+20000h")
    assert (len(new) >= 2, errors) == (True, "")
    old, errors = firings(stranger, files, "--until", "20000h")
    assert old == new
    assert errors == "warning: --until 20000h is now --until +20000h; write --until +20000h\n"


@pytest.mark.slow
def test_the_firings_that_next_shows_happen(shell: Any, files: Path):
    shell("apply", "-f", str(files))
    shown = shell.json("next", "next-often", "--since", "+1s", "-n", "5")["items"]
    assert all(
        moment(second["dueAt"]) - moment(first["dueAt"]) == timedelta(seconds=2)
        for first, second in pairwise(shown)
    )
    last = shown[-1]["dueAt"]
    deadline = time.monotonic() + 90
    while True:
        runs = shell.json("get", "runs", "-s", "next-often")["items"]
        if any(run["dueAt"] == last and run["startedAt"] for run in runs):
            break
        assert time.monotonic() < deadline, "the last firing shown did not start"
        time.sleep(0.5)
    first = shown[0]["dueAt"]
    fired = {run["dueAt"]: run for run in runs if first <= run["dueAt"] <= last}
    assert sorted(fired) == [firing["dueAt"] for firing in shown]
    for firing in shown:
        began = moment(fired[firing["dueAt"]]["startedAt"])
        assert timedelta(0) <= began - moment(firing["firesAt"]) < timedelta(seconds=60)
    shell("pause", "next-often")
    paused = shell("next", "next-often", "-n", "2")
    assert paused.stdout.count("paused") == 2
    assert "activityctl resume next-often" in paused.stderr
    assert shell.json("next", "next-sub", *SPRING)["items"] == stored(shell, files)


def stored(shell: Any, files: Path) -> list[Any]:
    items: list[Any] = shell.json("next", "next-sub", "-f", str(files), *SPRING)["items"]
    return items
