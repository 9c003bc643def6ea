"""`daemon.json`, the lock of a home, and processes that reuse a pid."""

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from activityctl.daemon.local.doctor import daemon_check
from activityctl.daemon.local.state import (
    ComponentState,
    ComponentStatus,
    DaemonState,
    HomeLock,
    all_stopped,
    lock_holder,
    lock_is_held,
    open_home,
    read_state,
    read_status,
    surviving_processes,
    write_state,
)
from activityctl.errors import ConflictError, NotAllowedError
from activityctl.process_identity import ProcessIdentity, find_process, process_identity
from activityctl.settings import load_settings

RUNNING = ComponentState.RUNNING
ADDRESSES = {
    "database_url": "postgresql://activityctl:secret@127.0.0.1:20001/activityctl",
    "temporal_address": "127.0.0.1:20002",
}


@pytest.fixture
def sleeper() -> Iterator[psutil.Process]:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield psutil.Process(process.pid)
        process.kill()


def component(name: str, process: psutil.Process, *, shift: float = 0.0) -> ComponentStatus:
    started = process.create_time() + shift
    return ComponentStatus(name=name, state=RUNNING, pid=process.pid, create_time=started)


def test_a_written_state_is_read_back_unchanged(tmp_path: Path):
    state = DaemonState(
        supervisor=ProcessIdentity(pid=7, create_time=1.5),
        components=(ComponentStatus(name="worker", state=RUNNING, restarts=2, last_error="x"),),
        addresses=ADDRESSES,
        ports={"postgres": 20001},
    )
    write_state(tmp_path, state)
    assert read_state(tmp_path) == state
    assert [path.name for path in tmp_path.iterdir()] == ["daemon.json"]


def test_only_the_owner_can_read_the_state_also_over_an_existing_file(tmp_path: Path):
    (tmp_path / "daemon.json").touch(mode=0o644)
    write_state(tmp_path, DaemonState(addresses=ADDRESSES))
    assert stat.S_IMODE((tmp_path / "daemon.json").stat().st_mode) == 0o600


def test_the_state_is_written_first_to_a_file_whose_name_nobody_can_guess(tmp_path: Path):
    for name in ("daemon.json.new", ".daemon.json.new"):
        (tmp_path / name).write_text("theirs")
    write_state(tmp_path, DaemonState(addresses=ADDRESSES))
    left = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert left.pop("daemon.json")
    assert left == {"daemon.json.new": "theirs", ".daemon.json.new": "theirs"}


def test_settings_find_the_daemon_only_while_it_runs(tmp_path: Path):
    environment = {"ACTIVITYCTL_HOME": str(tmp_path), "ACTIVITYCTL_CONFIG": "/nowhere"}
    write_state(tmp_path, DaemonState(addresses=ADDRESSES))
    settings = load_settings(environment=environment)
    assert settings.required_database_url() == ADDRESSES["database_url"]
    assert settings.required_temporal_address() == ADDRESSES["temporal_address"]
    write_state(tmp_path, DaemonState())
    assert load_settings(environment=environment).database_url is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"components": 3}', '{"supervisor": "x"}'])
def test_a_broken_file_is_read_as_an_empty_state(tmp_path: Path, text: str):
    (tmp_path / "daemon.json").write_text(text)
    assert read_state(tmp_path) == DaemonState()
    assert read_status(tmp_path) == []


def test_unknown_fields_of_a_later_version_are_ignored(tmp_path: Path):
    (tmp_path / "daemon.json").write_text(
        '{"version": 2, "new": 1, "components": [{"name": "worker", "newer": true}]}'
    )
    assert [part.name for part in read_state(tmp_path).components] == ["worker"]


def test_a_new_home_is_private_and_an_existing_folder_keeps_its_permissions(tmp_path: Path):
    given = tmp_path / "given"
    given.mkdir()
    given.chmod(0o755)
    assert stat.S_IMODE(open_home(given).stat().st_mode) == 0o755
    assert stat.S_IMODE(open_home(tmp_path / "a" / "new").stat().st_mode) == 0o700


