"""A worker against external servers: it starts no embedded server, and commands exit cleanly."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from support.forked import COMMAND, run_command

SAMPLES = Path(__file__).parents[2] / "definitions"
MANIFEST = """
apiVersion: activityctl/v1
kind: ActivityDefinition
metadata: {name: far}
spec: {tasks: [{name: one, command: {argv: [echo, far]}}]}
---
apiVersion: activityctl/v1
kind: Subscription
metadata: {name: far}
spec: {activity: far}
"""

pytestmark = pytest.mark.slow


@pytest.fixture
def environment(servers: dict[str, str], database_url: str, tmp_path: Path) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("ACTIVITYCTL_")}
    return {
        **kept,
        "ACTIVITYCTL_HOME": str(tmp_path / "home"),
        "ACTIVITYCTL_DATABASE_URL": database_url,
        "TEMPORAL_ADDRESS": servers["temporal_address"],
        "ACTIVITYCTL_ALLOW_COMMANDS": "true",
    }


def call(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return run_command(*arguments, environment=environment, timeout=60)


def test_a_worker_uses_the_configured_servers(environment: dict[str, str], tmp_path: Path):
    (tmp_path / "far.yaml").write_text(MANIFEST)
    applied = call(environment, "apply", "-f", str(tmp_path / "far.yaml"))
    assert applied.returncode == 0, applied.stderr
    waiting = call(environment, "trigger", "far", "--key", "early", "-o", "name")
    assert "no worker is running; the run starts when a worker starts" in waiting.stderr
    assert_the_target_is_named(environment, applied)
    assert_nothing_works_there(environment)
    worker = subprocess.Popen(
        [COMMAND, "worker", "--migrate"], env=environment, stderr=subprocess.PIPE, text=True
    )
    try:
        deadline = time.monotonic() + 90
        while "far" not in call(environment, "get", "runs", "--status", "succeeded").stdout:
            assert time.monotonic() < deadline
            time.sleep(0.3)
        assert call(environment, "trigger", "far").returncode == 0
        assert_a_worker_is_seen(environment)
        assert_the_samples_run(environment)
    finally:
        worker.send_signal(signal.SIGTERM)
        _, log = worker.communicate(timeout=60)
    assert worker.returncode == 0, log
    assert "worker stopped" in log
    assert not (tmp_path / "home" / "daemon.json").exists()
    assert "name a database" in call(environment, "up", "-d").stderr


def assert_the_target_is_named(
    environment: dict[str, str], applied: subprocess.CompletedProcess[str]
) -> None:
    name = environment["ACTIVITYCTL_DATABASE_URL"].rpartition("/")[2]
    for done in (applied, call(environment, "pause", "far"), call(environment, "resume", "far")):
        first = done.stderr.splitlines()[0]
        named = f"target: environment ACTIVITYCTL_DATABASE_URL, database {name} at 127.0.0.1:"
        assert first.startswith(named)
    assert "target: " not in call(environment, "get", "runs").stderr


def assert_the_samples_run(environment: dict[str, str]) -> None:
    applied = call(environment, "apply", "-f", str(SAMPLES))
    assert applied.returncode == 0, applied.stderr
    run = call(environment, "trigger", "disk-report", "--wait")
    assert run.returncode == 0, run.stderr
    assert call(environment, "plan", "-f", str(SAMPLES), "--detailed-exitcode").returncode == 0


def assert_nothing_works_there(environment: dict[str, str]) -> None:
    status = call(environment, "status", "-o", "json")
    parts = {part["name"]: part["state"] for part in json.loads(status.stdout)["components"]}
    assert parts == {"postgres": "running", "temporal": "running", "worker": "stopped"}
    assert status.returncode == 1
    assert "activityctl up" not in status.stderr
    assert json.loads(call(environment, "get", "workers", "-o", "json").stdout)["items"] == []
    wait = ("--wait", "--timeout", "1s")
    for words in (
        ("trigger", "far", "--key", "early", *wait),
        ("emit", "--type", "far.seen", "--data", "{}", *wait),
    ):
        done = call(environment, *words)
        assert done.returncode == 8, done.stderr
        assert "no worker is running, waiting for one" in done.stderr
        assert "after 1s" in done.stderr
        assert done.stderr.count("no worker is running") == 2


def assert_a_worker_is_seen(environment: dict[str, str]) -> None:
    assert call(environment, "status").returncode == 0
    (worker,) = json.loads(call(environment, "get", "workers", "-o", "json").stdout)["items"]
    assert worker["status"] == "running"
    assert call(environment, "get", "workers", worker["id"][:8]).returncode == 0
    assert call(environment, "doctor").returncode == 0


UNREACHABLE = {
    "ACTIVITYCTL_DATABASE_URL": "postgresql://u@127.0.0.1:1/x",
    "TEMPORAL_ADDRESS": "127.0.0.1:1",
}


def test_servers_that_do_not_answer_are_reported_in_plain_words(environment: dict[str, str]):
    away = {**environment, **UNREACHABLE}
    for words, code in ((("status",), 7), (("doctor",), 1), (("get", "runs"), 7)):
        done = call(away, *words)
        assert done.returncode == code
        said = done.stdout + done.stderr
        assert "Postgres does not answer: nothing listens at 127.0.0.1:1" in said
        hints = [line for line in done.stderr.splitlines() if line.startswith("hint: ")]
        assert hints
        assert not [line for line in hints if line.endswith(f"activityctl {words[0]}")]
        assert "activityctl up" not in said
        assert "tonic" not in said
        if words != ("get", "runs"):
            assert "Temporal does not answer at 127.0.0.1:1: nothing listens there" in said


def test_a_database_without_a_schema_is_reported(environment: dict[str, str], database_url: str):
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    done = call(environment, "get", "runs")
    assert done.returncode == 1
    assert "hint: activityctl worker --migrate" in done.stderr


def test_a_diff_against_a_database_without_a_schema_is_an_error(
    environment: dict[str, str], database_url: str, tmp_path: Path
):
    (tmp_path / "far.yaml").write_text(MANIFEST)
    assert call(environment, "diff", "-f", str(tmp_path)).returncode == 1
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    done = call(environment, "diff", "-f", str(tmp_path))
    assert done.returncode == 7
    assert (done.stdout, "hint: activityctl worker --migrate" in done.stderr) == ("", True)


def test_commands_that_use_the_client_of_temporal_exit_with_their_code(environment: dict[str, str]):
    """The SDK crashes about one in ten times that the interpreter takes everything down at its end.

    So it must not do that. EXITS=200 tries many real ends, which never are -11 or -6.
    """
    program = (
        "import atexit; atexit.register(print, 'taken down');"
        "from activityctl.cli.main import main; main(['doctor'])"
    )
    commands = [[sys.executable, "-c", program]]
    commands += [[str(COMMAND), "doctor"]] * int(os.environ.get("EXITS", "2"))

    def ended(command: list[str]) -> tuple[int, bool]:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=90, check=False
        )
        assert "worker" in done.stdout
        return done.returncode, "taken down" in done.stdout

    with ThreadPoolExecutor(4) as pool:
        ends = Counter(pool.map(ended, commands))
    assert set(ends) == {(1, False)}, ends  # no worker is running, so each exits 1
