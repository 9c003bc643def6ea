"""`dlq`: what failed for good is listed, shown, retried from the failed task, or discarded."""

import re
from pathlib import Path
from typing import Any

import pytest

from support.told import whole
from support.waiting import until

MANIFEST = """
apiVersion: activityctl/v1
kind: ActivityDefinition
metadata: {name: charging}
spec:
  params: {type: object, properties: {shop: {type: string, default: eu}}}
  tasks:
    - name: fetch
      command: {shell: "echo fetched >> FOLDER/fetch; echo one"}
    - name: charge
      needs: [fetch]
      command:
        shell: |
          echo $ACTIVITYCTL_IDEMPOTENCY_KEY >> FOLDER/charge
          test -e FOLDER/well || { echo 503 Service Unavailable >&2; exit 3; }
      retry: {maxAttempts: 2, initialInterval: 10ms}
    - name: mail
      needs: [charge]
      command: {argv: [echo, "${ tasks.fetch.output.stdout }"]}
---
apiVersion: activityctl/v1
kind: Subscription
metadata: {name: charging, labels: {team: pay}}
spec: {activity: charging}
"""


@pytest.fixture(scope="module")
def shell(daemon: Any, shell_at: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("charging")
    found = shell_at(daemon.home, folder)
    (folder / "charging.yaml").write_text(MANIFEST.replace("FOLDER", str(folder)))
    found("apply", "-f", "charging.yaml")
    yield found
    found("delete", "sub", "charging", "--yes", code=None)


@pytest.fixture(autouse=True)
def _broken(shell: Any) -> None:
    """Let the server be down, and forget what it was asked."""
    for name in ("well", "charge", "fetch"):
        (shell.folder / name).unlink(missing_ok=True)


def fail(shell: Any) -> dict[str, Any]:
    shell("trigger", "charging", "--wait", code=1)
    return letters(shell)[0]


def letters(shell: Any, *more: str) -> list[dict[str, Any]]:
    return shell.json("dlq", "list", "-s", "charging", *more)["items"]


def runs_of(shell: Any, name: str, status: str) -> list[dict[str, Any]]:
    return shell.json("get", "runs", "-s", name, "--status", status)["items"]


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


def test_a_retry_goes_on_at_the_failed_task_with_its_key(shell: Any):
    letter = fail(shell)
    short = letter["id"][:8]
    assert (letter["status"], letter["task"], letter["definition"]) == (
        "open",
        "charge",
        "charging",
    )
    shown = shell("dlq", "show", short)
    for text in ("503 Service Unavailable", "2 attempts", "shop: eu", "dlq retry " + short):
        assert text in shown.stdout
    assert whole(shell("describe", "dl", short)) == whole(shown)
    assert shell("describe", "dl", short, "-o", "html").stdout.startswith("<!doctype html>")
    assert "tasks" not in shell.json("describe", "dl", short)
    view = shell.json("dlq", "show", letter["run"][:8])
    assert [len(task["history"]) for task in view["tasks"]] == [1, 2, 0]
    (shell.folder / "well").touch()
    out = shell("dlq", "retry", short, "--reason", "the provider is back", "--wait").stdout
    assert "succeeded" in out
    assert lines(shell.folder / "fetch") == ["fetched"]
    (key,) = set(lines(shell.folder / "charge"))
    assert len(lines(shell.folder / "charge")) == 3
    after = shell.json("dlq", "show", short)
    (action,) = after["actions"]
    assert (action["reason"], action["result"]) == ("the provider is back", "succeeded")
    assert after["status"] == "retried"
    run = shell.json("describe", "run", action["run"])
    assert (run["replayOf"], run["status"]) == (letter["run"], "succeeded")
    assert [task["attempts"] for task in run["tasks"]] == [1, 1, 1]
    assert key in {task["id"] for task in view["tasks"]}
    refused = shell("dlq", "retry", short, code=5).stderr
    assert f"it was retried by {action['actor']}" in refused
    assert letters(shell) == []


def test_filters_choose_letters_and_all_of_them_need_a_confirmation(shell: Any):
    for _ in range(2):
        fail(shell)
    chosen = [*("dlq", "retry", "--error", "503 service"), "-l", "team=pay", "--task", "charge"]
    assert "would retry 2 dead letters" in shell(*chosen, "--dry-run").stderr
    assert "add --yes" in shell(*chosen, code=1).stderr
    assert len(letters(shell)) == 2
    shell("dlq", "retry", code=2)
    shell("dlq", "retry", "--all", letters(shell)[0]["id"], code=2)
    shell("dlq", "show", "0000", code=4)
    (shell.folder / "well").touch()
    shell("pause", "charging")
    out = shell(*chosen, "--yes", "--wait").stdout
    shell("resume", "charging")
    assert out == "dead letters: 2 retried\nruns: 2 succeeded\n"
    for name in ("task=x", "error=404", "definition=x", "since=0s"):
        option, _, value = name.partition("=")
        assert letters(shell, "--status", "all", f"--{option}", value) == []


def test_a_retry_with_the_present_revision_says_what_differs(shell: Any):
    letter = fail(shell)
    old = (shell.folder / "charging.yaml").read_text()
    mended = old.replace("test -e", "true || test -e")
    (shell.folder / "mended.yaml").write_text(mended)
    shell("apply", "-f", "mended.yaml")
    told = shell("dlq", "retry", letter["id"], "--new-revision", "--wait").stderr
    assert "changed: charge" in told
    (action,) = shell.json("dlq", "show", letter["id"])["actions"]
    assert (action["result"], action["newRevision"]) == ("succeeded", True)
    assert lines(shell.folder / "fetch") == ["fetched"]
    shell("apply", "-f", "charging.yaml")


def test_a_discarded_letter_needs_a_reason_and_is_kept(shell: Any):
    letter = fail(shell)
    shell("dlq", "discard", letter["id"], code=2)
    shell("dlq", "discard", letter["id"], "--reason", " ", code=2)
    shell("dlq", "discard", letter["id"], "--reason", "paid by hand")
    shell("dlq", "retry", letter["id"], code=5)
    (found,) = letters(shell, "--status", "discarded")
    assert found["lastAction"]["reason"] == "paid by hand"
    assert "dead letter discarded by" in shell("logs", "charging").stdout


def test_open_letters_are_counted_until_the_subscription_is_deleted(shell: Any):
    letter = fail(shell)
    assert shell.json("status")["deadLetters"]["bySubscription"]["charging"] == 1
    assert re.search(r"open dead letters?: .*\w+ \d", shell("status").stdout)
    (subscription,) = shell.json("get", "sub", "charging")["items"]
    assert subscription["openDeadLetters"] == 1
    assert "1 dead" in shell("get", "sub", "charging").stdout
    shell("delete", "sub", "charging", "--yes")
    refused = shell("dlq", "retry", letter["id"], code=5).stderr
    assert "its subscription was deleted" in refused
    shell("apply", "-f", "charging.yaml")
    (shell.folder / "well").touch()
    assert "succeeded" in shell("dlq", "retry", letter["id"], "--wait").stdout


BUSY = """
apiVersion: activityctl/v1
kind: ActivityDefinition
metadata: {name: busy}
spec:
  concurrency: {policy: skip, limit: 1}
  tasks:
    - name: work
      command:
        shell: |
          test -e FOLDER/well || exit 3
          echo x >> FOLDER/worked
          while ! test -e FOLDER/free; do sleep 0.05; done
---
apiVersion: activityctl/v1
kind: Subscription
metadata: {name: busy}
spec: {activity: busy}
"""


def test_a_retry_waits_for_a_full_limit_and_says_so(shell: Any):
    (shell.folder / "busy.yaml").write_text(BUSY.replace("FOLDER", str(shell.folder)))
    shell("apply", "-f", "busy.yaml")
    shell("trigger", "busy", "--wait", code=1)
    (shell.folder / "well").touch()
    shell("trigger", "busy", "--no-wait")
    until(lambda: runs_of(shell, "busy", "running"))
    (letter,) = shell.json("dlq", "list", "-s", "busy")["items"]
    late = shell("dlq", "retry", letter["id"], "--wait", "--timeout", "1s", code=8).stderr
    assert "0 of 1 run have ended; the others go on: run " in late
    (queued,) = until(lambda: runs_of(shell, "busy", "queued"))
    late = shell("wait", queued["id"], "--timeout", "1s", code=8).stderr
    assert "waiting for 1 run (concurrency policy skip, limit 1)" in late
    assert "skipped" in shell("trigger", "busy", "--wait").stdout
    (shell.folder / "free").touch()
    (done,) = shell.json("dlq", "list", "-s", "busy", "--status", "retried")["items"]
    shell("wait", done["lastAction"]["run"])
    statuses = [run["status"] for run in shell.json("get", "runs", "-s", "busy")["items"]]
    assert sorted(statuses) == ["failed", "skipped", "succeeded", "succeeded"]
    assert lines(shell.folder / "worked") == ["x", "x"]
    shell("delete", "sub", "busy", "--yes")
