"""The first hour with activityctl, as the README describes it."""

import json
import os
import re
import select
import signal
from datetime import datetime
from pathlib import Path

import psutil
import pytest

from support.waiting import until

DEFINITIONS = Path(__file__).parents[2] / "definitions"
SAMPLES = sum(path.read_text().count("\nkind: ") for path in DEFINITIONS.glob("*.yaml"))

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def samples(daemon):
    """The daemon with the samples applied; at least one of them fires within seconds."""
    done = daemon("apply", "-f", str(DEFINITIONS))
    assert "activitydefinition/host-report created" in done.stdout
    assert f"{SAMPLES} created" in done.stderr.splitlines()
    return daemon


def succeeded_run(samples, name):
    """Wait for a run that succeeded; the newest run may be a skipped one without tasks."""
    listed = ("get", "runs", "-s", name, "--status", "succeeded")
    return until(lambda: samples.json(*listed)["items"])[0]


def test_a_second_apply_changes_nothing(samples):
    done = samples("apply", "-f", str(DEFINITIONS))
    assert done.stdout.count("unchanged") == SAMPLES
    view = samples.json("apply", "-f", str(DEFINITIONS))
    nothing = {"created": 0, "configured": 0, "unchanged": SAMPLES, "deleted": 0}
    assert view["summary"] == nothing
    assert {"kind": "Subscription", "name": "disk-report", "action": "unchanged"} in view["changes"]


def test_every_sample_runs(samples):
    for name in ("disk-report", "own-health", "daily-digest"):
        # The run is skipped if the schedule fires at the same moment.
        until(lambda name=name: "succeeded" in samples("trigger", name).stdout)


def test_a_schedule_fires_within_seconds(samples):
    runs = until(
        lambda: [
            run
            for run in samples.json("get", "runs", "-s", "disk-report")["items"]
            if run["trigger"] == "often" and run["status"] == "succeeded"
        ]
    )
    due = datetime.fromisoformat(runs[0]["dueAt"])
    assert runs[0]["firingKey"] == due.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert due.second % 10 == 0


def test_the_digest_sees_its_earlier_runs_and_keeps_state(samples):
    samples("trigger", "daily-digest")
    samples("trigger", "daily-digest")
    run = samples.json("get", "runs", "-s", "daily-digest", "--limit", "1")["items"][0]
    tasks = {
        task["name"]: task for task in samples.json("get", "tasks", "--run", run["id"])["items"]
    }
    counted = tasks["count"]["output"]["json"]
    assert counted["earlierRuns"] >= 2
    assert f"{counted['earlierRuns']} earlier runs seen" in tasks["write"]["output"]["stdout"]
    state = samples.json("get", "sub", "daily-digest")["items"][0]["state"]
    assert state == {"digests": counted["earlierRuns"] + 1}


def test_the_json_output_has_the_documented_fields(samples):
    run = succeeded_run(samples, "disk-report")
    assert {
        "id",
        "subscription",
        "definition",
        "revision",
        "trigger",
        "firingKey",
        "dueAt",
        "status",
        "reason",
        "startedAt",
        "endedAt",
    } <= set(run)
    listing = samples.json("get", "tasks", "--run", run["id"])
    assert (listing["apiVersion"], listing["kind"]) == ("activityctl/v1", "List")
    assert {
        "id",
        "run",
        "name",
        "index",
        "kind",
        "status",
        "attempts",
        "input",
        "output",
        "error",
        "startedAt",
        "endedAt",
    } <= set(listing["items"][0])
    lines = samples("logs", "disk-report", "-o", "jsonl").stdout.splitlines()
    assert {
        "id",
        "subscription",
        "subscriptionId",
        "runId",
        "message",
        "level",
        "createdAt",
        "metadata",
    } == set(json.loads(lines[0]))
    components = samples.json("status")["components"]
    assert {part["name"] for part in components} >= {"postgres", "temporal", "worker", "api"}
    assert {"name", "state", "version", "address", "pid"} <= set(components[0])
    assert {part["state"] for part in components} == {"running"}


