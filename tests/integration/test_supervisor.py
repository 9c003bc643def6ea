"""The local daemon with real servers, and with sleeping processes as worker and API."""

import os
import signal
import socket
import stat
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from urllib.request import Request

import psutil
import psycopg
import pytest

from activityctl.daemon.local.detached import start_detached
from activityctl.daemon.local.embedded_postgres import processes_of
from activityctl.daemon.local.state import ComponentStatus, DaemonState, read_state, read_status
from activityctl.daemon.local.supervised_process import end_processes, orphan_processes
from activityctl.daemon.local.supervisor import stop_daemon
from activityctl.errors import UnreachableError
from support.prepared_home import prepare
from support.temporal_http import SIMPLE, START, temporal_api, temporal_http

pytestmark = pytest.mark.slow

NAMES = ["postgres", "temporal", "worker", "api"]
DRIVER = """
import asyncio, os, sys, psycopg
from pathlib import Path
from activityctl.daemon.local.child_spec import ChildSpec
from activityctl.daemon.local.supervisor import Hooks, supervise
from activityctl.errors import ActivityctlError

WORKER = "import subprocess; subprocess.Popen(['sleep', '1000'], start_new_session=True);"
SERVE = "import pathlib, time; pathlib.Path('worker.up').touch(); time.sleep(1000)"

async def migrate(url):
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute("CREATE TABLE IF NOT EXISTS kept (start serial)")
        await connection.execute("INSERT INTO kept DEFAULT VALUES")

async def main(home, worker):
    up = Path(home, "worker.up")
    up.unlink(missing_ok=True)

    async def ready(addresses, _):
        return "database_url" in addresses and up.exists()

    code = (worker or WORKER) + SERVE
    children = [
        ChildSpec("worker", (sys.executable, "-c", code), ready=ready, drain=2.0),
        ChildSpec("api", (sys.executable, "-m", "http.server", "-b", "127.0.0.1", "{port}"), True),
    ]
    try:
        shows_ui = "SHOWS_UI" in os.environ
        await supervise(Path(home), children, Hooks(migrate), os.environ, shows_ui=shows_ui)
    except ActivityctlError as error:
        sys.exit(f"{error.code}: {error.message}")

asyncio.run(main(*sys.argv[1:]))
"""


class Home:
    """A home, and the daemons that a test starts in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.started: list[subprocess.Popen[str]] = []

    def command(self, worker: str = "") -> list[str]:
        return [sys.executable, "-c", DRIVER, str(self.path), worker]

    def start(self, worker: str = "") -> subprocess.Popen[str]:
        process = subprocess.Popen(self.command(worker), stderr=subprocess.PIPE, text=True)
        self.started.append(process)
        return process

    def up(self) -> DaemonState:
        process = self.start()
        wait_until(lambda: process.poll() is not None or self.is_ready(process.pid), 90)
        assert process.poll() is None, process.communicate()
        return read_state(self.path)

    def is_ready(self, pid: int) -> bool:
        state = read_state(self.path)
        return state.ready and state.supervisor is not None and state.supervisor.pid == pid

    def part(self, name: str) -> ComponentStatus:
        return next(part for part in read_status(self.path) if part.name == name)

    def came_back(self, name: str) -> bool:
        part = self.part(name)
        return part.restarts == 1 and part.state == "running"

    def living(self) -> list[psutil.Process]:
        return [*orphan_processes(self.path), *processes_of(self.path / "postgres")]

    def close(self) -> None:
        for process in self.started:
            process.kill()
            process.communicate(timeout=60)
        end_processes(self.living(), signal.SIGKILL)


@pytest.fixture
def new_home(tmp_path: Path) -> Iterator[Home]:
    home = Home(tmp_path / "home")
    yield home
    home.close()


@pytest.fixture
def home(new_home: Home) -> Home:
    """A home whose database is ready, so that a start is quicker than the first one."""
    prepare(new_home.path)
    return new_home


@pytest.fixture(scope="module")
def looked_at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A home whose daemon runs, for tests that neither stop nor kill anything of it."""
    home = Home(prepare(tmp_path_factory.mktemp("looked_at")))
    home.up()
    yield home
    home.close()


