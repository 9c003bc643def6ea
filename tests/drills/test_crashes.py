"""kill -9 during many runs: every run ends, no task is missing, none runs twice.

    DRILL_SEED=7 DRILL_FULL=1 pytest tests/drills/test_crashes.py -rP

repeats a drill with the seed that an earlier drill printed, with more runs, and with drills of
their own for each component. Each drill has its own servers, started as `up` does.
"""

import asyncio
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest

from activityctl.daemon.local.state import read_state
from activityctl.daemon.local.supervisor import stop_daemon
from activityctl.domain.timing.firing import FiringRequest
from activityctl.domain.values import ids
from support.drilled import PortsDrill, Row, seed

FULL = os.environ.get("DRILL_FULL") == "1"
RUNS = 102 if FULL else 54
"""A third of them for each of the three definitions."""
PATIENCE = 150.0

Names = tuple[str, ...]
EVERYTHING: Names = ("supervisor", "worker", "api", "temporal", "postgres")
SCENARIOS: Mapping[str, tuple[Names, ...]] = {
    "one after the other": (("worker",), ("temporal",), ("postgres",), ("worker",)),
    "everything": (EVERYTHING,),
}
"""What is killed together, one kill after the other."""
FULL_SCENARIOS: Mapping[str, tuple[Names, ...]] = {
    "worker": (("worker",), ("worker",)),
    "temporal": (("temporal",), ("temporal",)),
    "postgres": (("postgres",), ("postgres",)),
    "everything": (EVERYTHING, EVERYTHING),
}


