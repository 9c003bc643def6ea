"""Names and formats: what one command prints, every other command takes."""

import subprocess

import pytest

from support.terminal import in_terminal
from support.waiting import until

pytestmark = pytest.mark.slow

MANIFESTS = """
apiVersion: activityctl/v1
kind: ActivityDefinition
metadata: {name: named}
spec:
  triggers:
    - {name: yearly, cron: {schedule: 0 0 1 1 *}}
    - {name: spring, cron: {schedule: 0 0 1 4 *}}
    - {name: asked, event: {type: named.asked}}
  tasks:
    - {name: one, command: {shell: "echo one; exit 3"}}
---
apiVersion: activityctl/v1
kind: Subscription
metadata: {name: named}
spec: {activity: named}
---
apiVersion: activityctl/v1
kind: Subscription
metadata: {name: unnamed}
spec: {activity: named, triggers: {asked: null}}
---
apiVersion: activityctl/v1
kind: Calendar
metadata: {name: named-days}
spec: {days: [2026-12-25]}
"""


@pytest.fixture(scope="module")
def names(daemon, shell_at, tmp_path_factory):
    """The shared daemon with two subscriptions; a run of one failed, and it has an event."""
    shell = shell_at(daemon.home, tmp_path_factory.mktemp("names"))
    (shell.folder / "named.yaml").write_text(MANIFESTS)
    shell("apply", "-f", "named.yaml")
    shell("trigger", "named", code=1)
    shell("emit", "--type", "named.asked", "--source", "/names", "--data", "{}", "--wait", code=1)
    until(lambda: len(shell.json("get", "dl", "named")["items"]) == 2)
    yield shell
    for name in ("subscription/named", "sub/unnamed", "calendar/named-days", "def/named"):
        shell("delete", name, "--yes")


def first(names, kind):
    flags = ("-s", "named") if kind in {"runs", "tasks", "deadletters", "events"} else ()
    listed = names("get", kind, *flags, "-o", "name").stdout.splitlines()
    return next(line for line in listed if "named" in line or flags or kind == "revisions")


def test_what_get_prints_as_a_name_is_taken_by_get_and_describe(names):
    for kind in (
        "definitions",
        "subscriptions",
        "calendars",
        "revisions",
        "schedules",
        "runs",
        "tasks",
        "deadletters",
        "events",
    ):
        name = first(names, kind)
        word, _, rest = name.partition("/")
        assert word == kind[:-1]
        assert not rest.startswith(f"{word}/")
        assert names.json("describe", name)["kind"] == word
        if kind in {"schedules", "deadletters"}:
            assert names("get", kind, name, "-o", "name").stdout.splitlines()[0] == name


def test_every_command_takes_a_name_with_its_kind(names):
    sub, run, event = "subscription/named", first(names, "runs"), first(names, "events")
    assert names("pause", sub).stdout == "subscription/named paused\n"
    assert names("resume", "sub/named").stdout == "subscription/named resumed\n"
    assert "yearly" in names("next", sub, "-n", "2").stdout
    assert names("wait", run, code=1).stdout.startswith(run)
    assert "already ended" in names("cancel", run, code=1).stderr
    assert names("logs", sub, "--tail", "1").stdout
    assert "named" in names("explain", event).stdout
    assert "metadata" in names("export", sub).stdout
    assert "created" in names("history", "definition/named").stdout
    assert names("backfill", sub, "--since", "1m", "--trigger", "yearly", "--dry-run")
    assert names.json("get", "runs", "-s", sub, "--run", run)["items"][0]["id"] in run
    assert f"{run} is not a subscription" in names("trigger", run, code=2).stderr
    assert "argument NAME is missing" in names("delete", "sub", code=2).stderr


