"""`top` on a real terminal, which every end restores; and where there is none."""

import json
import signal
import subprocess
from typing import Any

import pytest

from support.terminal import Conversation
from support.waiting import until

pytestmark = pytest.mark.slow
MANIFEST = """
apiVersion: activityctl/v1
kind: ActivityDefinition
metadata: {name: topped}
spec:
  tasks: [{name: door, wait: {for: 10m}}]
---
apiVersion: activityctl/v1
kind: Subscription
metadata: {name: topped}
spec: {activity: topped}
"""
ALTERNATE, RESTORED = b"\x1b[?1049h", b"\x1b[?1049l"
SECONDS = 90


@pytest.fixture
def waiting(shell: Any) -> Any:
    (shell.folder / "top.yaml").write_text(MANIFEST)
    shell("apply", "-f", "top.yaml")
    run = shell("trigger", "topped", "--no-wait", "-o", "name").stdout.strip()
    yield run.removeprefix("run/")
    shell("cancel", run)
    for name in ("sub/topped", "def/topped"):
        shell("delete", name, "--yes")


def test_top_on_a_terminal_and_elsewhere(shell: Any, waiting: str):
    environment = {**shell.environment, "TERM": "xterm-256color"}
    del environment["COLUMNS"]
    talk = Conversation(shell.command("top", "--interval", "0.2"), environment)
    modes = talk.modes()
    talk.resize(80, 24)
    talk.wait_for("q end", SECONDS)
    assert ALTERNATE in talk.raw
    assert talk.modes() != modes
    talk.press("/topped\r")
    talk.wait_for('with "topped"', SECONDS)
    talk.wait_for("door waiting", SECONDS)
    talk.press("\r")
    talk.wait_for(f"run {waiting}  running", SECONDS)
    talk.press("\x1b")
    talk.wait_for('with "topped"', SECONDS)
    talk.resize(160, 40)
    talk.wait_for("DEFINITION", SECONDS)
    talk.press("?")
    talk.wait_for("show only running, queued, stuck or failed runs", SECONDS)
    talk.press("\x03")
    until(lambda: talk.modes() == modes, seconds=60)
    assert talk.end() == 0
    assert talk.raw.rstrip().endswith((RESTORED, b"\x1b[?25h"))

    for number, code in ((signal.SIGTERM, 143), (signal.SIGINT, 0)):
        talk = Conversation(shell.command("top"), environment)
        talk.wait_for("q end", SECONDS)
        talk.send(number)
        assert talk.end() == code
        assert RESTORED in talk.raw

    assert waiting in {run["id"] for run in shell.json("top")["runs"]}
    assert waiting[:8] in shell("top", "--once").stdout
    command = " ".join(shell.command("top", "--interval", "0.2", "-o", "jsonl"))
    done = subprocess.run(
        ["bash", "-c", f"{command} | head -n 2; echo ${{PIPESTATUS[0]}}"],
        env=shell.environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    first, second, code_of_top = done.stdout.splitlines()
    assert json.loads(first)["at"] < json.loads(second)["at"]
    assert (code_of_top, done.stderr) == ("141", "")
