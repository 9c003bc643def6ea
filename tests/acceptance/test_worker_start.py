"""How a worker starts: it refuses a database that it cannot use, and a signal always ends it."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from activityctl.adapters.postgres.schema.migrate import _LOCK_KEY
from activityctl.daemon.worker.stopping import LAST_SECONDS

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
        timeout=120,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "worker ready" not in done.stderr
    assert "this version of activityctl needs schema" in done.stderr
    assert ("activityctl worker --migrate" in done.stderr) == (version != "9999")


def test_a_worker_that_waits_for_the_lock_of_migrations_ends_on_sigterm(
    environment: dict[str, str], empty_database_url: str
):
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", (_LOCK_KEY,))
        worker = subprocess.Popen(
            [COMMAND, "worker", "--migrate"],
            env={**environment, "ACTIVITYCTL_DATABASE_URL": empty_database_url},
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            assert worker.stderr is not None
            assert "holds the lock of migrations; waiting" in worker.stderr.readline()
            worker.send_signal(signal.SIGTERM)
            _, output = worker.communicate(timeout=60)
            assert worker.returncode == 0, output
            assert "worker stopped before it was ready" in output
        finally:
            worker.kill()


def troubles_until(database_url: str, *wanted: str) -> dict[str, str]:
    """Return the errors of the loops of the one worker, once all of these loops fail."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            rows = connection.execute("SELECT troubles FROM workers").fetchall()
            found = {bad["loop"]: bad["error"] for row in rows for bad in row[0]}
            if found.keys() >= set(wanted):
                return found
            time.sleep(0.2)
    raise AssertionError(found)


def test_a_running_worker_tells_of_a_full_disk_and_of_a_newer_schema(
    environment: dict[str, str], database_url: str
):
    with Path("/dev/full").open("wb", buffering=0) as full:
        worker = subprocess.Popen(
            [COMMAND, "worker"],
            env={**environment, "ACTIVITYCTL_DATABASE_URL": database_url},
            stderr=full,
        )
    try:
        assert "No space left" in troubles_until(database_url, "log")["log"]
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute("UPDATE alembic_version SET version_num = '9999'")
        found = troubles_until(database_url, "log", "schema")
        assert "the database has schema 9999, which is newer" in found["schema"]
        assert worker.poll() is None
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(timeout=60) == 0
    finally:
        worker.kill()


class Wire:
    """A way to a server that a test can cut: it then stays open, and nothing comes through."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._is_cut = threading.Event()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listening.getsockname()[1]}"
        self._sockets = [self._listening]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                far = socket.create_connection(self._target)
                self._sockets += [near, far]
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=self._pass_on, args=pair, daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                if self._is_cut.is_set():
                    return
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def cut(self) -> None:
        self._is_cut.set()

    def close(self) -> None:
        for each in self._sockets:
            each.close()


@dataclass
class Wired:
    """A worker whose ways to its servers can be cut."""

    worker: subprocess.Popen[str]
    wires: dict[str, Wire]

    def end(self) -> None:
        self.worker.kill()
        for wire in self.wires.values():
            wire.close()


@pytest.fixture
def wired(
    environment: dict[str, str], servers: dict[str, str], database_url: str
) -> Iterator[dict[str, Wired]]:
    """Three workers that are ready, by what will be silent."""
    split = urlsplit(database_url)
    host, _, port = servers["temporal_address"].partition(":")
    login = split.netloc.rpartition("@")[0]
    made: dict[str, Wired] = {}
    try:
        for silent in ("postgres", "temporal", "both"):
            postgres, temporal = Wire(split.hostname or "", split.port or 0), Wire(host, int(port))
            url = split._replace(netloc=f"{login}@{postgres.address}").geturl()
            addresses = {"ACTIVITYCTL_DATABASE_URL": url, "TEMPORAL_ADDRESS": temporal.address}
            worker = subprocess.Popen(
                [COMMAND, "worker"],
                env={**environment, **addresses},
                stderr=subprocess.PIPE,
                text=True,
            )
            made[silent] = Wired(worker, {"postgres": postgres, "temporal": temporal})
        for each in made.values():
            assert each.worker.stderr is not None
            for line in each.worker.stderr:
                if "worker ready" in line:
                    break
        yield made
    finally:
        for each in made.values():
            each.end()


def test_a_running_worker_ends_on_sigterm_when_its_servers_no_longer_answer(
    wired: dict[str, Wired],
):
    for silent, each in wired.items():
        for name, wire in each.wires.items():
            if silent in {name, "both"}:
                wire.cut()
    time.sleep(3)  # so that their loops wait for an answer
    for each in wired.values():
        each.worker.send_signal(signal.SIGTERM)
    for silent, each in wired.items():
        _, output = each.worker.communicate(timeout=LAST_SECONDS + 60)
        assert "Traceback" not in output, silent
        assert each.worker.returncode in {0, 1}, output


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
        _, output = worker.communicate(timeout=60)
        assert time.monotonic() - began < 40
        assert worker.returncode == 0, output
        assert "worker stopped before it was ready" in output
        connection.close()
    finally:
        worker.kill()