def test_a_home_that_cannot_be_created_is_refused_with_a_hint(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(NotAllowedError) as refusal:
        open_home(tmp_path / "file")
    assert refusal.value.hint == "set ACTIVITYCTL_HOME to a folder that you can write"


def test_a_process_with_the_reused_pid_of_a_killed_daemon_is_not_the_daemon(
    tmp_path: Path, sleeper: psutil.Process
):
    with HomeLock(tmp_path):
        (tmp_path / "daemon.lock").write_text(str(sleeper.pid))
        assert lock_holder(tmp_path) == sleeper.pid
        long_ago = sleeper.create_time() - 60
        os.utime(tmp_path / "daemon.lock", (long_ago, long_ago))
        assert lock_holder(tmp_path) is None


def test_a_second_daemon_is_refused_with_the_pid_of_the_first(tmp_path: Path):
    with HomeLock(tmp_path):
        assert lock_is_held(tmp_path)
        assert lock_holder(tmp_path) == os.getpid()
        with pytest.raises(ConflictError, match=f"already runs .*pid {os.getpid()}"):
            HomeLock(tmp_path).acquire()
    assert lock_holder(tmp_path) is None
    with HomeLock(tmp_path):
        assert lock_is_held(tmp_path)


def test_doctor_tells_components_without_a_supervisor_from_no_daemon_and_looks_at_them(
    tmp_path: Path, sleeper: psutil.Process
):
    part = ComponentStatus(name="postgres", state=ComponentState.RUNNING)
    write_state(tmp_path, DaemonState(components=(part,)))
    check, may_answer = daemon_check(tmp_path)
    assert (check.found, check.hint, may_answer) == ("not running", "activityctl up -d", False)
    alive = part.with_process(process_identity(sleeper.pid))
    write_state(tmp_path, DaemonState(components=(alive,)))
    check, may_answer = daemon_check(tmp_path)
    assert (check.state, check.found.partition(",")[0]) == (
        "failed",
        "the supervisor is not running",
    )
    assert (check.hint, may_answer) == ("activityctl down && activityctl up -d", True)
    with HomeLock(tmp_path):
        check, may_answer = daemon_check(tmp_path)
        assert (check.state, may_answer) == ("ok", True)


def test_homes_do_not_share_a_lock(tmp_path: Path):
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    with HomeLock(tmp_path / "one"):
        assert not lock_is_held(tmp_path / "two")


def test_a_killed_holder_frees_its_lock(tmp_path: Path):
    code = (
        "import pathlib, sys; from activityctl.daemon.local.state import HomeLock;"
        "HomeLock(pathlib.Path(sys.argv[1])).acquire(); print('held', flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        assert lock_holder(tmp_path) == holder.pid
        holder.kill()
        holder.wait()
        assert not lock_is_held(tmp_path)


def test_a_process_is_known_again_after_the_clock_was_set(
    tmp_path: Path, sleeper: psutil.Process, monkeypatch: pytest.MonkeyPatch
):
    started = process_identity(sleeper.pid)
    assert started is not None
    worker = ComponentStatus(name="worker", state=RUNNING).with_process(started)
    with HomeLock(tmp_path):
        write_state(
            tmp_path,
            DaemonState(supervisor=process_identity(os.getpid()), components=(worker,)),
        )
        real = psutil.Process.create_time
        monkeypatch.setattr(psutil.Process, "create_time", lambda each: real(each) + 3600)
        state = read_state(tmp_path)
        assert find_process(state.supervisor) is not None
        assert surviving_processes(state) == (sleeper,)
        assert read_status(tmp_path) == [worker]
        assert lock_holder(tmp_path) == os.getpid()
    assert started.start_key is not None
    for other in ("another-boot 1", f"{started.start_key}0"):
        assert find_process(started.model_copy(update={"start_key": other})) is None


def test_surviving_processes_are_the_stored_ones_not_those_with_a_reused_pid(
    sleeper: psutil.Process,
):
    kept = DaemonState(components=(component("worker", sleeper),))
    reused = DaemonState(components=(component("worker", sleeper, shift=-60.0),))
    assert surviving_processes(kept) == (sleeper,)
    assert surviving_processes(reused) == ()


def test_a_process_that_ended_is_not_found(sleeper: psutil.Process):
    mark = process_identity(sleeper.pid)
    assert find_process(mark) == sleeper
    sleeper.kill()
    sleeper.wait(5)
    assert find_process(mark) is None
    assert process_identity(sleeper.pid) is None


def test_status_shows_a_component_without_its_process_as_stopped(
    tmp_path: Path, sleeper: psutil.Process
):
    gone = component("api", sleeper, shift=-60.0)
    write_state(tmp_path, DaemonState(components=(component("worker", sleeper), gone)))
    worker, api = read_status(tmp_path)
    assert (worker.state, worker.pid) == (RUNNING, sleeper.pid)
    assert (api.state, api.pid) == (ComponentState.STOPPED, None)


def test_a_waiting_component_is_stopped_when_its_supervisor_has_ended(tmp_path: Path):
    waiting = ComponentStatus(name="worker", state=ComponentState.BACKOFF, last_error="SIGKILL")
    mine = process_identity(os.getpid())
    write_state(tmp_path, DaemonState(supervisor=mine, components=(waiting,)))
    assert read_status(tmp_path)[0].state is ComponentState.BACKOFF
    write_state(tmp_path, DaemonState(components=(waiting,)))
    assert read_status(tmp_path)[0].state is ComponentState.STOPPED


def test_a_failed_component_keeps_its_reason_when_all_is_stopped(sleeper: psutil.Process):
    failed = ComponentStatus(name="api", state=ComponentState.FAILED, last_error="no port")
    worker, api = all_stopped((component("worker", sleeper), failed))
    assert (worker.state, worker.pid) == (ComponentState.STOPPED, None)
    assert api == failed
