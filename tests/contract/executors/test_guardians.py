"""Guardians of commands: each guards one command after the other, and none is left behind."""

import asyncio
import errno
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from activityctl.errors import TaskError
from activityctl.executors.command import CommandBody, CommandExecutor
from activityctl.executors.inherited import inherited_from
from activityctl.executors.process import ProcessSpec, TaskProcess
from activityctl.executors.starter import Guardian, Starter
from activityctl.executors.surroundings import make_folder
from support.commands import (
    ENVIRONMENT,
    a_call,
    an_executor,
    has_folder,
    is_gone,
    nothing_left_behind,
    written,
)

STATUS = ["grep", "-E", "^Sig(Blk|Ign):", "/proc/self/status"]

PARENT = 'parent=$(ps -o ppid= -p $PPID | tr -d " ")'
"""Finds the program that forks guardians."""


def _has_all_rights() -> bool:
    """Return whether this process has CAP_SYS_PTRACE, or the system has no such rights."""
    status = Path("/proc/self/status")
    if not status.exists():
        return True
    effective = re.search(r"^CapEff:\s*(\w+)$", status.read_text(), re.MULTILINE)
    return effective is None or bool(int(effective[1], 16) >> 19 & 1)


HAS_ALL_RIGHTS = _has_all_rights()
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")


@pytest.fixture(autouse=True)
def _nothing_is_left_behind() -> Iterator[None]:
    with nothing_left_behind():
        yield


@pytest_asyncio.fixture(loop_scope="session")
async def executor() -> AsyncIterator[CommandExecutor]:
    made = an_executor(grace_seconds=0.1)
    yield made
    await made.close()


@pytest.fixture
def background() -> Iterator[None]:
    """Ignore what a shell makes a program ignore that it starts in the background."""
    before = {
        number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGQUIT)
    }
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


async def output(executor: CommandExecutor, seconds: float = 60.0, **body: Any) -> str:
    outcome = await executor.execute(CommandBody.model_validate(body), a_call(seconds))
    return str(outcome.output["stdout"]).strip()


async def guardian_of(executor: CommandExecutor) -> int:
    return int(await output(executor, shell="echo $PPID"))


async def test_commands_that_follow_one_another_share_a_guardian(executor: CommandExecutor):
    guardian = await guardian_of(executor)
    with pytest.raises(TaskError, match="no-such-program"):
        await output(executor, argv=["no-such-program"])
    with pytest.raises(TaskError, match="did not end"):
        await output(executor, 0.1, shell="sleep 60 & sleep 60")
    assert await guardian_of(executor) == guardian


async def test_commands_at_the_same_time_have_their_own(executor: CommandExecutor, tmp_path: Path):
    script = "echo $PPID; : > {mine}; until [ -e {other} ]; do sleep 0.01; done"
    first, second = tmp_path / "first", tmp_path / "second"
    guardians = await asyncio.gather(
        output(executor, shell=script.format(mine=first, other=second)),
        output(executor, shell=script.format(mine=second, other=first)),
    )
    assert len(set(guardians)) == 2


@pytest.mark.usefixtures("background")
async def test_a_later_command_begins_as_the_first_one_does(executor: CommandExecutor):
    descriptors = ["sh", "-c", "ls /proc/$$/fd"]
    before = [await output(executor, argv=STATUS), await output(executor, argv=descriptors)]
    await output(executor, shell="trap '' TERM PIPE; cat", stdin="x" * 100_000, env={"LEFT": "1"})
    after = [await output(executor, argv=STATUS), await output(executor, argv=descriptors)]
    assert before == after
    assert before[0].split()[1::2] == ["0" * 16] * 2
    assert "LEFT" not in await output(executor, argv=["env"])


async def test_a_guardian_that_was_killed_while_idle_is_replaced(executor: CommandExecutor):
    guardian = await guardian_of(executor)
    os.kill(guardian, signal.SIGKILL)
    assert await is_gone(guardian)
    assert await guardian_of(executor) != guardian


async def test_a_guardian_that_is_lost_with_its_command_is_not_used_again(
    executor: CommandExecutor,
):
    with pytest.raises(TaskError, match="was killed"):
        await output(executor, shell="kill -KILL $PPID; sleep 60")
    assert await guardian_of(executor)


