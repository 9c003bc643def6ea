"""Concurrency and throttle: which runs start, wait or are skipped, and the reason."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.waiting import until

MANIFEST = """
apiVersion: activityctl/v1
kind: ActivityDefinition
metadata: {name: NAME}
spec:
  GATE
  tasks:
    - name: work
      command:
        shell: echo $KEY >> FOLDER/begun; while test ! -e FOLDER/$KEY; do sleep 0.05; done
        env: {KEY: "${ trigger.payload.name }"}
---
apiVersion: activityctl/v1
kind: Subscription
metadata: {name: NAME}
spec: {activity: NAME}
"""


class Works:
    """A subscription whose runs continue until `release`."""

    def __init__(self, shell: Any, folder: Path, name: str) -> None:
        self.shell, self.folder, self.name = shell, folder, name

    def fire(self, *keys: str) -> None:
        for key in keys:
            payload = json.dumps({"name": key})
            asked = ("trigger", self.name, "--key", key, "--payload", payload)
            self.shell(*asked, "--no-wait")
            until(lambda key=key: key in self.runs())

    def runs(self) -> dict[str, dict[str, Any]]:
        items = self.shell.json("get", "runs", "-s", self.name)["items"]
        return {run["firingKey"].removeprefix("manual/"): run for run in items}

    def statuses(self) -> dict[str, str]:
        return {key: run["status"] for key, run in self.runs().items()}

    def begun(self) -> list[str]:
        file = self.folder / "begun"
        return file.read_text().split() if file.exists() else []

    def release(self, key: str) -> None:
        (self.folder / key).touch()

    def comes_to(self, **statuses: str) -> None:
        until(lambda: self.statuses() == statuses)


@pytest.fixture
def works(shell: Any, tmp_path: Path) -> Iterator[Callable[[str, str], Works]]:
    made: list[Works] = []

    def make(name: str, gate: str) -> Works:
        text = MANIFEST.replace("NAME", name).replace("GATE", gate)
        (tmp_path / "works.yaml").write_text(text.replace("FOLDER", str(tmp_path)))
        shell("apply", "-f", "works.yaml")
        made.append(Works(shell, tmp_path, name))
        return made[-1]

    yield make
    for subscription in made:
        for key in subscription.statuses():
            subscription.release(key)
        shell("delete", "sub", subscription.name, "--yes", code=None)


def test_queued_runs_start_one_after_the_other_in_their_order(works: Any):
    mine = works("one-by-one", "concurrency: {policy: queue}")
    mine.fire("c", "a", "b")
    mine.comes_to(c="running", a="queued", b="queued")
    for key in "cab":
        until(lambda key=key: mine.begun()[-1:] == [key])
        mine.release(key)
    mine.comes_to(c="succeeded", a="succeeded", b="succeeded")
    assert mine.begun() == ["c", "a", "b"]
    log = mine.shell("logs", mine.name).stdout
    assert "run queued: waiting for 2 runs (concurrency policy queue, limit 1)" in log
    assert "in the queue" in log


def test_a_run_is_skipped_with_a_reason_while_another_is_running(works: Any):
    mine = works("only-one", "concurrency: {policy: skip}")
    mine.fire("a", "b")
    mine.comes_to(a="running", b="skipped")
    first = mine.runs()["a"]["id"][:8]
    assert mine.runs()["b"]["reason"] == (
        f"run {first} is still running (concurrency policy skip, limit 1)"
    )


def test_a_newer_run_replaces_the_running_one(works: Any):
    mine = works("newest", "concurrency: {policy: replace}")
    mine.fire("a")
    until(lambda: mine.begun() == ["a"])
    mine.fire("b")
    mine.comes_to(a="cancelled", b="running")
    assert mine.runs()["a"]["reason"] == f"replaced by run {mine.runs()['b']['id'][:8]}"


def test_a_throttled_queue_starts_runs_when_the_limit_allows(works: Any):
    mine = works("slowly", "throttle: {limit: 1, per: 12s, excess: queue}")
    for key in "abc":
        mine.release(key)
    mine.fire("a", "b", "c")
    until(lambda: len(mine.begun()) == 3)
    mine.comes_to(a="succeeded", b="succeeded", c="succeeded")
    assert mine.begun() == ["a", "b", "c"]
    entries = mine.shell("logs", mine.name).stdout
    assert "run queued: waiting for the throttle: at most 1 run in 12s; the next may start at" in (
        entries
    )


STOPS_SLOWLY = """
apiVersion: activityctl/v1
kind: ActivityDefinition
metadata: {name: slow-end}
spec:
  concurrency: {policy: queue}
  tasks:
    - name: build
      command:
        shell: |
          echo begun >> FOLDER/marks
          trap 'sleep 3; echo ended >> FOLDER/marks; exit 1' TERM
          while :; do sleep 0.05; done
---
apiVersion: activityctl/v1
kind: Subscription
metadata: {name: slow-end}
spec: {activity: slow-end}
"""


def test_cancel_says_that_a_run_is_cancelled_only_when_its_command_has_ended(
    shell: Any, tmp_path: Path
):
    (tmp_path / "slow.yaml").write_text(STOPS_SLOWLY.replace("FOLDER", str(tmp_path)))
    shell("apply", "-f", "slow.yaml")
    marks = tmp_path / "marks"

    def marked() -> list[str]:
        return marks.read_text().split() if marks.exists() else []

    run = shell("trigger", "slow-end", "--no-wait").stdout.strip().removeprefix("run/")
    until(lambda: marked() == ["begun"])
    second = shell("trigger", "slow-end", "--no-wait").stdout.strip().removeprefix("run/")
    cancelling = shell.start("cancel", run, "--timeout", "2m")
    output, told = cancelling.communicate(timeout=150)
    assert marked()[:2] == ["begun", "ended"]
    assert output == f"run/{run} cancelled\n"
    # On a busy machine the command looks first when the task has just ended.
    assert re.fullmatch(rf"run/{run} cancelling, waiting for (task build|its tasks) to end\n", told)
    until(lambda: marked() == ["begun", "ended", "begun"])
    assert shell.json("get", "runs", "-s", "slow-end", "--status", "cancelling")["items"] == []
    assert shell("cancel", second).stdout == f"run/{second} cancelled\n"
    assert "has already ended: cancelled" in shell("cancel", run, code=1).stderr
    shell("delete", "sub", "slow-end", "--yes")