def task_lists(marks: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the tasks of the definitions, by name.

    `one` has one task, `two` two in sequence. `three` has two parallel tasks, then a third with
    two items.
    """

    def task(name: str, seconds: float, **fields: object) -> dict[str, Any]:
        mark = f'echo "$ACTIVITYCTL_TASK_ID $ACTIVITYCTL_ATTEMPT" >> {marks}; sleep {seconds}'
        return {"name": name, "command": {"shell": mark}, **fields}

    return {
        "one": [task("a", 0.3)],
        "two": [task("a", 0), task("b", 0.2, needs=["a"])],
        "three": [task("a", 0.1), task("b", 0.3), task("c", 0, needs=["a", "b"], forEach=[1, 2])],
    }


INSTANCES = {
    "one": [("a", 0)],
    "two": [("a", 0), ("b", 0)],
    "three": [("a", 0), ("b", 0), ("c", 0), ("c", 1)],
}


class CrashDrill(PortsDrill):
    """A daemon, and many firings."""

    def __init__(self, home: Path, chance: random.Random) -> None:
        super().__init__(home, chance)
        self.marks = home.with_name("marks")
        self.firings: list[tuple[str, FiringRequest]] = []
        self.killed_at = 0.0

    async def apply(self, task_lists: Mapping[str, list[dict[str, Any]]]) -> None:
        await self.apply_specs({name: {"tasks": tasks} for name, tasks in task_lists.items()})

    def add_firing(self, name: str, number: int) -> None:
        """Add a firing to the list of those to store; `fire` stores them.

        Its key tells the processes of this drill from those of another one that runs beside it.
        """
        key = f"drill/{self.home}/{number}"
        firing = FiringRequest(ids.subscription_id(name), "manual", key, now())
        self.firings.append((name, firing))

    async def fire(self) -> None:
        """Store the firings, six at a time, four times a second; a repeat is harmless."""
        for first in range(0, len(self.firings), 6):
            some = [firing for _, firing in self.firings[first : first + 6]]
            await self.retry_while_down(lambda some=some: self._store(some))
            await asyncio.sleep(0.25)

    async def _store(self, firings: list[FiringRequest]) -> None:
        async with self.ports() as ports:
            await ports.outbox.add(firings, now())

    async def kill_all(self, kills: tuple[Names, ...]) -> None:
        """Make the kills in an order that the seed chooses."""
        for names in self.chance.sample(kills, len(kills)):
            await asyncio.sleep(self.chance.uniform(0.3, 1.0 + RUNS / 68))
            await self.kill(names)

    async def kill(self, names: Names) -> None:
        """Kill the components at once; if the supervisor is among them, start it again."""
        await self.until(lambda: read_state(self.home).ready, 60)
        state = read_state(self.home)
        pids = {part.name: part.pid for part in state.components}
        pids["supervisor"] = state.supervisor.pid if state.supervisor else None
        for pid in filter(None, map(pids.get, names)):
            os.kill(pid, signal.SIGKILL)
        self.killed_at = time.monotonic()
        if "supervisor" in names:
            await asyncio.to_thread(self.up)
        else:  # the stored state is the old one until the supervisor notices
            await self.until(lambda: read_state(self.home) != state, 60)

    async def all_ended(self) -> list[Row]:
        """Wait until as many runs have ended as there are firings, and return all runs."""
        deadline = time.monotonic() + PATIENCE
        while True:
            runs = await self.retry_while_down(lambda: self.fetch("SELECT * FROM runs"))
            if sum(run["ended_at"] is not None for run in runs) >= len(self.firings):
                return runs
            open_runs = Counter(run["status"] for run in runs)
            assert time.monotonic() < deadline, f"after {PATIENCE} s: {open_runs}"
            await asyncio.sleep(0.5)

    def processes(self) -> list[psutil.Process]:
        """Return every running process of the daemon or of one of its tasks."""
        wanted = self.expected()
        found = super().processes()
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get("ACTIVITYCTL_TASK_ID") in wanted:
                    found.append(process)
        return found

    def expected(self) -> dict[str, tuple[str, str, int]]:
        """Return every expected task instance by id, with its run, name and index."""
        return {
            ids.task_id(firing.ref.run_id, name, index): (firing.ref.run_id, name, index)
            for definition, firing in self.firings
            for name, index in INSTANCES[definition]
        }


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def drill(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[CrashDrill]:
    drill = CrashDrill(tmp_path / "home", random.Random(f"{request.node.name} {seed()}"))
    with drill.running():
        yield drill


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("scenario", FULL_SCENARIOS if FULL else SCENARIOS)
async def test_kill_9_loses_no_run_and_repeats_no_task(drill: CrashDrill, scenario: str) -> None:
    await drill.apply(task_lists(drill.marks))
    for number in range(RUNS):
        drill.add_firing(("one", "two", "three")[number % 3], number)
    kills = (FULL_SCENARIOS if FULL else SCENARIOS)[scenario]
    await asyncio.gather(drill.fire(), drill.kill_all(kills))
    runs = await drill.all_ended()
    seconds = time.monotonic() - drill.killed_at
    print(f"{scenario}: all runs had ended {seconds:.1f} s after the last kill")

    assert Counter(run["status"] for run in runs) == {"succeeded": RUNS}
    assert {run["id"] for run in runs} == {firing.ref.run_id for _, firing in drill.firings}
    tasks = await drill.fetch("SELECT * FROM tasks")
    expected = drill.expected()
    assert Counter(task["id"] for task in tasks) == Counter(expected.keys())
    assert {task["id"]: (task["run_id"], task["name"], task["index"]) for task in tasks} == expected
    assert Counter(task["status"] for task in tasks) == {"succeeded": len(expected)}

    executed = Counter(tuple(line.split()) for line in drill.marks.read_text().splitlines())
    assert {task for task, _ in executed} == set(expected)
    assert set(executed.values()) == {1}, "an attempt ran twice"
    attempts = {task["id"]: task["attempts"] for task in tasks}
    assert all(int(attempt) <= attempts[task] for task, attempt in executed)
    lost = sum(attempts.values()) - len(expected)
    print(f"{scenario}: {lost} of {len(expected)} tasks lost an attempt and repeated it")

    ends = await drill.fetch("SELECT run_id FROM log_entries WHERE message = 'run succeeded'")
    assert Counter(entry["run_id"] for entry in ends) == Counter(run["id"] for run in runs)
    assert await drill.fetch("SELECT * FROM dead_letters") == []
    await drill.wait_for_temporal(60)
    await asyncio.to_thread(stop_daemon, drill.home)
    assert drill.processes() == []