@on_linux
async def test_a_command_that_changes_its_guardian_changes_no_other(executor: CommandExecutor):
    await guardian_of(executor)
    ours = "nice; ulimit -n; cat /proc/self/oom_score_adj; taskset -p $$ | cut -d: -f2"
    before = await output(executor, shell=ours)
    harm = (
        "renice -n 3 -p {0}; prlimit --pid {0} --nofile=99:99; "
        "echo 9 > /proc/{0}/oom_score_adj || :"  # which only root may do
    )
    await output(executor, shell=harm.format("$PPID"))
    assert await output(executor, shell=ours) == before
    await output(executor, shell=f"{PARENT}; {harm.format('$PPID')}; {harm.format('$parent')}")
    assert await output(executor, shell=ours) == before


@on_linux
async def test_a_command_that_stops_its_guardian_ends_as_others_do(
    executor: CommandExecutor, tmp_path: Path
):
    path = tmp_path / "number"
    script = f"sleep 60 & echo $! > {path}; kill -STOP $PPID; echo done"
    for _ in range(2):
        assert await output(executor, shell=script) == "done"
        assert await is_gone(await written(path), tries=1)
    with pytest.raises(TaskError, match="did not end"):
        await output(executor, 0.3, shell=f"{script}; wait")
    assert await is_gone(await written(path), tries=1)


@on_linux
async def test_processes_that_stop_their_guardian_again_and_again_are_ended(
    executor: CommandExecutor, tmp_path: Path
):
    path = tmp_path / "number"
    stopping = "while :; do kill -STOP $guardian; done"
    script = f"echo $PWD > {path}; export guardian=$PPID; setsid sh -c '{stopping}' & {stopping}"
    with pytest.raises(TaskError, match="did not end"):
        await output(executor, 0.3, shell=script)
    assert not has_folder(path)
    assert await guardian_of(executor)


@on_linux
async def test_who_was_stopped_while_idle_goes_on(executor: CommandExecutor):
    guardian = await guardian_of(executor)
    parent = int(await output(executor, shell=f"{PARENT}; echo $parent"))
    os.kill(guardian, signal.SIGSTOP)
    os.kill(parent, signal.SIGSTOP)
    guardians = await asyncio.gather(
        *(output(executor, shell="echo $PPID; sleep 0.2") for _ in range(2))
    )
    assert str(guardian) in guardians


@pytest.mark.skipif(HAS_ALL_RIGHTS, reason="with CAP_SYS_PTRACE every memory can be read")
async def test_a_command_cannot_read_the_memory_of_its_guardian(executor: CommandExecutor):
    with pytest.raises(TaskError, match="Permission denied"):
        await output(executor, shell="cat /proc/$PPID/mem")


async def test_a_machine_that_is_short_of_descriptors_lets_a_command_be_tried_again(
    executor: CommandExecutor, monkeypatch: pytest.MonkeyPatch
):
    def refuse(*_: object) -> None:
        raise OSError(errno.ETOOMANYREFS, os.strerror(errno.ETOOMANYREFS))

    monkeypatch.setattr(socket, "send_fds", refuse)
    with pytest.raises(TaskError, match="too many references") as caught:
        await output(executor, argv=["true"])
    assert caught.value.may_retry


async def test_idle_guardians_end_with_their_executor_and_after_some_time():
    executor = an_executor()
    guardian = await guardian_of(executor)
    await executor.close()
    assert await is_gone(guardian)
    starter = Starter(idle_seconds=0.0)
    try:
        process = await a_process(starter)
        await process.exited()
        await process.end()
        assert await is_gone(int(process.stdout.text()))
    finally:
        starter.close()


async def test_an_order_that_comes_late_harms_no_other_command(tmp_path: Path):
    starter = Starter()
    try:
        first = await a_process(starter)
        await first.exited()
        await first.end()
        second = await a_process(starter, f"echo $$ > {tmp_path}/second; sleep 0.2; echo done")
        await written(tmp_path / "second")
        await first.stop(0.0)
        await first.end()
        await second.exited()
        await second.drained()
        await second.end()
        assert second.stdout.text() == "done\n"
    finally:
        starter.close()


async def a_process(starter: Starter, script: str = "echo $PPID") -> TaskProcess:
    spec = ProcessSpec(["sh", "-c", script], ENVIRONMENT, make_folder(None))
    return await TaskProcess.start(starter, spec, None, 1.0)


def test_the_program_that_forks_guardians_ends_well():
    starter = Starter()
    starter._connected()
    program = starter._process
    assert program is not None
    starter.close()
    assert program.returncode == 0


async def test_a_guardian_that_is_given_back_after_the_end_is_ended():
    starter = Starter()
    starter._inherited = inherited_from(os.getpid())
    starter.close()
    ours, theirs = socket.socketpair()
    with theirs:
        starter.give_back(Guardian(ours, os.getpid()))
        assert ours.fileno() == -1
    assert starter._ending is None
