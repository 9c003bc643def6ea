"""A worker against external servers: it starts no embedded server, and commands exit cleanly."""

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

COMMAND = str(Path(sys.executable).parent / "activityctl")
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
    return subprocess.run(
        [COMMAND, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_worker_uses_the_configured_servers(environment: dict[str, str], tmp_path: Path):
    (tmp_path / "far.yaml").write_text(MANIFEST)
    applied = call(environment, "apply", "-f", str(tmp_path / "far.yaml"))
    assert applied.returncode == 0, applied.stderr
    waiting = call(environment, "trigger", "far", "--key", "early", "-o", "name")
    assert "no worker is running; the run starts when a worker starts" in waiting.stderr
    worker = subprocess.Popen(
        [COMMAND, "worker", "--migrate"], env=environment, stderr=subprocess.PIPE, text=True
    )
    try:
        deadline = time.monotonic() + 30
        while "far" not in call(environment, "get", "runs", "--status", "succeeded").stdout:
            assert time.monotonic() < deadline
            time.sleep(0.3)
        assert call(environment, "trigger", "far").returncode == 0
    finally:
        worker.send_signal(signal.SIGTERM)
        _, log = worker.communicate(timeout=30)
    assert worker.returncode == 0, log
    assert "worker stopped" in log
    assert not (tmp_path / "home" / "daemon.json").exists()
    assert "name a database" in call(environment, "up", "-d").stderr


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
    """The SDK crashes about one in ten exits of the interpreter; EXITS=200 tries more often."""
    count = int(os.environ.get("EXITS", "24"))

    def code(_: int) -> int:
        return call(environment, "doctor").returncode

    with ThreadPoolExecutor(4) as pool:
        codes = Counter(pool.map(code, range(count)))
    assert set(codes) == {1}, codes  # no worker is running, so each exits 1, never -11 or -6
