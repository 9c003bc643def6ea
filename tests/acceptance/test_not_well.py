"""What `status`, `doctor` and `wait` say of a daemon whose parts live but do not answer."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

MANIFEST = """
apiVersion: activityctl/v1
kind: ActivityDefinition
metadata: {name: note}
spec:
  tasks: [{name: note, command: {argv: ["true"]}}]
---
apiVersion: activityctl/v1
kind: Subscription
metadata: {name: note}
spec: {activity: note}
"""


@pytest.fixture(scope="module")
def own(shell_at: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A daemon that the module may freeze."""
    shell = shell_at(tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("work"))
    (shell.folder / "note.yaml").write_text(MANIFEST)
    shell("up", "-d", "-f", "note.yaml")
    yield shell
    shell("down")


def database_url(shell: Any) -> str:
    return json.loads((shell.home / "daemon.json").read_text())["addresses"]["database_url"]


def until(probe: Callable[[], Any], seconds: float = 40) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := probe()):
        assert time.monotonic() < deadline, "it did not come in time"
        time.sleep(0.5)
    return found


def states(shell: Any, code: int | None = None) -> dict[str, str]:
    found = json.loads(shell("status", "-o", "json", code=code).stdout)
    return {part["name"]: part["state"] for part in found["components"]}


@contextmanager
def frozen(shell: Any, name: str) -> Iterator[None]:
    """Stop a component's process and those below it; let them go on afterwards."""
    parts = shell.json("status")["components"]
    pid = next(part["pid"] for part in parts if part["name"] == name)
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
        until(lambda: set(states(shell).values()) == {"running"})


def test_a_daemon_that_is_well_says_so(own: Any):
    assert set(states(own, code=0).values()) == {"running"}
    checks = {one["name"]: one["state"] for one in own.json("doctor")["checks"]}
    assert {checks["schema"], checks["worker"], checks["firings"]} == {"ok"}


@pytest.mark.parametrize("name", ["postgres", "temporal", "api"])
def test_what_does_not_answer_is_silent(own: Any, name: str):
    with frozen(own, name):
        assert states(own, code=1) == {
            part: "silent" if part == name else "running" for part in states(own)
        }


def test_a_frozen_worker_is_silent_and_its_firings_are_said_to_wait(own: Any):
    with frozen(own, "worker"):
        until(lambda: states(own)["worker"] == "silent")
        assert own("trigger", "note", "-o", "name").stdout.startswith("run/")
        with psycopg.connect(database_url(own)) as connection:
            connection.execute(
                "UPDATE firings SET fires_at = fires_at - interval '2 minutes' "
                "WHERE dispatched_at IS NULL"
            )
        shown = own("status", code=1).stdout
        assert "no beat for 10s" in shown
        assert "firings due and not started: 1, the oldest for 2m" in shown
        checks = {one["name"]: one for one in own.json("doctor", code=1)["checks"]}
        assert (checks["worker"]["state"], checks["firings"]["state"]) == ("failed", "failed")
        assert Path(checks["firings"]["hint"].removeprefix("read ")).exists()


def test_doctor_tells_another_schema_from_ours(own: Any):
    with psycopg.connect(database_url(own), autocommit=True) as connection:
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        assert row is not None
        for version, hint in (("9999", "install"), ("0001", "activityctl down")):
            connection.execute("UPDATE alembic_version SET version_num = %s", (version,))
            try:
                checks = {one["name"]: one for one in own.json("doctor", code=1)["checks"]}
            finally:
                connection.execute("UPDATE alembic_version SET version_num = %s", row)
            found = f"version {version}, this package needs {row[0]}"
            assert (checks["schema"]["state"], checks["schema"]["found"]) == ("failed", found)
            assert checks["schema"]["hint"].startswith(hint)
