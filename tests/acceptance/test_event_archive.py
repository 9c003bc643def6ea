"""Stored events: `explain event`, `replay events`, `get events` and plans compared with events."""

import json
from typing import Any

import pytest

from support.waiting import until

MANIFESTS = """
apiVersion: activityctl/v1
kind: ActivityDefinition
metadata: {name: %(name)s}
spec:
  params: {type: object, properties: {least: {type: number, default: %(least)s}}}
  triggers:
    - name: large
      event:
        type: %(name)s.paid
        filter: 'event.data.amount >= params.least && (event.data.region == "eu" || event.data.vip)'
  tasks: [{name: one, command: {argv: [echo, "${ event.id }"]}}]
---
apiVersion: activityctl/v1
kind: Subscription
metadata: {name: %(name)s}
spec: {activity: %(name)s}
"""
NAMES = iter(range(1_000_000))


@pytest.fixture
def name(shell) -> str:
    """The name of a subscription with an event trigger, for this test alone."""
    name = f"archive{next(NAMES)}"
    write(shell, name, 100)
    shell("apply", "-f", "listeners.yaml")
    return name


def write(shell, name: str, least: int) -> None:
    (shell.folder / "listeners.yaml").write_text(MANIFESTS % {"name": name, "least": least})


def emit(shell, name: str, *amounts: int, wait: bool = True, **data: Any) -> None:
    events = [
        {
            "specversion": "1.0",
            "id": f"{name}-{amount}",
            "source": f"/{name}",
            "type": f"{name}.paid",
            "data": {"amount": amount, "region": "eu", **data},
        }
        for amount in amounts
    ]
    text = "".join(json.dumps(event) + "\n" for event in events)
    shell("emit", "-", *(["--wait"] if wait else []), stdin=text)


def replay(shell, name: str, *arguments: str) -> Any:
    named = ("--since", "1h", "-s", name, "--type", f"{name}.*")
    return shell.json("replay", "events", *named, *arguments)


def runs(shell, name: str) -> list[dict[str, Any]]:
    return shell.json("get", "runs", "-s", name)["items"]


def ended(shell, name: str, count: int) -> list[dict[str, Any]]:
    """Wait until so many runs of the subscription have ended, and return those."""

    def enough() -> list[dict[str, Any]]:
        found = [run for run in runs(shell, name) if run["endedAt"]]
        return found if len(found) >= count else []

    found: list[dict[str, Any]] = until(enough)
    return found


def test_explain_event_shows_each_condition_with_its_values(shell, name):
    emit(shell, name, 50)
    text = shell("explain", "event", f"{name}-50").stdout
    assert f"✗ {name}/large does not match: filter is false: event.data.amount" in text
    line = next(line for line in text.splitlines() if "✗ event.data.amount" in line)
    assert line.split() == [
        *("✗", "event.data.amount", ">=", "params.least"),
        *("event.data.amount", "=", "50,", "params.least", "=", "100"),
    ]
    assert "✓ any of:" in text
    assert '✓ event.data.region == "eu"' in text
    assert "! event.data.vip" in text


def test_explain_event_counts_triggers_of_other_types(shell, name):
    event = {"type": "lonely", "source": "/x", "id": f"{name}-lonely"}
    (shell.folder / "event.json").write_text(json.dumps(event))
    explain = ("explain", "event", "-f", "event.json")
    text = shell(*explain).stdout
    assert "another type or source; -o wide shows them" in text
    assert f"{name}/large" not in text
    for whole in (("-o", "wide"), ("--subscription", name)):
        assert f"✗ {name}/large does not match: type is lonely" in shell(*explain, *whole).stdout
    (item,) = shell.json(*explain)["items"]
    assert name in {trigger["subscription"] for trigger in item["triggers"]}


def test_explain_event_takes_a_file_that_is_not_stored(shell, name):
    event = {"type": f"{name}.paid", "source": "/x", "data": {"amount": 500, "region": "us"}}
    (shell.folder / "event.json").write_text(json.dumps({**event, "id": f"{name}-never"}))
    found = shell.json("explain", "event", "-f", "event.json", "--subscription", name)
    ((trigger,),) = [event["triggers"] for event in found["items"]]
    assert (trigger["trigger"], trigger["outcome"]) == ("large", "error")
    shell("describe", "event", f"{name}-never", code=4)


