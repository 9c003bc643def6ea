"""A command that waits says what keeps the workers from their work."""

import asyncio
from io import StringIO
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from activityctl.adapters.memory.signals import MemoryWorkers
from activityctl.adapters.memory.state import MemoryState
from activityctl.cli import told_waits
from activityctl.cli.session import Session
from activityctl.cli.told_waits import told_wait
from activityctl.domain.runs.worker import LoopTrouble, WorkerBeat
from activityctl.errors import UnreachableError, WaitTimeoutError

FULL = UnreachableError("the disk of Postgres is full: no space", hint="free space")


class Workers(MemoryWorkers):
    is_full = False

    async def require_space(self) -> None:
        if self.is_full:
            raise FULL


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> Workers:
    monkeypatch.setattr(told_waits, "_EVERY", 0.01)
    return Workers(MemoryState())


async def waited(workers: Workers, text: str, seconds: float = 120) -> str:
    """Wait until the text was said, and return all that was."""
    session, said = Session(), StringIO()
    session.err = Console(file=said, width=200)

    async def hears() -> str:
        async with asyncio.timeout(seconds):
            while text not in said.getvalue():
                await asyncio.sleep(0.01)
        return said.getvalue()

    ports: Any = SimpleNamespace(workers=workers)
    return await told_wait(session, ports, hears(), "the run is recorded")


async def test_it_says_again_and_again_that_no_worker_is_running(workers: Workers):
    said = await waited(workers, "waiting for 0.03 s")
    assert said.splitlines()[0] == "waiting for 0.01 s: no worker is running"


async def test_it_says_nothing_before_the_workers_are_waited_for(workers: Workers):
    session, said, begun = Session(), StringIO(), asyncio.Event()
    session.err = Console(file=said, width=200)

    async def works() -> str:
        await asyncio.sleep(0.2)
        before = said.getvalue()
        begun.set()
        async with asyncio.timeout(120):
            while not said.getvalue():
                await asyncio.sleep(0.01)
        return before

    ports: Any = SimpleNamespace(workers=workers)
    assert await told_wait(session, ports, works(), begun=begun) == ""
    assert said.getvalue().startswith("waiting for 0.01 s: no worker is running")


async def test_it_names_a_loop_that_keeps_failing_and_no_single_failure(workers: Workers):
    now = workers._state.clock()
    beat = WorkerBeat("w", "host", 7, "1", now, (LoopTrouble("beat", now, 1, "once"),))
    await workers.beat(beat)
    with pytest.raises(TimeoutError):
        await waited(workers, "waiting", 0.2)
    trouble = LoopTrouble("firing", now, 2, "the disk is full\x1b")
    await workers.beat(WorkerBeat("w", "host", 7, "1", now, (trouble,)))
    said = await waited(workers, "waiting")
    assert "the loop firing of the worker on host, pid 7, fails: the disk is full\\x1b" in said


async def test_it_gives_up_when_the_disk_of_postgres_is_full(workers: Workers):
    workers.is_full = True
    with pytest.raises(UnreachableError) as caught:
        await waited(workers, "never")
    assert caught.value.message == f"{FULL.message}; the run is recorded"
    assert caught.value.hint == FULL.hint


async def test_the_error_of_the_wait_itself_is_raised(workers: Workers):
    async def late() -> None:
        raise WaitTimeoutError("late")

    ports: Any = SimpleNamespace(workers=workers)
    with pytest.raises(WaitTimeoutError, match="late"):
        await told_wait(Session(), ports, late())
