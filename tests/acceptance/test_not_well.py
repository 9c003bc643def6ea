"""What `status`, `doctor` and `--wait` report if a component runs but does not answer."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from support.prepared_home import prepare
from support.waiting import until

COMPONENTS = ("postgres", "temporal", "worker", "api")
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


BREAKS = """
apiVersion: activityctl/v1
kind: ActivityDefinition
metadata: {name: breaks}
spec:
  triggers: [{name: yearly, cron: {schedule: "0 0 1 1 *"}}]
  pauseAfter: {failures: 1}
  tasks: [{name: one, command: {argv: ["false"]}}]
---
apiVersion: activityctl/v1
kind: Subscription
metadata: {name: breaks}
spec: {activity: breaks}
---
apiVersion: activityctl/v1
kind: Subscription
metadata: {name: waits}
spec: {activity: breaks}
"""


@pytest.fixture(scope="module")
def own(shell_at: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A daemon of this module, which its tests may freeze."""
    shell = shell_at(prepare(tmp_path_factory.mktemp("home")), tmp_path_factory.mktemp("work"))
    (shell.folder / "note.yaml").write_text(MANIFEST)
    shell("up", "-d", "-f", "note.yaml")
    yield shell
    shell("down")


def database_url(shell: Any) -> str:
    return json.loads((shell.home / "daemon.json").read_text())["addresses"]["database_url"]


def states(shell: Any, code: int | None = None) -> dict[str, str]:
    found = json.loads(shell("status", "-o", "json", code=code).stdout)
    return {part["name"]: part["state"] for part in found["components"]}


def schema_check(shell: Any) -> dict[str, str] | None:
    """Return doctor's check of the schema; None if Postgres did not answer it in time."""
    checks = {check["name"]: check for check in shell.json("doctor", code=1)["checks"]}
    return None if checks["schema"]["found"] == "no answer in time" else checks["schema"]


@contextmanager
def frozen(shell: Any, name: str) -> Iterator[None]:
    """Stop the process of a component; continue it afterwards and wait until all is well."""
    parts = shell.json("status")["components"]
    pid = next(part["pid"] for part in parts if part["name"] == name)
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
        until(lambda: set(states(shell).values()) == {"running"})


def test_all_checks_of_a_healthy_daemon_are_ok(own: Any):
    assert set(states(own, code=0).values()) == {"running"}
    done = until(
        lambda: (ended := own("doctor", "-o", "json", code=None)).returncode == 0 and ended
    )
    checks = {check["name"]: check["state"] for check in json.loads(done.stdout)["checks"]}
    assert {checks["schema"], checks["worker"], checks["firings"]} == {"ok"}


@pytest.mark.parametrize("name", ["postgres", "temporal", "api"])
def test_a_component_that_does_not_answer_is_silent(own: Any, name: str):
    with frozen(own, name):
        assert states(own, code=1) == {
            part: "silent" if part == name else "running" for part in COMPONENTS
        }


def test_a_frozen_worker_is_silent_and_waiting_firings_are_reported(own: Any):
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
        checks = {check["name"]: check for check in own.json("doctor", code=1)["checks"]}
        assert (checks["worker"]["state"], checks["firings"]["state"]) == ("failed", "failed")
        assert Path(checks["firings"]["hint"].removeprefix("tail -n 50 ")).exists()


_STAGED = """
    INSERT INTO workers (id, host, pid, version, started_at, seen_at)
    VALUES ('old', 'elsewhere', 7, '0.0.1', now(), now());
    INSERT INTO breakers (name, status, changed_at, probes, succeeded, openings)
    VALUES ('crm', 'open', now(), '{}', 0, 1);
    INSERT INTO late_runs (run_id, deadline, subscription_id, late_by, noticed_at)
    SELECT 'gone', 'start', id, now(), now() FROM subscriptions WHERE name = 'breaks';
    UPDATE schedules SET next_at = now() - interval '1 minute';
"""


def test_each_finding_names_a_command_that_runs(own: Any):
    (own.folder / "breaks.yaml").write_text(BREAKS)
    own("apply", "-f", "breaks.yaml")
    own("trigger", "breaks", code=1)
    (own.home / "keys").mkdir(mode=0o700, exist_ok=True)
    schedule = own.json("get", "schedules")["items"][-1]  # the other one was paused by its failure
    parts = own.json("status")["components"]
    address = next(part["address"] for part in parts if part["name"] == "temporal")
    temporal = Path(sys.executable).with_name("temporal")
    with frozen(own, "worker"):
        with psycopg.connect(database_url(own), autocommit=True) as connection:
            connection.execute(_STAGED)
            subprocess.run(
                [temporal, "schedule", "delete", "--address", address, "-s", schedule["alarm"]],
                check=True,
                capture_output=True,
            )
            connection.execute(
                "UPDATE workers SET seen_at = clock_timestamp() + interval '9 s' WHERE id = 'old'"
            )
            checks = {check["name"]: check for check in own.json("doctor", code=1)["checks"]}
            connection.execute("DELETE FROM workers WHERE id = 'old'; DELETE FROM breakers")
        states_of = {name: check["state"] for name, check in checks.items()}
        assert [states_of[name] for name in ("recovery", "schedules")] == ["failed", "failed"]
        warned = ("dead letters", "breakers", "late runs", "auto-pause", "versions")
        assert [states_of[name] for name in warned] == ["warning"] * 5
        assert {states_of["clock"], states_of["retention"], states_of["keys"]} == {"ok"}
        assert checks["recovery"]["found"].startswith("1 alarm differs")
        for name in (*warned[:4], "recovery"):
            words = checks[name]["hint"].split()
            assert words.pop(0) == "activityctl"
            own(*words)
        healed = {check["name"]: check for check in own.json("doctor", code=1)["checks"]}
        assert healed["recovery"]["state"] == "ok"
    for name in ("breaks", "waits"):
        own("delete", "sub", name, "--yes")


def test_doctor_reports_a_schema_of_another_version(own: Any):
    with psycopg.connect(database_url(own), autocommit=True) as connection:
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        assert row is not None
        for version, hint in (("9999", "install"), ("0001", "activityctl down")):
            connection.execute("UPDATE alembic_version SET version_num = %s", (version,))
            try:
                check = until(lambda: schema_check(own))
            finally:
                connection.execute("UPDATE alembic_version SET version_num = %s", row)
            found = f"version {version}, this package needs {row[0]}"
            assert (check["state"], check["found"]) == ("failed", found)
            assert check["hint"].startswith(hint)


def test_an_apply_without_an_answer_of_temporal_reports_it_and_exits_8_with_wait(own: Any):
    timed = MANIFEST.replace(
        "  tasks:", '  triggers: [{name: yearly, cron: {schedule: "0 3 1 1 *"}}]\n  tasks:'
    )
    (own.folder / "timed.yaml").write_text(timed)
    apply = ("apply", "-f", "timed.yaml", "--timeout", "2s")
    with frozen(own, "temporal"):
        done = own(*apply, "--wait", code=8)
        assert "1 alarm is not yet updated in Temporal: a worker is running" in done.stderr
        assert "configured" in done.stdout
        assert "1 alarm is not yet updated in Temporal" in own(*apply, code=0).stderr
        until(lambda: own.json("get", "schedules")["items"][0]["status"] == "error")
        done = own(*apply, "--wait", code=8)
        assert "Temporal did not answer in time for 1 alarm" in done.stderr
        assert "refused" not in done.stderr
    assert own(*apply, "--timeout", "60s", "--wait").stderr.strip() == "2 unchanged"
