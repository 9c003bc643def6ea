"""The ports of the daemon's processes, as the system knows them."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from activityctl.adapters.daemon_ports import DaemonPorts
from activityctl.errors import UnreachableError
from activityctl.process_identity import process_identity
from activityctl.settings import DAEMON_FILE

SERVER = """
import socket, time
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
time.sleep(60)
"""
PARENT = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {SERVER!r}])"


@pytest.fixture
def parent() -> Iterator[tuple[int, int]]:
    """The pid of a process, and the port of its child."""
    command = [sys.executable, "-c", PARENT]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        family = [*psutil.Process(process.pid).children(), psutil.Process(process.pid)]
        yield process.pid, port
        for each in family:
            with suppress(psutil.NoSuchProcess):
                each.kill()


def identity(pid: int) -> dict[str, Any]:
    return {"pid": pid, "create_time": psutil.Process(pid).create_time()}


def part(name: str, state: str, **process: Any) -> dict[str, Any]:
    return {"name": name, "state": state, "pid": None, "create_time": None, **process}


def write(home: Path, **document: Any) -> None:
    (home / DAEMON_FILE).write_text(json.dumps({"ports": {"postgres": 5}, **document}))


async def test_a_home_without_a_daemon_has_no_ports(tmp_path: Path):
    assert await DaemonPorts(tmp_path).listening() == frozenset()


async def test_a_process_that_the_file_does_not_have_yet_is_found(
    tmp_path: Path, parent: tuple[int, int]
):
    pid, port = parent
    known = process_identity(pid)
    assert known is not None
    write(tmp_path, supervisor={**known.model_dump(), "create_time": 1.0}, components=[])
    assert await DaemonPorts(tmp_path).listening() == {5, port}  # the clock was set
    for state in ("starting", "backoff", "running"):  # the last one: a file that is out of date
        write(tmp_path, supervisor=identity(pid), components=[part("temporal", state)])
        assert await DaemonPorts(tmp_path).listening() == {5, port}


async def test_an_answer_is_kept_only_while_nothing_starts_or_ends(
    tmp_path: Path, parent: tuple[int, int]
):
    pid, port = parent
    (child,) = psutil.Process(pid).children()
    write(tmp_path, components=[part("temporal", "running", **identity(child.pid))])
    ports = DaemonPorts(tmp_path)
    assert await ports.listening() == {5, port}
    child.kill()
    child.wait()
    assert await ports.listening() == {5}


@pytest.mark.parametrize("name", ["temporal", "postgres"])
async def test_a_process_that_cannot_be_looked_at_is_an_error_if_no_file_has_its_ports(
    tmp_path: Path, parent: tuple[int, int], name: str, monkeypatch: pytest.MonkeyPatch
):
    def denied(process: psutil.Process, _kind: str) -> None:
        raise psutil.AccessDenied(process.pid)

    monkeypatch.setattr(psutil.Process, "net_connections", denied)
    write(tmp_path, components=[part(name, "running", **identity(parent[0]))])
    if name == "postgres":
        assert await DaemonPorts(tmp_path).listening() == {5}
        return
    with pytest.raises(UnreachableError, match=r"the ports of process \d+ \(temporal\)"):
        await DaemonPorts(tmp_path).listening()
