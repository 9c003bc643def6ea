"""A home that belongs to somebody else, or in which somebody else put links."""

import os
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from activityctl.daemon.local.own_files import open_own, require_own_folder
from activityctl.daemon.local.state import open_home
from activityctl.errors import ActivityctlError, NotAllowedError
from activityctl.private_file import write_private
from support.forked import run_command

NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


def up(home: Path) -> subprocess.CompletedProcess[str]:
    return run_command("--home", str(home), "up", "-d", environment=os.environ, timeout=120)


def is_refused(home: Path, reason: str) -> None:
    done = up(home)
    assert done.returncode != 0
    assert reason in done.stderr
    started = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
    assert not [command for command in started if str(home) in " ".join(command)]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    return home


def as_nobody(check: Callable[[], object]) -> str:
    """Return the message of the error that the check raises for another user; empty if none."""
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        try:
            check()
            text = ""
        except (ActivityctlError, OSError) as error:
            text = str(error)
        os.write(writing, text.encode())
        os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading) as answer:
        return answer.read()


@as_root
def test_root_does_not_use_the_home_of_another_user(home: Path):
    os.chown(home, NOBODY, NOBODY)
    is_refused(home, "belongs to another user")
    assert list(home.iterdir()) == []


@as_root
def test_root_does_not_run_the_cluster_of_another_user(home: Path):
    (home / "postgres").mkdir(mode=0o700)
    os.chown(home / "postgres", 12345, 12345)
    is_refused(home, "belongs to uid 12345, which is none of")


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702, 0o1777])
def test_a_home_that_others_may_write_is_refused(home: Path, mode: int):
    home.chmod(mode)
    is_refused(home, "other users may write")


def test_a_log_folder_that_others_may_write_is_refused(home: Path):
    (home / "logs").mkdir()
    (home / "logs").chmod(0o777)
    is_refused(home, "other users may write")


@pytest.mark.parametrize("name", ["logs", "logs/supervisor.log", "daemon.lock", "postgres"])
def test_a_link_in_the_home_is_not_followed(home: Path, tmp_path: Path, name: str):
    victim = tmp_path / "victim"
    if name in {"logs", "postgres"}:
        victim.mkdir()
    else:
        (home / "logs").mkdir(mode=0o700)
        victim.write_text("kept")
    (home / name).symlink_to(victim)
    done = up(home)
    assert done.returncode != 0
    assert "link" in done.stderr or "belongs to uid" in done.stderr
    assert victim.is_dir() or victim.read_text() == "kept"
    assert not victim.is_dir() or list(victim.iterdir()) == []


@as_root
@pytest.mark.parametrize("through_a_link", [False, True])
def test_a_home_that_another_user_can_exchange_is_refused(tmp_path: Path, *, through_a_link: bool):
    above = tmp_path / "above"
    (above / "home").mkdir(mode=0o700, parents=True)
    os.chown(above, NOBODY, NOBODY)
    home = above / "home"
    if through_a_link:
        home = tmp_path / "link"
        home.symlink_to(above / "home")
    with pytest.raises(NotAllowedError, match=f"above the home, belongs to uid {NOBODY}"):
        open_home(home)
    os.chown(above, 0, 0)
    above.chmod(0o777)
    with pytest.raises(NotAllowedError, match="can be written by all users"):
        open_home(home)
    above.chmod(0o1777)
    assert open_home(home) == above / "home"
    above.chmod(0o775)
    assert open_home(home) == above / "home"


def test_state_replaces_a_link_and_does_not_write_through_it(home: Path, tmp_path: Path):
    victim = tmp_path / "victim"
    victim.write_text("kept")
    for name in ("daemon.json", "daemon.json.new"):
        (home / name).symlink_to(victim)
    write_private(home / "daemon.json", "ours")
    assert victim.read_text() == "kept"
    assert (home / "daemon.json").read_text() == "ours"


@as_root
def test_another_user_does_not_use_the_home_of_root():
    folder = Path(tempfile.gettempdir()) / f"activityctl-{os.getpid()}"
    folder.mkdir(mode=0o755)
    try:
        ours = folder / "password"
        ours.touch()
        assert "belongs to another user" in as_nobody(lambda: open_home(folder))
        assert "belongs to another user" in as_nobody(lambda: require_own_folder(folder))
        assert "not a file of this user" in as_nobody(lambda: open_own(ours, os.O_RDONLY))
        os.chown(folder, NOBODY, NOBODY)
        assert as_nobody(lambda: open_home(folder)) == ""
    finally:
        subprocess.run(["rm", "-r", str(folder)], check=True)
