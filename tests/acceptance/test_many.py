"""Pause, resume, trigger and cancel many: listed, confirmed, carried out, counted."""

from typing import Any

import pytest

from support.terminal import Conversation
from support.waiting import until

MANIFEST = """
apiVersion: activityctl/v1
kind: ActivityDefinition
metadata: {name: many}
spec:
  params: {type: object, properties: {wait: {type: string, default: 0s}}}
  tasks: [{name: rest, wait: {for: "${ params.wait }"}}]
"""
SUBSCRIPTION = """
---
apiVersion: activityctl/v1
kind: Subscription
metadata: {name: many-NAME, labels: {team: many, size: NAME}}
spec: {activity: many, params: {wait: WAIT}}
"""


@pytest.fixture(scope="module")
def shell(daemon: Any, shell_at: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    found = shell_at(daemon.home, tmp_path_factory.mktemp("many"))
    waits = {"a": "0s", "b": "0s", "c": "10m"}
    texts = [
        SUBSCRIPTION.replace("NAME", name).replace("WAIT", wait) for name, wait in waits.items()
    ]
    (found.folder / "many.yaml").write_text(MANIFEST + "".join(texts))
    found("apply", "-f", "many.yaml")
    yield found
    for name in waits:
        found("delete", "sub", f"many-{name}", "--yes", code=None)


def outcomes(shell: Any, *arguments: str, code: int = 0) -> list[str]:
    return [item["outcome"] for item in shell.json(*arguments, code=code)["items"]]


def statuses(shell: Any) -> list[str]:
    items = shell.json("get", "subs", "-l", "team=many")["items"]
    return [item["status"] for item in items]


def test_what_filters_choose_is_listed_confirmed_and_counted(shell: Any):
    listed = shell("pause", "-l", "team=many", "--dry-run")
    assert all(f"many-{name}" in listed.stdout for name in "abc")
    assert "would pause 3 subscriptions" in listed.stderr
    refused = shell("pause", "-l", "team=many", code=1)
    assert "many-a" in refused.stderr
    assert "add --yes" in refused.stderr
    assert statuses(shell) == ["active"] * 3
    asked = Conversation(
        shell.command("pause", "-l", "team=many", "--reason", "the move"), shell.environment
    )
    asked.answers("Pause 3 subscriptions? [y/N]:", "y")
    asked.wait_for("subscriptions: 3 paused")
    assert asked.end() == 0
    assert statuses(shell) == ["paused"] * 3
    assert outcomes(shell, "pause", "many-a", "many-b") == ["unchanged"] * 2
    shell("resume", "many-a")
    shell("pause", "many-a", "--reason", "another")
    assert outcomes(shell, "resume", "--paused-for", "the move", "--yes") == ["resumed"] * 2
    assert statuses(shell) == ["paused", "active", "active"]
    for wrong in (
        ["pause"],
        ["pause", "many-a", "--all"],
        ["cancel", "--all", "--status", "failed"],
    ):
        shell(*wrong, code=2)
    shell("pause", "many-a", "many-z", code=4)
    shell("resume", "many-a")


def test_many_runs_are_started_waited_for_and_cancelled(shell: Any):
    asked = ("trigger", "-l", "team=many", "--key", "one", "--yes")
    shell(*asked, "--no-wait")
    for name in ("many-a", "many-b"):
        listed = ("get", "runs", "-s", name, "--status", "succeeded")
        until(lambda listed=listed: shell.json(*listed)["items"])
    late = shell(*asked, "--timeout", "2s", code=8)
    assert "subscriptions: 3 triggered\nruns: 2 succeeded\n" in late.stdout
    assert "2 of 3 runs have ended" in late.stderr
    again = shell.json("trigger", "many-a", "many-b", "--key", "one")["items"]
    assert [item["status"] for item in again] == ["succeeded"] * 2
    assert len(shell.json("get", "runs", "-l", "team=many")["items"]) == 3
    (item,) = shell.json("cancel", "-l", "team=many", "--dry-run")["items"]
    assert item["subscription"] == "many-c"
    until(lambda: shell.json("get", "runs", "-s", "many-c")["items"][0]["status"] == "running")
    assert outcomes(shell, "cancel", "-l", "team=many", "--since", "1h", "--yes") == ["cancelled"]
    assert outcomes(shell, "cancel", item["id"], item["id"][:13], code=1) == ["refused"]
    assert "nothing to cancel" in shell("cancel", "-l", "team=many", "--yes").stderr

    # All of this is too young to go; that retention removes the right rows is in contract tests.
    policy = ("--keep", "runs=900d,logs=2")
    shown = shell.json("retention", *policy, "--dry-run")["items"]
    assert [(kind["kind"], kind["keep"], kind["going"]) for kind in shown] == [
        ("runs", "900d", 0),
        ("logs", "2", 0),
    ]
    assert "STILL NEEDED" in shell("retention", *policy).stdout
    assert "no policy" in shell("retention", "--dry-run", code=2).stderr
