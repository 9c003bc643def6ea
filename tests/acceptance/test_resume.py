"""`pause` and `resume` with triggers that fire every second: which times of the pause run."""

import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from support.waiting import until

MANIFEST = """
apiVersion: activityctl/v1
kind: ActivityDefinition
metadata: {name: ticking}
spec:
  triggers:
    - name: made-up
      interval: {every: 1s, misfire: {policy: fire_all, window: 1h}}
    - name: missed
      interval: {every: 1s, misfire: {policy: skip}}
  tasks:
    - name: nothing
      command: {argv: ["true"]}
---
apiVersion: activityctl/v1
kind: Subscription
metadata: {name: NAME}
spec: {activity: ticking}
"""


@pytest.fixture
def ticking(shell: Any) -> Iterator[Callable[[str], str]]:
    """Apply a subscription with this name, and wait until it runs."""
    applied = []

    def make(name: str) -> str:
        (shell.folder / "ticking.yaml").write_text(MANIFEST.replace("NAME", name))
        shell("apply", "-f", "ticking.yaml")
        applied.append(name)
        until(lambda: runs(shell, name))
        return name

    yield make
    for name in applied:
        shell("delete", "sub", name, "--yes", code=None)


def runs(shell: Any, name: str) -> dict[tuple[str, str], str]:
    """Return the status of each run by nominal time and trigger."""
    items = shell.json("get", "runs", "-s", name, "--limit", "500")["items"]
    found = {(run["dueAt"], run["trigger"]): run["status"] for run in items}
    assert len(found) == len(items), "a time has two runs"
    return found


def pause_for(shell: Any, name: str, seconds: float, *resume: str) -> tuple[list[str], str]:
    """Pause and resume; return the nominal times of the pause and the output of `resume`."""
    assert shell("pause", name).stdout.strip() == f"subscription/{name} paused"
    paused = int(time.time())
    time.sleep(seconds)
    resumed = int(time.time())
    printed = shell("resume", name, *resume).stdout.strip()
    times = [time.gmtime(second) for second in range(paused + 1, resumed)]
    return [time.strftime("%Y-%m-%dT%H:%M:%S.000Z", moment) for moment in times], printed


def test_times_that_were_due_during_the_pause_do_not_run(shell: Any, ticking: Any):
    name = ticking("left-out")
    between, printed = pause_for(shell, name, 3)
    assert printed == "subscription/left-out resumed"
    until(lambda: max(runs(shell, name))[0] > between[-1])
    assert min(runs(shell, name))[0] < between[0]
    assert {due for due, _ in runs(shell, name)}.isdisjoint(between)


def test_with_catch_up_the_misfire_policy_of_each_trigger_decides(shell: Any, ticking: Any):
    name = ticking("caught-up")
    unchanged = shell("resume", name, "--catch-up").stdout.strip()
    assert unchanged == "subscription/caught-up unchanged"
    between, printed = pause_for(shell, name, 3, "--catch-up")
    assert printed == "subscription/caught-up resumed, catching up"
    wanted = {
        **{(due, "made-up"): "succeeded" for due in between},
        **{(due, "missed"): "missed" for due in between},
    }
    until(lambda: wanted.items() <= runs(shell, name).items())


def test_the_log_shows_who_paused_and_resumed_and_why(shell: Any, ticking: Any):
    name = ticking("told")
    shell("pause", name, "--reason", "the disk is full")
    shell("resume", name)
    lines = shell("logs", name).stdout
    assert re.search(r"subscription paused by \S+: the disk is full\n", lines)
    assert re.search(r"subscription resumed by \S+\n", lines)


def test_help_shows_how_to_catch_up(stranger: Any):
    page = stranger("resume", "--help").stdout
    assert "--catch-up" in page
    assert "activityctl resume disk-report --catch-up" in " ".join(page.split())
