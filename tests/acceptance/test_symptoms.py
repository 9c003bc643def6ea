"""The README goes from what is wrong to a command; each command shows what the README says."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.waiting import until

ROOT = Path(__file__).parents[2]
MANIFEST = """
apiVersion: activityctl/v1
kind: ActivityDefinition
metadata: {name: symptom}
spec:
  params: {type: object, properties: {seconds: {type: string}, isOpen: {type: boolean}}}
  triggers:
    - name: order
      event: {type: symptom.order, filter: event.data.amount > 1000}
    - name: yearly
      cron: {schedule: "0 2 1 1 *"}
  rules: [{when: params.isOpen, otherwise: the shop is closed}]
  tasks: [{name: work, command: {argv: [sleep, "${ params.seconds }"]}}]
---
{apiVersion: activityctl/v1, kind: Subscription, metadata: {name: symptom-closed},
 spec: {activity: symptom, params: {seconds: "0", isOpen: false}}}
---
{apiVersion: activityctl/v1, kind: Subscription, metadata: {name: symptom-broken},
 spec: {activity: symptom, params: {seconds: none, isOpen: true}}}
---
{apiVersion: activityctl/v1, kind: Subscription, metadata: {name: symptom-slow},
 spec: {activity: symptom, params: {seconds: "600", isOpen: true}}}
"""
CLOSED, BROKEN, SLOW = "symptom-closed", "symptom-broken", "symptom-slow"


def advice() -> dict[str, str]:
    """Return the command of each symptom of the README, without the ones in its last column."""
    section = (ROOT / "README.md").read_text("utf-8").partition("## When something is wrong")[2]
    table = section.partition("\n## ")[0]
    return dict(re.findall(r"^\| ([^|]+) \| `activityctl ([^`]+)` \|", table, re.MULTILINE))


@pytest.fixture
def ill(shell: Any) -> Iterator[Any]:
    (shell.folder / "symptom.yaml").write_text(MANIFEST)
    shell("apply", "-f", "symptom.yaml")
    yield shell
    for name in (CLOSED, BROKEN, SLOW):
        shell("delete", "sub", name, "--yes", code=None)


def test_a_run_links_to_the_web_page_of_the_settings(ill: Any, shell_at: Any):
    class WithPage(shell_at):
        @property
        def environment(self) -> dict[str, str]:
            return {**super().environment, "ACTIVITYCTL_TEMPORAL_UI": "https://temporal.example"}

    ill("trigger", CLOSED, code=None)
    assert "Temporal  " not in ill("describe", "sub", CLOSED, "--last").stdout
    page = WithPage(ill.home, ill.folder)("describe", "sub", CLOSED, "--last").stdout
    assert "https://temporal.example/namespaces/default/workflows/run%2F" in page


def test_each_symptom_of_the_readme_has_a_command_that_shows_the_cause(ill: Any):
    shell = ill
    shell("trigger", CLOSED, code=None)
    failed = shell("trigger", BROKEN, "-o", "name", code=1).stdout.strip()
    slow = shell("trigger", SLOW, "--no-wait", "-o", "name").stdout.strip().removeprefix("run/")
    shell("pause", CLOSED, "--reason", "the crm moves")
    data = ("--source", "/symptom", "--data", '{"amount": 5}')
    event = shell.json("emit", "--type", "symptom.order", *data)["items"][0]["id"]
    until(lambda: shell.json("describe", "run", slow)["tasks"])

    def shown(symptom: str, code: int | None = 0, **names: str) -> str:
        command = commands.pop(symptom)
        for placeholder, value in names.items():
            command = command.replace(placeholder, value)
        done = shell(*shlex.split(command), code=code)
        return str(done.stdout + done.stderr)

    commands = advice()
    assert len(commands) >= 10
    assert "the shop is closed" in shown("it did not run", NAME=CLOSED)
    assert "yearly" in shown("nothing is due", NAME=SLOW)
    assert "LATE" in shown("it ran late", NAME=SLOW)
    story = shown("it failed", NAME=BROKEN)
    assert "task work failed: ended with exit code 1" in story
    assert "activityctl dlq retry" in story
    assert "run started by manual" in shown("it hangs", NAME=SLOW)
    assert " so far" in shell("describe", "sub", SLOW, "--last").stdout
    assert "FIRING KEY" in shown("it ran twice", NAME=BROKEN)
    assert "the crm moves" in shown("it is paused", NAME=CLOSED)
    until(lambda: shell.json("describe", "event", event)["routedAt"])
    assert "event.data.amount = 5" in shown("an event did nothing", EVENT=event[:8])
    assert "yearly" in shown("`apply` says it waits")
    assert "already runs" in shown("no worker is alive")
    assert "postgres" in shown("a disk is full, a server is away", code=None)
    assert "work" in shown("it must run again", RUN=failed.removeprefix("run/")[:8])
    assert commands == {}
    shell("cancel", slow)
    shell("resume", CLOSED)
