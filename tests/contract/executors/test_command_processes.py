"""The processes of commands: they end with the attempt and the worker; folder and account."""

import asyncio
import grp
import os
import pwd
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from support.commands import (
    a_call,
    content_of,
    exists,
    failing,
    has_folder,
    is_gone,
    nothing_left_behind,
    run,
    written,
)


@pytest.fixture(autouse=True)
def _nothing_is_left_behind() -> Iterator[None]:
    with nothing_left_behind():
        yield


# ---- processes end with the attempt --------------------------------------------------


async def test_a_timeout_ends_the_program_and_is_retried():
    started = time.monotonic()
    error = await failing(a_call(1.0), shell="echo working >&2; sleep 60")
    assert (error.task_code, error.may_retry) == ("timeout", True)
    assert error.message == "did not end within 1 s: working"
    assert time.monotonic() - started < 40


async def test_a_timeout_leaves_time_to_clean_up(tmp_path: Path):
    trace = tmp_path / "trace"
    script = f"trap 'sleep 0.3; echo cleaned > {trace}; exit' TERM; while :; do sleep 0.05; done"
    await failing(a_call(1.0), shell=script)
    assert trace.read_text() == "cleaned\n"


async def test_children_get_the_grace_period_if_their_parent_ends_at_once(tmp_path: Path):
    trace = tmp_path / "trace"
    child = f"trap 'sleep 0.3; echo cleaned > {trace}; exit' TERM; while :; do sleep 0.05; done"
    await failing(a_call(1.0), shell='sh -c "$CHILD"; echo', env={"CHILD": child})
    assert trace.read_text() == "cleaned\n"


async def test_a_program_that_ignores_sigterm_is_killed_with_its_children(tmp_path: Path):
    path = tmp_path / "number"
    script = f"trap '' TERM; (sleep 60; echo) & echo $! > {path}; wait; sleep 60"
    started = time.monotonic()
    error = await failing(a_call(1.0), grace_seconds=0.3, shell=script)
    assert error.task_code == "timeout"
    assert 1.25 < time.monotonic() - started < 40
    assert await is_gone(await written(path))


async def test_cancellation_kills_the_group(tmp_path: Path):
    path = tmp_path / "number"
    task = asyncio.create_task(run(shell=f"sleep 60 & echo $! > {path}; wait"))
    number = await written(path)
    assert psutil.pid_exists(number)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await is_gone(number)


async def test_a_second_cancellation_does_not_wait_for_the_grace(tmp_path: Path):
    path = tmp_path / "number"
    script = f"trap '' TERM; echo $$ > {path}; while :; do sleep 0.05; done"
    task = asyncio.create_task(run(grace_seconds=60, shell=script))
    number = await written(path)
    task.cancel()
    await asyncio.sleep(0.1)
    assert psutil.pid_exists(number)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await is_gone(number)


@pytest.mark.parametrize("redirection", ["", ">/dev/null 2>&1"])
async def test_a_background_child_does_not_outlive_a_success(tmp_path: Path, redirection: str):
    path = tmp_path / "number"
    started = time.monotonic()
    output = (
        await run(shell=f"(trap '' HUP TERM; sleep 60) {redirection} & echo $! > {path}; echo ok")
    ).output
    assert output["stdout"] == "ok\n"
    assert time.monotonic() - started < 40
    assert await is_gone(await written(path))


ESCAPE = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        open(sys.argv[1], 'w').write(str(os.getpid()))
        os.closerange(0, 1024)
        os.execve('/bin/sleep', ['sleep', '60'], {})
    os._exit(0)
time.sleep(float(sys.argv[2]))
"""
"""Starts a process with a session of its own, without a parent, open files or an environment."""


def escape(path: Path, seconds: float) -> list[str]:
    return [sys.executable, "-c", ESCAPE, str(path), str(seconds)]


async def test_a_process_with_its_own_session_and_no_environment_ends_after_a_success(
    tmp_path: Path,
):
    path = tmp_path / "number"
    assert (await run(argv=escape(path, 0.3))).output["exitCode"] == 0
    assert await is_gone(await written(path), tries=1)


async def test_and_after_a_timeout(tmp_path: Path):
    path = tmp_path / "number"
    assert (await failing(a_call(1.5), argv=escape(path, 60))).task_code == "timeout"
    assert await is_gone(await written(path), tries=1)


async def test_and_after_a_cancellation(tmp_path: Path):
    path = tmp_path / "number"
    task = asyncio.create_task(run(argv=escape(path, 60)))
    number = await written(path)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await is_gone(number, tries=1)


WORKER = """
import asyncio, sys
from activityctl.executors.command import CommandBody, CommandExecutor
from activityctl.ports import TaskCall
async def silent(*_): pass
async def work():
    executor = CommandExecutor(allowed=True, base_environment={'PATH': '/usr/bin:/bin'})
    call = TaskCall('r', 't', 'n', 0, 1, 'k', 60.0, silent)
    await executor.execute(CommandBody(argv=sys.argv[1:]), call)