def test_explain_event_reports_wrong_arguments(shell, name):
    assert "needs either an id or a file" in shell("explain", "event", code=2).stderr
    assert "activityctl get events" in shell("explain", "event", "no-such", code=4).stderr
    assert "are only for events" in shell("explain", "definition", "-s", name, code=2).stderr
    (shell.folder / "bad.json").write_text('{"type": "t", "data": NaN}')
    assert "bad.json:1" in shell("explain", "event", "-f", "bad.json", code=3).stderr
    assert "TYPE:" in shell("explain", "definition.spec.triggers.event").stdout


def test_a_replay_runs_each_event_once_and_its_dry_run_shows_them(shell, name):
    emit(shell, name, 50, 150, 250)
    assert len(runs(shell, name)) == 2
    previews = replay(shell, name, "--dry-run")["triggers"]
    assert [(preview["trigger"], preview["new"]) for preview in previews] == [("large", 2)]
    assert len(runs(shell, name)) == 2
    assert replay(shell, name)["recorded"] == 2
    again = shell("replay", "events", "--since", "1h", "-s", name, "--type", f"{name}.*")
    assert "0 runs, 2 started before" in again.stdout
    assert "--id NAME starts them again" in again.stderr
    assert replay(shell, name, "--id", "another")["recorded"] == 2
    keys = [run["firingKey"] for run in ended(shell, name, 6)]
    assert sum(key.startswith("replay/") for key in keys) == 4
    assert sum(key.startswith("replay/another/") for key in keys) == 2


def test_a_run_of_a_replay_has_the_event_and_explain_shows_the_replay(shell, name):
    emit(shell, name, 150)
    replay(shell, name, "--id", f"{name}-again")
    (first,) = [run for run in runs(shell, name) if not run["firingKey"].startswith("replay/")]
    others = [run for run in ended(shell, name, 2) if run["id"] != first["id"]]
    (run,) = others
    (task,) = shell.json("describe", "run", run["id"])["tasks"]
    assert task["output"]["stdout"] == f"{name}-150\n"
    assert f"replay {name}-again" in shell("explain", "event", f"{name}-150").stdout


def test_a_replay_of_an_excluded_event_stores_a_skipped_run_with_the_reason(shell, name):
    emit(shell, name, 150)
    text = (shell.folder / "listeners.yaml").read_text()
    closed = 'exclude: {dates: ["2020-01-01/2040-01-01"]}'
    changed = text.replace(f"type: {name}.paid", f"type: {name}.paid\n        {closed}")
    (shell.folder / "listeners.yaml").write_text(changed)
    shell("apply", "-f", "listeners.yaml")
    done = shell("replay", "events", "--since", "1h", "-s", name, "--id", "closed")
    assert "1 event left out: skipped: excluded" in done.stdout
    assert "0 firings recorded, 1 refused run" in done.stdout
    assert "no event started a run, for the reasons above" in done.stderr
    (skipped,) = shell.json("get", "runs", "-s", name, "--status", "skipped")["items"]
    assert skipped["reason"].startswith("excluded")
    (event,) = shell.json("get", "events", "-s", name)["items"]
    verdicts = shell.json("describe", "event", event["uid"])["verdicts"]
    assert {verdict["replay"]: verdict["run"] for verdict in verdicts}["closed"] == skipped["id"]


def test_events_are_listed_by_type_source_and_time(shell, name):
    emit(shell, name, 1, 2)
    listed = ("get", "events", "--source", f"/{name}", "--since", "1h")
    found = shell.json(*listed, "--type", f"{name}.*")["items"]
    assert [event["id"] for event in found] == [f"{name}-2", f"{name}-1"]
    assert shell.json(*listed, "--type", "other", "--type", "x*")["items"] == []
    assert shell.json(*listed, "--until", "30m")["items"] == []
    assert f"{name}-1" in shell(*listed, "--type", f"{name}.paid").stdout
    refused = shell("get", "runs", "--type", "x", code=2)
    assert "--type cannot be used with runs" in refused.stderr


def test_a_large_replay_asks_for_confirmation(shell, name):
    emit(shell, name, *range(200, 301), wait=False)
    asked = shell("replay", "events", "--since", "1h", "-s", name, "--id", "big", code=1)
    assert "101 runs" in asked.stdout
    assert "--yes" in asked.stderr
    assert replay(shell, name, "--id", "big", "--yes")["recorded"] == 101


