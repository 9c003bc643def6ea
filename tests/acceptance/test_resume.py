"""`pause` and `resume` with a trigger of every second: what was due in between."""

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
    """Apply a subscription of that name, and wait until it ticks."""
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
    """Statuses of its runs by nominal time and trigger."""
    items = shell.json("get", "runs", "-s", name, "--limit", "500")["items"]
    found = {(one["dueAt"], one["trigger"]): one["status"] for one in items}
    assert len(found) == len(items), "no time has two runs"
    return found


def pause_for(shell: Any, name: str, seconds: float, *resume: str) -> tuple[list[str], str]:
    """Pause and resume; gives the nominal times well in between and what `resume` says."""
    assert shell("pause", name).stdout.strip() == f"subscription/{name} paused"
    paused = int(time.time())
    time.sleep(seconds)
    resumed = int(time.time())
    said = shell("resume", name, *resume).stdout.strip()
    times = [time.gmtime(second) for second in range(paused + 1, resumed)]
    return [time.strftime("%Y-%m-%dT%H:%M:%S.000Z", one) for one in times], said


def test_a_resume_leaves_out_what_was_due_meanwhile(shell: Any, ticking: Any):
    name = ticking("left-out")
    between, said = pause_for(shell, name, 3)
    assert said == "subscription/left-out resumed"
    until(lambda: max(runs(shell, name))[0] > between[-1])
    assert min(runs(shell, name))[0] < between[0]
    assert {due for due, _ in runs(shell, name)}.isdisjoint(between)


def test_a_resume_that_catches_up_goes_by_each_triggers_misfire_policy(shell: Any, ticking: Any):
    name = ticking("caught-up")
    unchanged = shell("resume", name, "--catch-up").stdout.strip()
    assert unchanged == "subscription/caught-up unchanged"
    between, said = pause_for(shell, name, 3, "--catch-up")
    assert said == "subscription/caught-up resumed, catching up"
    wanted = {
        **{(due, "made-up"): "succeeded" for due in between},
        **{(due, "missed"): "missed" for due in between},
    }
    until(lambda: wanted.items() <= runs(shell, name).items())


def test_the_log_says_who_paused_and_resumed_and_why(shell: Any, ticking: Any):
    name = ticking("told")
    shell("pause", name, "--reason", "the disk is full")
    shell("resume", name)
    lines = shell("logs", name).stdout
    assert re.search(r"subscription paused by \S+: the disk is full\n", lines)
    assert re.search(r"subscription resumed by \S+\n", lines)


def test_help_shows_how_to_catch_up(stranger: Any):
    told = stranger("resume", "--help").stdout
    assert "--catch-up" in told
    assert "activityctl resume disk-report --catch-up" in " ".join(told.split())
