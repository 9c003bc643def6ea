"""What happened: `logs` of runs, subscriptions and labels, and `describe` of a run."""

import json
import re
import subprocess
import xml.dom.minidom

import pytest

pytestmark = pytest.mark.slow

MANIFESTS = """
apiVersion: activityctl/v1
kind: ActivityDefinition
metadata: {name: telling}
spec:
  tasks:
    - {name: good, command: {argv: ["true"]}}
    - {name: bad, command: {argv: [sh, -c, 'printf "\\033]0;x\\007 <b>bold</b> \\342\\200\\256";
        exit 3']}}
---
apiVersion: activityctl/v1
kind: Subscription
metadata: {name: telling-one, labels: {tells: "yes"}}
spec: {activity: telling}
---
apiVersion: activityctl/v1
kind: Subscription
metadata: {name: telling-two, labels: {tells: "yes"}}
spec: {activity: telling}
"""

LATER = """
apiVersion: activityctl/v1
kind: Subscription
metadata: {name: telling-later, labels: {tells: "yes"}}
spec: {activity: telling}
"""


@pytest.fixture(scope="module")
def told(daemon, shell_at, tmp_path_factory):
    """The shared daemon, with one failed run of each of two subscriptions."""
    shell = shell_at(daemon.home, tmp_path_factory.mktemp("told"))
    (shell.folder / "told.yaml").write_text(MANIFESTS)
    shell("apply", "-f", "told.yaml")
    for name in ("telling-one", "telling-two"):
        shell("trigger", name, code=1)
    yield shell
    for name in ("sub/telling-one", "sub/telling-two", "def/telling"):
        shell("delete", name, "--yes")


def lines(shell, *arguments):
    return shell("logs", *arguments).stdout.splitlines()


def test_logs_of_runs_subscriptions_and_labels(told):
    run = told.json("get", "runs", "-s", "telling-one")["items"][0]["id"]
    whole = lines(told, "telling-one")
    assert lines(told, run[:13]) == lines(told, f"run/{run}") == whole
    both = lines(told, "telling-one", "telling-two")
    assert lines(told, "-l", "tells=yes") == both
    assert len(both) == 2 * len(whole)
    assert [line.removeprefix("telling-one ") for line in both if "telling-one" in line] == whole
    assert not any(line.startswith("telling-one") for line in whole)
    views = [json.loads(line) for line in lines(told, "-l", "tells=yes", "-o", "jsonl")]
    assert {view["subscription"] for view in views} == {"telling-one", "telling-two"}
    assert len(lines(told, "--all", "--tail", "3")) == 3


def test_logs_are_filtered_and_harmless(told):
    errors = lines(told, "telling-one", "--level", "error")
    assert len(errors) == 2
    assert all(" error " in line for line in errors)
    (bad,) = lines(told, "telling-one", "--task", "bad", "--grep", "bold|nothing")
    assert r"\x1b]0;x\x07 <b>bold</b> \u202e" in bad
    assert lines(told, "telling-one", "--task", "good")
    assert lines(told, "telling-one", "--task", "none") == []
    assert lines(told, "telling-one", "--until", "1h") == []


def test_what_logs_cannot_do_is_said(told):
    for arguments, code, text in (
        ((), 2, "no subscription and no run is named"),
        (("telling-one", "--all"), 2, "cannot be combined"),
        (("--run", "3f2a"), 2, "activityctl logs run/3f2a"),
        (("telling-one", "--level", "loud"), 2, "debug, info, warning, error"),
        (("telling-one", "--grep", "("), 2, "not a regular expression"),
        (("telling-one", "--grep", r"(a)\1"), 2, "with a back reference, such as"),
        (("nobody",), 4, 'subscription or run "nobody"'),
        (("-l", "tells=no"), 4, "activityctl get subscriptions"),
    ):
        assert text in told("logs", *arguments, code=code).stderr