asyncio.run(work())
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
async def test_commands_die_with_their_worker(tmp_path: Path, number: signal.Signals):
    path, own = tmp_path / "number", tmp_path / "own"
    script = f"trap '' TERM; echo $$ > {own}; pwd > {tmp_path}/folder; \"$@\" & sleep 60"
    argv = ["sh", "-c", script, "sh", *escape(path, 60)]
    worker = subprocess.Popen([sys.executable, "-c", WORKER, *argv])
    numbers = [await written(path), await written(own)]
    worker.send_signal(number)
    worker.wait()
    for process in numbers:
        assert await is_gone(process)
    async with asyncio.timeout(60):
        while has_folder(tmp_path / "folder"):
            await asyncio.sleep(0.01)


async def test_a_command_that_has_stopped_its_guardian_dies_with_its_worker(tmp_path: Path):
    path = tmp_path / "number"
    script = f"kill -STOP $PPID; echo $$ > {path}; exec sleep 60"
    worker = subprocess.Popen([sys.executable, "-c", WORKER, "sh", "-c", script])
    number = await written(path)
    worker.kill()
    worker.wait()
    assert await is_gone(number)


async def test_a_command_that_kills_its_guardian_dies_too(tmp_path: Path):
    path, mine = tmp_path / "number", tmp_path / "mine"
    script = f"setsid sleep 60 & echo $! > {path}; echo $$ > {mine}; sleep 0.3;"
    script += " kill -KILL $PPID; sleep 60"
    error = await failing(shell=script)
    assert error.message.startswith("the process that guards the command was killed")
    assert await is_gone(await written(path))
    assert await is_gone(await written(mine))


async def test_a_process_that_always_starts_its_successor_and_ends_is_caught(tmp_path: Path):
    path = tmp_path / "number"
    script = f'trap "" TERM; echo 1 >> {path}; setsid sh -c "$SELF" &'
    error = await failing(a_call(1.5), 0.3, shell='sh -c "$SELF" & sleep 60', env={"SELF": script})
    assert error.task_code == "timeout"
    count = len(content_of(path))
    assert count > 2
    await asyncio.sleep(0.2)
    assert len(content_of(path)) == count


# ---- folder and account --------------------------------------------------------------


async def test_each_attempt_has_a_fresh_folder_of_its_own(tmp_path: Path):
    script = (
        'pwd; test "$HOME" = "$PWD" && test "$TMPDIR" = "$PWD" && ls -A | wc -l; stat -c %a .;'
        "mkdir -p a/b; echo x > a/b/c; ln -s / a/root; ln -s /etc/passwd p"
    )
    seen = [(await run(shell=script)).output["stdout"].split() for _ in range(2)]
    assert [one[1:] for one in seen] == [["0", "700"], ["0", "700"]]
    assert seen[0][0] != seen[1][0]
    assert not any(exists(folder) for folder, *_ in seen)
    assert exists("/etc/passwd")
    await failing(shell=f"pwd > {tmp_path}/failed; exit 1")
    await failing(argv=["no-such-program"])
    assert not has_folder(tmp_path / "failed")
    relative = (await run(shell="mkdir in && cd in && pwd")).output["stdout"]
    assert Path(relative.strip()).name == "in"


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another account")


@needs_root
async def test_a_command_can_run_as_another_account(tmp_path: Path):
    secret = tmp_path / "daemon.json"
    secret.write_text("s3cret")
    secret.chmod(0o600)
    script = f"id -un; id -Gn; echo $USER $LOGNAME; touch mine && echo made; cat {secret}; true"
    output = (await run(shell=script, user="nobody")).output
    group = grp.getgrgid(pwd.getpwnam("nobody").pw_gid).gr_name
    assert output["stdout"].splitlines() == ["nobody", group, "nobody nobody", "made"]
    assert "Permission denied" in output["stderr"]
    stat = (await run(shell="stat -c %U .", user="nobody")).output["stdout"]
    assert stat == "nobody\n"
    error = await failing(
        a_call(0.3), shell="trap '' TERM; sleep 60", user="nobody", env={"A": "b"}
    )
    assert error.task_code == "timeout"


async def test_an_account_that_is_not_there_or_not_allowed_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
):
    error = await failing(argv=["true"], user="no-such-account")
    assert (error.task_code, error.may_retry) == ("not_allowed", False)
    assert "there is no account 'no-such-account'" in error.message
    monkeypatch.setattr(os, "geteuid", lambda: 4_000_000)
    error = await failing(argv=["true"], user="nobody")
    assert error.task_code == "not_allowed"
    assert "only a worker that runs as root" in error.message