def wait_until(holds: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not true after {seconds} s"
        time.sleep(0.03)


def rows(state: DaemonState) -> int:
    with psycopg.connect(state.addresses["database_url"]) as connection:
        found = connection.execute("SELECT count(*) FROM kept").fetchone()
    assert found is not None
    return int(found[0])


def setting(state: DaemonState, name: str) -> str:
    with psycopg.connect(state.addresses["database_url"]) as connection:
        found = connection.execute("SELECT current_setting(%s)", (name,)).fetchone()
    assert found is not None
    return str(found[0])


def start_workflow(state: DaemonState, name: str) -> None:
    body = {"workflowType": {"name": "Kept"}, "taskQueue": {"name": "none"}}
    temporal_api(state, f"workflows/{name}", body)


def test_a_web_page_cannot_start_workflows_and_there_is_no_page_of_temporals(looked_at: Home):
    """A browser sends a simple POST, such as text/plain, across sites without asking first."""
    state = read_state(looked_at.path)
    port = state.ports["temporal_http"]
    for host in (f"127.0.0.1:{port}", f"localhost:{port}", "evil.example", "localhost"):
        assert temporal_http(state, "workflows/stolen", START, host=host, **SIMPLE)[0] == 403
        assert temporal_http(state, "workflows", host=host)[0] == 403
    assert not temporal_api(state, "workflows").get("executions")
    temporal = psutil.Process(looked_at.part("temporal").pid)
    assert "--headless" in temporal.cmdline()


def test_the_page_of_temporal_runs_on_request(home: Home, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SHOWS_UI", "1")
    state = home.up()
    assert urllib.request.urlopen(state.addresses["temporal_ui"], timeout=60).status == 200
    url = f"{state.addresses['temporal_ui']}/api/v1/namespaces/default/workflows/stolen"
    request = Request(url, START, SIMPLE)
    with pytest.raises(urllib.error.HTTPError, match="400"):  # the page's token is missing
        urllib.request.urlopen(request, timeout=60)


def test_a_first_start_is_private_and_a_stop_signal_leaves_no_process(new_home: Home):
    state = new_home.up()
    assert [(part.name, part.state) for part in state.components] == [
        (name, "running") for name in NAMES
    ]
    assert all(part.pid and psutil.pid_exists(part.pid) for part in state.components)
    assert [new_home.part(name).version[:1] for name in NAMES[:2]] == ["1", "1"]
    assert rows(state) == 1
    assert [setting(state, name) for name in ("fsync", "TimeZone")] == ["on", "UTC"]
    start_workflow(state, "seen")
    assert temporal_api(state, "workflows/seen")["workflowExecutionInfo"]["type"]["name"] == "Kept"
    assert urllib.request.urlopen(state.addresses["api"], timeout=60).status == 200
    assert "temporal_ui" not in state.addresses
    assert stat.S_IMODE(new_home.path.stat().st_mode) == 0o700
    for name in (
        "daemon.json",
        "postgres.password",
        "postgres.owner-password",
        "temporal.db",
        "logs/postgres.log",
    ):
        assert stat.S_IMODE((new_home.path / name).stat().st_mode) == 0o600
    listened = [
        link.laddr.ip
        for process in new_home.living()
        for link in process.net_connections("inet")
        if link.status == psutil.CONN_LISTEN
    ]
    assert listened
    assert set(listened) == {"127.0.0.1"}

    new_home.started[0].send_signal(signal.SIGTERM)
    assert new_home.started[0].wait(60) == 0
    assert new_home.living() == []
    after = read_state(new_home.path)
    assert {part.state for part in after.components} == {"stopped"}
    assert after.addresses == {}


def test_a_wrong_password_is_refused(looked_at: Home):
    url = read_state(looked_at.path).addresses["database_url"].replace("_owner:", "_owner:x", 1)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(url)


def test_a_second_start_is_refused_and_the_first_daemon_goes_on(looked_at: Home):
    home, first = looked_at, read_state(looked_at.path)
    assert first.supervisor is not None
    second = home.start()
    _, error_output = second.communicate(timeout=60)
    assert second.returncode == 1
    pid = first.supervisor.pid
    assert f"conflict: a daemon already runs for {home.path} (pid {pid})" in error_output
    assert read_state(home.path) == first
    assert rows(first) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="PostgreSQL refuses only root")
def test_as_root_the_server_runs_as_another_account_and_folders_stay_private(looked_at: Home):
    home, state = looked_at, read_state(looked_at.path)
    server = psutil.Process(home.part("postgres").pid)
    assert server.uids().real == server.uids().effective != 0
    assert stat.S_IMODE(home.path.stat().st_mode) == 0o700
    assert home.path.stat().st_uid == 0
    with psycopg.connect(state.addresses["database_url"]) as connection:
        target = home.path / "intruder"
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(f"COPY kept TO '{target}'")


def test_a_killed_component_is_restarted_with_its_data(home: Home):
    state = home.up()
    start_workflow(state, "kept")
    for name in NAMES:
        before = home.part(name)
        assert before.pid is not None
        os.kill(before.pid, signal.SIGKILL)
        wait_until(partial(home.came_back, name), 60)
        assert home.part(name).pid != before.pid
        assert "SIGKILL" in (home.part(name).last_error or "")
    assert read_state(home.path).addresses == state.addresses
    assert rows(state) == 1
    assert temporal_api(state, "workflows/kept")["workflowExecutionInfo"]["type"]["name"] == "Kept"
    sleeps = [process for process in orphan_processes(home.path) if process.name() == "sleep"]
    assert len(sleeps) == 1, "the child process of the killed worker is ended before the restart"


@pytest.mark.parametrize("victims", ["all", "supervisor", "supervisor and postmaster"])
def test_the_next_start_after_a_kill_works_and_keeps_the_data(home: Home, victims: str):
    state = home.up()
    start_workflow(state, "kept")
    killed = [home.started[0].pid]
    if victims == "all":
        killed += [process.pid for process in home.living()]
    elif victims == "supervisor and postmaster":
        killed.append(home.part("postgres").pid or 0)
    before = home.living()
    for pid in killed:
        with suppress(ProcessLookupError):  # it ended with those before it
            os.kill(pid, signal.SIGKILL)
    home.started[0].wait()

    again = home.up()
    assert again.addresses == state.addresses
    assert rows(again) == 2
    assert temporal_api(again, "workflows/kept")["workflowExecutionInfo"]["type"]["name"] == "Kept"
    assert not set(before) & set(home.living())


def test_a_stop_after_the_supervisor_was_killed_ends_all_processes(home: Home):
    home.up()
    home.started[0].kill()
    home.started[0].wait()
    assert {part.state for part in read_status(home.path)} == {"running"}
    assert [part.name for part in stop_daemon(home.path)] == NAMES
    assert home.living() == []
    assert {part.state for part in read_status(home.path)} == {"stopped"}
    assert stop_daemon(home.path) == ()


def test_two_homes_share_no_port_and_stop_independently(home: Home, looked_at: Home):
    state, neighbour = home.up(), read_state(looked_at.path)
    assert not set(state.ports.values()) & set(neighbour.ports.values())
    stop_daemon(home.path)
    assert home.living() == []
    assert rows(neighbour) == 1
    assert {part.state for part in read_status(looked_at.path)} == {"running"}


def test_a_port_that_another_process_has_taken_is_replaced(home: Home):
    state = home.up()
    stop_daemon(home.path)
    with socket.create_server(("127.0.0.1", state.ports["postgres"])):
        again = home.up()
    assert again.ports["postgres"] != state.ports["postgres"]
    assert again.ports["temporal"] == state.ports["temporal"]
    assert rows(again) == 2


def test_a_failed_start_gives_a_reason_and_leaves_no_process(home: Home):
    process = home.start(worker="raise SystemExit('no such queue');")
    _, error_output = process.communicate(timeout=60)
    assert process.returncode == 1
    assert (
        "unreachable: worker ended while it was starting (exit code 1): no such queue"
        in error_output
    )
    assert home.living() == []
    assert home.part("worker").last_error is not None
    assert read_state(home.path).addresses == {}


def test_a_signal_during_the_first_start_leaves_no_process_and_no_broken_data(new_home: Home):
    process = new_home.start()
    wait_until((new_home.path / "postgres.new").exists, 60)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0
    assert new_home.living() == []
    assert rows(new_home.up()) == 1


def test_after_a_second_signal_the_stop_does_not_wait_for_a_hanging_worker(home: Home):
    process = home.start(worker="import signal; signal.signal(15, signal.SIG_IGN);")
    wait_until(lambda: home.is_ready(process.pid), 90)
    for _ in range(2):
        process.send_signal(signal.SIGTERM)
        time.sleep(0.1)
    process.wait(60)
    assert home.living() == []
    assert rows(home.up()) == 2


def test_a_detached_start_returns_when_all_runs_or_gives_a_reason(home: Home):
    state = start_detached(home.path, home.command(), os.environ)
    assert state.ready
    with pytest.raises(UnreachableError, match="conflict: a daemon already runs"):
        start_detached(home.path, home.command(), os.environ)
    assert [part.name for part in stop_daemon(home.path)] == ["supervisor", *NAMES]
    assert home.living() == []