@pytest.mark.parametrize(
    ("arguments", "message", "code"),
    [
        (["--since", "1h"], "name one subscription", 2),
        (["--all-subscriptions"], "--since is missing", 2),
        (["--since", "1h", "--until", "2h", "--all-subscriptions"], "is before --since 1h", 2),
        (["--since", "99999999999d", "--all-subscriptions"], "not a point in time", 2),
        (["--since", "soon", "--all-subscriptions"], "not a point in time", 2),
        (["--since", "now", "--all-subscriptions"], "is not before --until now", 2),
        (["--since", "1h", "--all-subscriptions", "--id", "a/b"], "is no name", 2),
        (["--since", "1h", "-s", "no-such"], "not found", 4),
    ],
)
def test_a_replay_with_wrong_arguments_is_refused(shell, arguments, message, code):
    assert message in shell("replay", "events", *arguments, code=code).stderr


def test_a_plan_is_compared_with_stored_events(shell, name):
    emit(shell, name, 50, 150, 250, wait=False)
    write(shell, name, 200)
    plan = ("plan", "-f", "listeners.yaml")
    text = shell(*plan, "--since", "7d").stdout
    assert f"~ events of {name}/large: matched 2, would match 1 (0 more, 1 no longer)" in text
    decided = "event.data.amount >= params.least would be false"
    assert f"{decided} (event.data.amount = 150, params.least = 200)" in text
    view = shell.json(*plan, "--since", "7d")
    (trigger,) = view["againstEvents"]["triggers"]
    assert [event["id"] for event in trigger["differing"]] == [f"{name}-150"]
    assert view["againstEvents"]["span"] == "7d"
    comment = shell(*plan, "--since", "7d", "-o", "markdown")
    assert f"! events of {name}/large: matched 2" in comment.stdout
    assert "againstEvents" not in shell.json(*plan)
    before = shell.json(*plan, "--since", "2h", "--until", "1h")["againstEvents"]
    assert (before["span"], before["events"]) == ("1h", 0)


def test_the_old_option_against_events_keeps_its_meaning_with_a_warning(shell, name):
    emit(shell, name, 50, 150, wait=False)
    write(shell, name, 200)
    plan = ("plan", "-f", "listeners.yaml", "-o", "json")
    old = shell(*plan, "--against-events", "48h")
    assert old.stderr == "warning: --against-events is now --since; write --since 48h\n"
    new = json.loads(shell(*plan, "--since", "48h").stdout)["againstEvents"]
    compared = json.loads(old.stdout)["againstEvents"]
    now_differs = {"since": None, "until": None}
    assert {**compared, **now_differs} == {**new, **now_differs}
    assert "--against-events" not in shell("plan", "--help").stdout


@pytest.mark.parametrize("span", ["soon", "7", "99999d"])
def test_a_bad_value_of_against_events_is_a_usage_error(shell, span):
    write(shell, "never", 1)
    refused = shell("plan", "-f", "listeners.yaml", "--against-events", span, code=2)
    assert "--against-events:" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--since", "soon"], "not a point in time"),
        (["--since", "+1h"], "is in the future"),
        (["--since", "1h", "--until", "2h"], "is before --since 1h"),
        (["--until", "1h"], "--until needs --since"),
        (["--since", "1h", "--against-events", "1h"], "old name of --since"),
    ],
)
def test_a_plan_with_a_bad_time_range_is_refused(shell, arguments, message):
    write(shell, "never", 1)
    assert message in shell("plan", "-f", "listeners.yaml", *arguments, code=2).stderr


def test_logs_and_events_have_a_start_and_an_end(shell, name):
    emit(shell, name, 150)
    ended(shell, name, 1)
    logs = ("logs", name, "-o", "jsonl")
    everything = shell(*logs).stdout.splitlines()
    assert shell(*logs, "--since", "1h", "--until", "now").stdout.splitlines() == everything
    assert (
        shell(*logs, "--since", "1h", "--until", "+1h", "--tail", "2").stdout.splitlines()
        == (everything[-2:])
    )
    assert shell(*logs, "--until", "1h").stdout == ""
    assert shell(*logs, "--since", "+1h").stdout == ""
    assert "--follow" in shell(*logs, "--follow", "--until", "now", code=2).stderr
    assert "is before" in shell(*logs, "--since", "1h", "--until", "2h", code=2).stderr
    events = ("get", "events", "--source", f"/{name}")
    assert len(shell.json(*events, "--since", "-1h", "--until", "+1h")["items"]) == 1
    assert "is before" in shell(*events, "--since", "1h", "--until", "2h", code=2).stderr