def test_a_follower_whose_reader_has_gone_ends_quietly(told):
    following = " ".join(told.command("logs", "telling-one", "--follow", "--tail", "1"))
    done = subprocess.run(
        ["bash", "-c", f"{following} | head -n 1; echo ${{PIPESTATUS[0]}}"],
        env=told.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.splitlines()[1:] == ["141"]
    assert done.stderr == ""


def test_new_lines_of_all_that_are_followed_are_shown(told):
    with subprocess.Popen(
        told.command("logs", "-l", "tells=yes", "--follow", "--tail", "1", "-o", "jsonl"),
        env=told.environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as following:
        assert following.stdout is not None
        following.stdout.readline()
        run = told("trigger", "telling-one", "--no-wait", "-o", "name").stdout.strip()
        view = json.loads(following.stdout.readline())
        assert (view["subscription"], f"run/{view['runId']}") == ("telling-one", run)
        (told.folder / "later.yaml").write_text(LATER)
        told("apply", "-f", "later.yaml")
        told("trigger", "telling-later", "--no-wait")
        assert any('"telling-later"' in line for line in following.stdout)
        following.terminate()
    told("delete", "sub/telling-later", "--yes")


def test_the_beginning_of_several_ids_tells_which_they_are(told):
    for number in range(17):
        told("trigger", "telling-one", "--no-wait", "--key", f"k{number}")
    firsts = [view["id"][0] for view in told.json("get", "runs", "-s", "telling-one")["items"]]
    shared = next(first for first in firsts if firsts.count(first) > 1)
    for command in (("describe", "run"), ("logs",), ("cancel",), ("replay",), ("wait",)):
        said = told(*command, f"run/{shared}" if command == ("logs",) else shared, code=4).stderr
        assert f'"{shared}" matches several runs: {shared}' in said
        # The daemon is shared: the first of them may be runs of other tests.
        named = re.search(rf"runs: ({shared}[0-9a-f-]+) \(([\w-]+), \w+\)", said)
        assert named is not None, said
        assert told.json("describe", "run", named[1])["subscription"] == named[2]


def test_describe_tells_the_story_of_a_run(told):
    run = told.json("get", "runs", "-s", "telling-two")["items"][0]["id"]
    story = told("describe", "run", run[:13]).stdout
    assert story.startswith(f"run {run}  failed\n")
    assert told("describe", "sub", "telling-two", "--last").stdout == story
    for part in (r"\x1b]0;x\x07 <b>bold</b> \u202e", "✓ good", "✗ bad", "dead letter", "dlq retry"):
        assert part in story
    assert "\x1b" not in story
    view = told.json("describe", "run", run)
    assert view["revisionNumber"] == 1
    assert view["workflow"].endswith(view["firingKey"])
    assert view["log"][0]["message"].startswith("run started")
    assert "█" in told("describe", "run", run, "--timeline").stdout
    page = told("describe", "run", run, "-o", "html").stdout
    assert "&lt;b&gt;bold&lt;/b&gt;" in page
    assert "<b>" not in page
    xml.dom.minidom.parseString(told("describe", "run", run, "-o", "svg").stdout)


def test_describe_tells_how_a_subscription_does(told):
    told("pause", "telling-two", "--reason", "it is \x1b[31mred")
    page = told("describe", "sub", "telling-two").stdout
    for part in (
        "subscription telling-two  paused\n",
        "telling, revision 1",
        "tells=yes",
        r": it is \x1b[31mred",
        "✗ 1 failed",
        "last day         0       1",
        "dlq show",
        "resume telling-two",
    ):
        assert part in page
    view = told.json("describe", "sub", "telling-two")
    assert view["figures"]["lastDay"]["runs"]["failed"] == 1
    assert [run["status"] for run in view["lastRuns"]] == ["failed"]
    assert view["lastFailure"]["run"] == view["deadLetters"][0]["run"] == view["lastRuns"][0]["id"]
    assert view["pausedBy"] in page
    assert [change["action"] for change in view["lastChanges"]] == ["created", "created"]
    told("resume", "telling-two")


def test_describe_tells_what_a_definition_is_and_how_it_does(told):
    page = told("describe", "def", "telling").stdout
    for part in (
        "definition telling  revision 1\n",
        " failed\n\nfigures of all subscriptions",
        "telling-one  active    ✗ failed",
        "bad   command  sh -c printf",
        "activityctl export def telling",
    ):
        assert part in page
    view = told.json("describe", "def", "telling")
    assert {each["name"] for each in view["subscribers"]} >= {"telling-one", "telling-two"}
    assert view["figures"]["lastDay"]["runs"]["failed"] >= 2
    assert view["revisions"][0]["command"] == "apply"
    for kind in ("def/telling", "sub/telling-one"):
        file = told("describe", kind, "-o", "html").stdout
        assert file.startswith("<!doctype html>")
        assert "default-src 'none'" in file
        assert "\x1b" not in file


def test_what_describe_cannot_do_is_said(told):
    for arguments, code, text in (
        (("run", "3f2a", "--last"), 2, "--last is for a subscription"),
        (("sub", "telling-one", "-o", "svg"), 2, "-o svg is for a run"),
        (("events", "3f2a", "-o", "html"), 2, "-o html is for a run, a subscription"),
        (("run", "3f2a", "--timeline", "-o", "json"), 2, "-o svg draws a timeline"),
        (("run", "ffffffff-ffff"), 4, "not found"),
    ):
        assert text in told("describe", *arguments, code=code).stderr