def test_a_schedule_and_a_dead_letter_have_names_of_their_own(names):
    schedule = names.json("describe", "schedule/named/yearly")
    assert (schedule["kind"], schedule["triggerKind"]) == ("schedule", "cron")
    assert names.json("describe", "sched", schedule["id"]) == schedule
    assert "named/spring, named/yearly" in names("describe", "sched", "named", code=5).stderr
    names("describe", "schedule/named/hourly", code=4)
    task = names.json("describe", first(names, "tasks"))
    assert (task["kind"], task["taskKind"]) == ("task", "command")
    letter = names.json("get", "dl", "named")["items"][0]
    for reference in (letter["id"], letter["id"][:18], f"run/{letter['run']}"):
        assert names.json("describe", "dl", reference)["id"] == letter["id"]
        assert names.json("dlq", "show", reference)["id"] == letter["id"]
    assert names.json("dlq", "show", f"deadletter/{letter['id']}")["id"] == letter["id"]
    assert names.json("describe", "dl", letter["id"])["subscription"] == "named"
    names("describe", "deadletter/ffffffff-ffff", code=4)


def test_the_log_of_one_run(names):
    run, _ = names("get", "runs", "-s", "named", "-o", "name").stdout.splitlines()[-1], None
    whole = names("logs", run).stdout.splitlines()
    assert len(whole) > 1
    assert names("logs", "named", "--run", run).stdout.splitlines() == whole
    assert names("logs", "named", "--run", run, "--tail", "1").stdout.splitlines() == whole[-1:]
    assert names("logs", run, "--tail", "2").stdout.splitlines() == whole[-2:]
    hint = f"it is a run of named: activityctl logs {run}"
    assert hint in names("logs", "unnamed", "--run", run, code=4).stderr
    names("logs", "named", "--run", "ffffffff", code=4)


def test_statuses_add_up_and_no_filter_is_ignored(names):
    def count(*arguments):
        return len(names.json("get", "runs", "-s", "named", *arguments)["items"])

    assert count("--status", "succeeded") == 0
    assert count("--status", "succeeded", "--status", "failed") == count("--status", "failed") > 0
    assert count("--status", "succeeded,failed") == count("--status", "failed")
    for refused in (
        ("definitions", "--since", "1h"),
        ("subscription/named", "--status", "paused"),
        ("runs", "--status", "failed", "--status", "broken"),
    ):
        names("get", *refused, code=2)


def test_subscriptions_show_their_last_run_and_their_next_time(names):
    rows = names("get", "subs").stdout.splitlines()
    assert rows[0].split("  ")[-1] == "NEXT"
    named = next(row for row in rows if " named " in row)
    assert "failed" in named
    assert " in " in named
    view = names.json("get", "sub/named")["items"][0]
    assert view["lastRun"]["status"] == "failed"
    assert view["nextDueAt"] == names.json("next", "named", "-n", "1")["items"][0]["dueAt"]
    assert names.json("get", "sub/unnamed")["items"][0]["lastRun"] is None


def test_an_unknown_format_is_refused_by_every_command(names):
    for words in (("version",), ("doctor",), ("guide",)):
        assert "unknown output format 'xml'" in names(*words, "-o", "xml", code=2).stderr


def test_no_escape_is_written_where_none_is_wanted(names):
    manifest = str(names.folder / "named.yaml")
    terminal = names.environment | {"TERM": "xterm"}
    for variables, arguments in (
        ({}, ["--color", "never", "--help"]),
        ({"NO_COLOR": "1"}, ["get", "--help"]),
        ({"NO_COLOR": "1"}, ["get", "runs"]),
        ({}, ["--color", "never", "logs", "named"]),
        ({}, ["--color", "never", "guide", "glossary"]),
        ({"NO_COLOR": "1"}, ["guide", "--search", "misfire window"]),
        ({}, ["--color", "never", "apply", "-f", manifest]),
        ({"TERM": "dumb"}, ["explain", "definition.spec"]),
    ):
        shown = in_terminal(names.command(*arguments), terminal | variables, raw=True)
        assert shown
        assert "\x1b" not in shown, arguments
    assert "\x1b" in in_terminal(names.command("--help"), terminal, raw=True)
    forced = names.environment | {"FORCE_COLOR": "1"}
    assert "\x1b" not in run_piped(names, forced, "get", "runs")
    assert "\x1b" in run_piped(names, forced, "--color", "always", "get", "runs")


def run_piped(names, environment, *arguments):
    done = subprocess.run(
        names.command(*arguments), env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout
