"""`emit` while a server does not answer: what is stored and what is reported."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from activityctl.daemon.local.state import read_status
from support.prepared_home import prepare


def event(sender_id: str, **fields: Any) -> dict[str, Any]:
    return {"specversion": "1.0", "id": sender_id, "source": "/t", "type": "t", **fields}


def lines(*events: Any) -> str:
    return "".join(json.dumps(event) + "\n" for event in events)


@pytest.fixture(scope="module")
def lone(shell_at, tmp_path_factory) -> Iterator[Any]:
    """A daemon of this module, whose servers may be stopped."""
    shell = shell_at(prepare(tmp_path_factory.mktemp("home")), tmp_path_factory.mktemp("work"))
    shell("up", "-d")
    yield shell
    shell("down")


def pid_of(shell, part: str) -> int:
    (pid,) = [component.pid for component in read_status(shell.home) if component.name == part]
    assert pid
    return pid


def test_while_temporal_is_frozen_events_are_stored(lone):
    temporal = psutil.Process(pid_of(lone, "temporal"))
    temporal.suspend()
    try:
        assert "accepted" in lone("emit", "--type", "t", "--id", "frozen").stdout
    finally:
        temporal.resume()
    assert lone.json("get", "event", "frozen")["items"][0]["id"] == "frozen"


RETRIED = """
apiVersion: activityctl/v1
kind: ActivityDefinition
metadata: {name: retried}
spec:
  tasks: [{name: once, command: {shell: "echo x >> FOLDER/ran; test -e FOLDER/well"}}]
---
apiVersion: activityctl/v1
kind: Subscription
metadata: {name: retried}
spec: {activity: retried}
"""


def test_while_temporal_is_frozen_a_retry_is_recorded_and_starts_later(lone):
    (lone.folder / "retried.yaml").write_text(RETRIED.replace("FOLDER", str(lone.folder)))
    lone("apply", "-f", "retried.yaml")
    lone("trigger", "retried", "--wait", code=1)
    (lone.folder / "well").touch()
    (letter,) = lone.json("dlq", "list")["items"]
    temporal = psutil.Process(pid_of(lone, "temporal"))
    temporal.suspend()
    try:
        late = lone("dlq", "retry", letter["id"], "--wait", "--timeout", "1s", code=8).stderr
        assert "is not started, Temporal does not answer" in late
        again = lone("dlq", "retry", letter["id"], "--no-wait", code=5).stderr
        assert "it was retried by" in again
    finally:
        temporal.resume()
    (done,) = lone.json("dlq", "list", "--status", "retried")["items"]
    lone("wait", done["lastAction"]["run"])
    assert (lone.folder / "ran").read_text() == "x\nx\n"


def test_when_postgres_stops_the_number_of_stored_events_is_reported(lone):
    process = subprocess.Popen(
        lone.command("emit", "-", "-o", "jsonl"),
        env=lone.environment,
        cwd=lone.folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    given = lines(*(event(f"away-{number}") for number in range(3)))
    process.stdin.write(given)
    process.stdin.flush()
    stored = [json.loads(process.stdout.readline())["id"] for _ in range(3)]
    postgres = pid_of(lone, "postgres")
    os.kill(postgres, signal.SIGINT)
    deadline = time.monotonic() + 90
    while psutil.pid_exists(postgres) and time.monotonic() < deadline:
        time.sleep(0.05)
    start = time.monotonic()
    _, err = process.communicate(lines(event("away-3")), timeout=60)
    assert time.monotonic() - start < 50
    assert process.returncode == 7, err
    error = json.loads(err.splitlines()[-1])
    assert "3 events are stored; storing stopped before event 4 (<stdin>:4)" in error["message"]
    assert error["retryable"] is True
    deadline = time.monotonic() + 60
    while lone("emit", "-", stdin=given + lines(event("away-3")), code=None).returncode:
        assert time.monotonic() < deadline
        time.sleep(0.5)
    assert stored == ["away-0", "away-1", "away-2"]
    listed = [item["id"] for item in lone.json("get", "events")["items"]]
    assert sorted(event_id for event_id in listed if event_id.startswith("away")) == [
        *stored,
        "away-3",
    ]
