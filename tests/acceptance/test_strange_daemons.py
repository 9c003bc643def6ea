"""A daemon whose home has a strange path, whose log disk is full, or that lost a process."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from support.waiting import until

MANIFEST = """
apiVersion: activityctl/v1
kind: ActivityDefinition
metadata: {name: note}
spec:
  tasks: [{name: note, command: {argv: ["echo", "noted"]}}]
---
apiVersion: activityctl/v1
kind: Subscription
metadata: {name: note}
spec: {activity: note}
"""
STRANGE = "a#b?c%41;d 'e\"f&g=hö✓\\i"


@pytest.fixture(scope="module")
def own(shell_at: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A daemon in a home whose path has every character that means something in a URL."""
    parent = tmp_path_factory.mktemp("home")
    shell = shell_at(parent / STRANGE, tmp_path_factory.mktemp("work"))
    (shell.folder / "note.yaml").write_text(MANIFEST)
    shell("up", "-d", "-f", "note.yaml")
    yield shell
    shell("down")


def processes(shell: Any) -> dict[str, int]:
    return {part["name"]: part["pid"] for part in shell.json("status")["components"]}


def test_a_home_with_a_strange_path_keeps_its_data_in_it(own: Any):
    run = own("trigger", "note", "-o", "name").stdout.strip().removeprefix("run/")
    own("down")
    assert (own.home / "temporal.db").stat().st_size > 0
    assert [path.name for path in own.home.parent.iterdir()] == [STRANGE]
    own("up", "-d")
    assert "succeeded" in own("wait", run).stdout


def test_a_followed_log_goes_on_when_postgres_was_restarted(own: Any):
    own("trigger", "note")
    following = own.start("logs", "note", "--follow", "--tail", "1", "-o", "jsonl")
    assert following.stdout is not None
    seen = [following.stdout.readline()]
    os.kill(processes(own)["postgres"], signal.SIGKILL)
    until(lambda: own("trigger", "note", code=None).returncode == 0)
    stored = own("logs", "note", "-o", "jsonl").stdout.splitlines()
    wanted = stored[stored.index(seen[0].rstrip("\n")) :]
    while len(seen) < len(wanted):
        seen.append(following.stdout.readline())
    following.send_signal(signal.SIGINT)
    _, told = following.communicate(timeout=20)
    assert [line.rstrip("\n") for line in seen] == wanted
    assert told.count("waiting until it answers again") == 1
    assert told.count("Postgres answers again") == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_a_full_disk_for_logs_does_not_stop_the_daemon(own: Any, tmp_path: Path):
    shell = type(own)(tmp_path / "full", own.folder)
    logs = shell.home / "logs"
    logs.mkdir(mode=0o700, parents=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k,mode=700", "none", str(logs)], check=False
    )
    if mounted.returncode:
        pytest.skip("this machine does not let root mount")
    try:
        subprocess.run(["dd", "if=/dev/zero", f"of={logs / 'fill'}", "bs=1k"], check=False)
        shell("up", "-d", "-f", "note.yaml")
        assert shell("trigger", "note").stdout.rstrip().endswith("succeeded")
        checks = {check["name"]: check for check in shell.json("doctor", code=1)["checks"]}
        assert checks["disk"]["state"] == "failed"
        assert "for the logs" in checks["disk"]["found"]
    finally:
        shell("down", code=None)
        subprocess.run(["umount", "-l", str(logs)], check=False)


def test_a_dead_supervisor_is_reported(own: Any):
    state = json.loads((own.home / "daemon.json").read_text())
    psutil.Process(state["supervisor"]["pid"]).kill()
    done = until(lambda: (shown := own("status", code=None)).returncode == 1 and shown)
    assert "error: the supervisor is not running" in done.stderr
    assert "hint: activityctl down && activityctl up -d" in done.stderr
    own("down")
