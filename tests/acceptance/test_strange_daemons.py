"""A daemon whose home has a strange path, whose log disk is full, or that lost a process."""

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest

from activityctl import wiring
from activityctl.domain.values.log import LogEntry
from activityctl.errors import UnreachableError
from activityctl.settings import Secret, Settings
from support.prepared_home import prepare
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


def test_a_followed_log_has_no_gap_and_no_repeat_when_postgres_is_restarted(own: Any):
    own("trigger", "note")
    following = own.start("logs", "note", "--follow", "--tail", "1", "-o", "jsonl")
    assert following.stdout is not None
    seen = [following.stdout.readline()]
    postgres = processes(own)["postgres"]
    with ThreadPoolExecutor(1) as other:
        writing = other.submit(asyncio.run, write_lines(own, batches=100))
        seen += [following.stdout.readline() for _ in range(2_000)]
        os.kill(postgres, signal.SIGKILL)
        while json.loads(seen[-1])["message"] != "the last line":
            seen.append(following.stdout.readline())
        assert writing.result() > 0
    stored = own("logs", "note", "-o", "jsonl").stdout.splitlines()
    wanted = stored[stored.index(seen[0].rstrip("\n")) :]
    following.send_signal(signal.SIGINT)
    _, told = following.communicate(timeout=60)
    assert [line.rstrip("\n") for line in seen] == wanted
    assert len(wanted) > 10_000
    assert told.count("waiting until it answers again") == 1
    assert told.count("Postgres answers again") == 1


async def write_lines(own: Any, batches: int) -> int:
    """Write batches of 100 lines and a last one, each until it is stored; count the failures."""
    state = json.loads((own.home / "daemon.json").read_text())
    settings = Settings(home=own.home, database_url=Secret(state["addresses"]["database_url"]))
    failures = 0
    async with wiring.open_ports(settings, pool_size=2) as ports:
        owner = (await ports.catalog.find_subscription("note")).id
        texts = [[f"line {n}/{m}" for m in range(100)] for n in range(batches)]
        for messages in [*texts, ["the last line"]]:
            moment = datetime.now(UTC)
            entries = [LogEntry(owner, None, text, "info", moment) for text in messages]
            while True:
                try:
                    await ports.logbook.append(entries)
                    await asyncio.sleep(0.02)
                    break
                except UnreachableError:
                    failures += 1
                    await asyncio.sleep(0.2)
    return failures


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_a_full_disk_for_logs_does_not_stop_the_daemon(own: Any, tmp_path: Path):
    shell = type(own)(prepare(tmp_path / "full"), own.folder)
    logs = shell.home / "logs"
    logs.mkdir(mode=0o700)
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
    checks = {check["name"]: check for check in own.json("doctor", code=1)["checks"]}
    assert checks["daemon"]["found"].startswith("the supervisor is not running")
    assert {checks[name]["state"] for name in ("postgres", "temporal", "worker")} == {"ok"}
    own("down")
