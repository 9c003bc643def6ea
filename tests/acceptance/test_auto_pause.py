"""A subscription whose runs keep failing pauses itself, with a reason and one notification."""

import urllib.request
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from support.waiting import until

MANIFEST = """
apiVersion: activityctl/v1
kind: ActivityDefinition
metadata: {name: fragile}
spec:
  triggers:
    - name: yearly
      cron: {schedule: "0 3 1 1 *"}
  pauseAfter: {failures: 3}
  tasks:
    - name: try
      command: {argv: [test, -e, FOLDER/well]}
  onFailure:
    - name: notify
      when: run.pauses
      command: {shell: 'echo "$NAME" >> FOLDER/notified', env: {NAME: "${ run.subscription }"}}
---
apiVersion: activityctl/v1
kind: Subscription
metadata: {name: fragile}
spec: {activity: fragile}
"""


@pytest.fixture(scope="module")
def paused(daemon: Any, shell_at: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The subscription `fragile` after it has paused itself."""
    folder = tmp_path_factory.mktemp("fragile")
    shell = shell_at(daemon.home, folder)
    (folder / "fragile.yaml").write_text(MANIFEST.replace("FOLDER", str(folder)))
    shell("apply", "-f", "fragile.yaml")
    for expected in ("active", "active", "paused"):
        shell("trigger", "fragile", code=1)
        assert subscription(shell)["status"] == expected
    yield shell
    shell("delete", "sub", "fragile", "--yes", code=None)


def subscription(shell: Any) -> dict[str, Any]:
    (found,) = shell.json("get", "sub", "fragile")["items"]
    return found


def runs(shell: Any) -> list[dict[str, Any]]:
    return shell.json("get", "runs", "-s", "fragile")["items"][::-1]


def schedule_status(shell: Any) -> str:
    (schedule,) = shell.json("get", "schedules", "fragile")["items"]
    return schedule["status"]


def test_it_is_paused_with_a_reason_and_the_run_that_caused_it(paused: Any):
    third = runs(paused)[2]
    found = subscription(paused)
    reason = f"3 runs in a row failed; last reason: {third['reason']} (run {third['id']})"
    assert found["pauseReason"] == reason
    assert found["pausedByRun"] == third["id"]
    assert found["pausedAt"] <= third["endedAt"]
    assert paused.json("describe", "sub", "fragile")["pauseReason"] == reason
    assert reason in paused("get", "sub", "fragile", "-o", "wide").stdout


def test_the_notification_is_sent_once(paused: Any):
    assert (Path(paused.folder) / "notified").read_text() == "fragile\n"
    skipped, done = (
        [task["status"] for task in paused.json("get", "tasks", "--run", run["id"])["items"]]
        for run in runs(paused)[1:3]
    )
    assert (skipped, done) == (["failed", "skipped"], ["failed", "succeeded"])


def test_the_log_has_one_warning(paused: Any):
    lines = paused("logs", "fragile", "--tail", "1000").stdout.splitlines()
    (warning,) = [line for line in lines if "subscription paused: " in line]
    assert "warning" in warning


def test_its_schedule_is_paused_in_temporal_too(paused: Any):
    until(lambda: schedule_status(paused) == "paused")


def test_a_failed_manual_run_during_the_pause_sends_no_notification(paused: Any):
    before = subscription(paused)
    paused("trigger", "fragile", code=1)
    after = subscription(paused)
    assert after["lastRun"]["trigger"] == "manual"
    changed = {"failures": 4, "openDeadLetters": 4, "lastRun": after["lastRun"]}
    assert after == {**before, **changed}
    assert (Path(paused.folder) / "notified").read_text() == "fragile\n"


def test_status_names_it(paused: Any):
    found = paused.json("status")
    (named,) = [owner for owner in found["autoPaused"] if owner["name"] == "fragile"]
    assert named["pauseReason"].startswith("3 runs in a row failed")
    assert found["schedules"]["paused"] >= 1
    text = paused("status").stdout
    assert "paused after failures: fragile since " in text
    assert "schedules: " in text


def test_the_metrics_count_it(paused: Any):
    parts = paused.json("status")["components"]
    (address,) = [part["address"] for part in parts if part["name"] == "api"]
    url = address if "://" in address else f"http://{address}"
    with urllib.request.urlopen(f"{url}/metrics", timeout=60) as answer:
        families = text_string_to_metric_families(answer.read().decode())
    found = {
        (sample.name, *sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
    }
    assert found["activityctl_subscriptions", "paused"] >= 1
    assert found["activityctl_runs", "failed"] >= 3
    assert found["activityctl_dead_letters",] >= 3
    assert found["activityctl_workers_alive",] >= 1


def test_a_resume_resets_the_failures(paused: Any):
    paused("resume", "fragile")
    paused("trigger", "fragile", code=1)
    found = subscription(paused)
    assert (found["status"], found["failures"]) == ("active", 1)
    assert (found["pauseReason"], found["pausedAt"], found["pausedByRun"]) == (None, None, None)
    until(lambda: schedule_status(paused) == "active")
    (Path(paused.folder) / "well").touch()
    paused("trigger", "fragile")
    assert subscription(paused)["failures"] == 0


def test_a_manual_pause_has_its_reason_and_is_not_listed_as_automatic(paused: Any):
    paused("pause", "fragile", "--reason", "enough for today")
    found = subscription(paused)
    assert (found["status"], found["pauseReason"]) == ("paused", "enough for today")
    assert "fragile" not in [owner["name"] for owner in paused.json("status")["autoPaused"]]
