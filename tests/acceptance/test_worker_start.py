"""How a worker starts: it refuses a database that it cannot use, and a signal always ends it."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

COMMAND = str(Path(sys.executable).parent / "activityctl")

pytestmark = pytest.mark.slow


@pytest.fixture
def environment(servers: dict[str, str], tmp_path: Path) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("ACTIVITYCTL_")}
    return {
        **kept,
        "ACTIVITYCTL_HOME": str(tmp_path / "home"),
        "TEMPORAL_ADDRESS": servers["temporal_address"],
    }


@pytest.fixture
def empty_database_url(servers: dict[str, str]) -> Iterator[str]:
    server = servers["database_url"].rsplit("/", 1)[0]
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute("CREATE DATABASE bare TEMPLATE template0")
        yield f"{server}/bare"
        connection.execute("DROP DATABASE bare WITH (FORCE)")


@pytest.fixture
def silent_server() -> Iterator[socket.socket]:
    """A server that never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(60)
        yield listening


@pytest.mark.parametrize("version", [None, "0003", "9999"])
def test_a_worker_refuses_a_database_without_its_schema(
    environment: dict[str, str], empty_database_url: str, version: str | None
):
    if version is not None:
        with psycopg.connect(empty_database_url, autocommit=True) as connection:
            connection.execute("CREATE TABLE alembic_version (version_num text)")
            connection.execute("INSERT INTO alembic_version VALUES (%s)", (version,))
    done = subprocess.run(
        [COMMAND, "worker"],
        env={**environment, "ACTIVITYCTL_DATABASE_URL": empty_database_url},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "worker ready" not in done.stderr
    assert "this version of activityctl needs schema" in done.stderr
    assert ("activityctl worker --migrate" in done.stderr) == (version != "9999")


@pytest.mark.parametrize("silent", ["ACTIVITYCTL_DATABASE_URL", "TEMPORAL_ADDRESS"])
def test_a_worker_that_waits_for_a_server_ends_on_sigterm(
    environment: dict[str, str], database_url: str, silent_server: socket.socket, silent: str
):
    address = f"127.0.0.1:{silent_server.getsockname()[1]}"
    values = {
        "ACTIVITYCTL_DATABASE_URL": f"postgresql://nobody@{address}/nothing",
        "TEMPORAL_ADDRESS": address,
    }
    worker = subprocess.Popen(
        [COMMAND, "worker"],
        env={**environment, "ACTIVITYCTL_DATABASE_URL": database_url, silent: values[silent]},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        connection, _ = silent_server.accept()
        time.sleep(0.5)
        assert worker.poll() is None
        worker.send_signal(signal.SIGTERM)
        began = time.monotonic()
        _, output = worker.communicate(timeout=30)
        assert time.monotonic() - began < 5
        assert worker.returncode == 0, output
        assert "worker stopped before it was ready" in output
        connection.close()
    finally:
        worker.kill()