def test_logs_follow_shows_new_entries(samples):
    follower = samples.start("logs", "daily-digest", "--follow", "--tail", "0", "-o", "jsonl")
    assert follower.stdout is not None
    try:
        while not select.select([follower.stdout], [], [], 1)[0]:  # it does not yet follow
            samples("trigger", "daily-digest")
        while json.loads(follower.stdout.readline())["message"] != "run succeeded":
            pass
        samples("trigger", "daily-digest")
        entries = [json.loads(follower.stdout.readline()) for _ in range(4)]
    finally:
        follower.send_signal(signal.SIGINT)
        _, errors = follower.communicate(timeout=60)
    assert [entry["message"] for entry in entries] == [
        "run started by manual",
        "task count succeeded",
        "task write succeeded",
        "run succeeded",
    ]
    assert follower.returncode == 130
    assert "Traceback" not in errors


def test_pause_stops_the_schedule_and_resume_starts_it(samples):
    assert "paused" in samples("pause", "own-health").stdout
    assert "unchanged" in samples("pause", "own-health").stdout
    until(lambda: samples.json("get", "schedules", "own-health")["items"][0]["status"] == "paused")
    samples("apply", "-f", str(DEFINITIONS))
    assert samples.json("get", "sub", "own-health")["items"][0]["status"] == "paused"
    assert "resumed" in samples("resume", "own-health").stdout
    until(lambda: samples.json("get", "schedules", "own-health")["items"][0]["status"] == "active")


def test_describe_shows_a_run_with_its_tasks(samples):
    run_id = succeeded_run(samples, "disk-report")["id"]
    text = samples("describe", "run", run_id[:13]).stdout
    assert re.search("✓ memory +command +succeeded", text)
    assert samples.json("describe", "sub", "disk-report")["schedules"][0]["trigger"] == "often"


def test_a_key_never_runs_twice(samples):
    first = samples("trigger", "daily-digest", "--key", "deploy-1", "-o", "json").stdout
    second = samples("trigger", "daily-digest", "--key", "deploy-1", "-o", "json").stdout
    assert json.loads(first) == json.loads(second)
    other = samples("trigger", "daily-digest", "--key", "deploy-1", "--payload", '{"a": 1}', code=5)
    assert f"run {json.loads(first)['id']} of subscription" in other.stderr
    assert "has this key and another payload; no other run was started" in other.stderr


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("k" * 801, "--key has 801 bytes; it may have 800"),
        ("ä" * 401, "--key has 802 bytes; it may have 800"),
        ("", "--key is empty"),
    ],
)
def test_a_key_that_no_run_can_have_is_refused_at_the_door(samples, key: str, reason: str):
    done = samples("trigger", "daily-digest", "--key", key, "--no-wait", code=2)
    assert reason in done.stderr


def test_the_longest_key_runs(samples):
    samples("trigger", "daily-digest", "--key", "k" * 800, "--wait")


def test_a_second_up_reports_that_the_daemon_runs(samples):
    done = samples("up")
    assert "already runs" in done.stderr
    assert "worker" in done.stdout


def test_the_doctor_warns_only_of_what_the_samples_still_need(samples):
    checks = samples.json("doctor", code=None)["checks"]
    by_name = {check["name"]: check["state"] for check in checks}
    assert by_name["commands"] == ("warning" if os.geteuid() == 0 else "ok")
    warned = {name for name, state in by_name.items() if state != "ok"}
    assert warned >= {"keys", "relayers", "secrets"}
    # The daemon is shared: what other tests left, or a busy machine, may add a warning elsewhere.
    assert warned.isdisjoint({"home", "code", "daemon", "schema", "worker", "temporal", "versions"})


def test_delete_keeps_runs_and_logs(samples, tmp_path):
    (tmp_path / "one.yaml").write_text(
        "apiVersion: activityctl/v1\nkind: Subscription\nmetadata: {name: gone}\n"
        "spec: {activity: digest}\n"
    )
    samples("apply", "-f", str(tmp_path))
    samples("trigger", "gone")
    samples("delete", "sub", "gone", "--yes")
    assert "subscription/gone" not in samples("get", "subs", "-o", "name").stdout.splitlines()
    assert samples.json("get", "runs", "-s", "gone")["items"][0]["status"] == "succeeded"
    assert "run succeeded" in samples("logs", "gone").stdout
    samples("trigger", "gone", code=5)


def test_two_homes_side_by_side_share_nothing(samples, stranger):
    stranger("up", "-d")
    try:
        mine = {part["address"] for part in samples.json("status")["components"]}
        other = {part["address"] for part in stranger.json("status")["components"]}
        assert not {address for address in mine & other if address}
        assert stranger.json("get", "subs")["items"] == []
    finally:
        pids = [part["pid"] for part in stranger.json("status")["components"]]
        stranger("down")
    assert not any(psutil.pid_exists(pid) for pid in pids)
