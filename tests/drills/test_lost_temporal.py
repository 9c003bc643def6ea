"""Temporal loses its data, or its last seconds: every run is carried on, and none is doubled.

    DRILL_SEED=7 pytest tests/drills/test_lost_temporal.py -rP

repeats a drill with the seed that an earlier drill printed.
"""

import asyncio
import random
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from activityctl.domain.manifests.subscription import SubscriptionStatus
from activityctl.domain.timing.firing import FiringRequest
from activityctl.domain.values import ids
from activityctl.operations.runs.actions import change_status
from support.commands import is_at_work
from support.drilled import PortsDrill, Row, seed

FIRINGS = 24
PATIENCE = 120.0
LOSSES = ("the last seconds", "all data")
"""One after the other, on one daemon."""
TOLD = "SELECT DISTINCT run_id FROM log_entries WHERE message LIKE 'Temporal did not know%'"


class LostTemporalDrill(PortsDrill):
    """A daemon with runs under way, in a queue and by schedule, whose Temporal loses data."""

    def __init__(self, home: Path, chance: random.Random) -> None:
        super().__init__(home, chance)
        self.marks = home.with_name("marks")

    async def apply(self) -> None:
        mark = f'echo "$ACTIVITYCTL_TASK_ID $ACTIVITYCTL_ATTEMPT" >> {self.marks}'
        first = {"name": "a", "command": {"shell": f"{mark}; sleep 0.3"}}
        second = {"name": "b", "needs": ["a"], "command": {"shell": f"{mark}; sleep 6"}}
        every = {"name": "every", "interval": {"every": "1s", "misfire": {"policy": "fire_all"}}}
        specs: dict[str, dict[str, Any]] = {
            "two": {"tasks": [first, second]},
            "queued": {"tasks": [first], "concurrency": {"policy": "queue", "limit": 1}},
            "timed": {"tasks": [first], "triggers": [every]},
        }
        await self.apply_specs(specs)

    async def fire(self, round_number: int) -> None:
        """Store the firings over about two seconds."""
        async with self.ports() as ports:
            for number in range(FIRINGS):
                firings = [
                    FiringRequest(
                        ids.subscription_id(name), "manual", f"lost/{round_number}/{number}", now()
                    )
                    for name in ("two", "queued")
                ]
                await ports.outbox.add(firings, now())
                await asyncio.sleep(0.08)

    def lose(self, damage: Callable[[], None]) -> None:
        """Kill Temporal and the worker, as a power cut does; damage Temporal's files.

        The supervisor then starts both again. A worker that lived would end its tasks itself.
        """
        with self.without_restarts():
            killed = [self.process_of(name) for name in ("temporal", "worker")]
            for process in killed:
                process.kill()
            while any(is_at_work(each.pid) for each in killed):
                time.sleep(0.02)  # their parent is suspended
            damage()

    def files(self) -> list[Path]:
        return list(self.home.glob("temporal.db*"))

    def effects(self) -> tuple[list[list[str]], Counter[str]]:
        """Return task and attempt of each effect, and the number of effects of each task."""
        marks = [line.split() for line in self.marks.read_text().splitlines()]
        return marks, Counter(task for task, _ in marks)

    async def stop_schedule(self) -> None:
        async with self.ports() as ports:
            subscription = await ports.catalog.find_subscription("timed")
            await change_status(ports.catalog, subscription, SubscriptionStatus.PAUSED, now())

    async def newly_carried_on(self, before: set[str]) -> set[str]:
        """Wait until other runs than those before were carried on, and return them."""
        deadline = time.monotonic() + PATIENCE
        while True:
            told = await self.retry_while_down(lambda: self.fetch(TOLD))
            if found := {row["run_id"] for row in told} - before:
                return found
            assert time.monotonic() < deadline, "nothing was under way that Temporal could lose"
            await asyncio.sleep(0.5)

    async def all_ended(self, count: int, patience: float = PATIENCE) -> list[Row]:
        """Wait until that many firings have runs that have ended, and return all runs."""
        deadline = time.monotonic() + patience
        while True:
            runs = await self.retry_while_down(lambda: self.fetch("SELECT * FROM runs"))
            by_hand = [run for run in runs if run["trigger"] == "manual"]
            if len(by_hand) == count and all(run["ended_at"] for run in runs):
                return runs
            statuses = Counter((run["trigger"], run["status"]) for run in runs)
            assert time.monotonic() < deadline, f"after {patience} s: {statuses}"
            await asyncio.sleep(0.5)


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def drill(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[LostTemporalDrill]:
    drill = LostTemporalDrill(tmp_path / "home", random.Random(f"{request.node.name} {seed()}"))
    with drill.running():
        yield drill


@pytest.mark.slow
@pytest.mark.timeout(500)
async def test_what_temporal_forgets_is_carried_on(drill: LostTemporalDrill) -> None:
    await drill.apply()
    ended_before: dict[str, int] = {}
    carried_on: set[str] = set()
    for round_number, loss in enumerate(LOSSES):
        ended_before = await lose_once(drill, round_number, loss) | ended_before
        lost_at = time.monotonic()
        await asyncio.sleep(20)
        told = await drill.newly_carried_on(carried_on)
        carried_on |= told
        print(f"{loss}: {len(told)} runs were carried on")
    await drill.stop_schedule()
    runs = await drill.all_ended(2 * FIRINGS * len(LOSSES))
    print(f"all runs had ended {time.monotonic() - lost_at:.1f} s after the last loss")

    statuses = Counter(run["status"] for run in runs)
    assert set(statuses) <= {"succeeded", "missed"}, statuses
    assert {run["status"] for run in runs if run["trigger"] == "manual"} == {"succeeded"}
    marks, effects = drill.effects()
    assert set(Counter(map(tuple, marks)).values()) == {1}, "an attempt ran twice"
    tasks = {task["id"]: task for task in await drill.fetch("SELECT * FROM tasks")}
    assert effects.keys() == tasks.keys()
    assert all(effects[task] <= tasks[task]["attempts"] for task in tasks)
    repeated = {task for task, count in ended_before.items() if effects[task] != count}
    assert not repeated, "a finished task was repeated"
    due = sorted(run["due_at"] for run in runs if run["trigger"] == "every")
    seconds = round((due[-1] - due[0]).total_seconds())
    assert len(due) == len(set(due)) == seconds + 1, "a nominal time has no row, or two"
    print(f"{len(runs)} runs: {dict(statuses)}")


async def lose_once(drill: LostTemporalDrill, round_number: int, loss: str) -> dict[str, int]:
    """Fire, then make Temporal lose data meanwhile.

    Return the tasks that had ended before, each with the number of its effects.
    """
    kept = drill.home.with_name("kept")
    firing = asyncio.create_task(drill.fire(round_number))
    await asyncio.sleep(drill.chance.uniform(0.5, 1.5))
    drill.copy_temporal(kept)
    await firing
    await asyncio.sleep(drill.chance.uniform(0.5, 1.5))
    is_damaged = loss == "all data" and drill.chance.choice([True, False])

    def damage() -> None:
        if is_damaged:
            (drill.home / "temporal.db").write_bytes(drill.chance.randbytes(1_000_000))
            return
        for path in drill.files():
            path.unlink()
        if loss == "the last seconds":
            for path in kept.iterdir():
                shutil.copy(path, drill.home)

    ended = await drill.fetch("SELECT id FROM tasks WHERE ended_at IS NOT NULL")
    _, effects = drill.effects()
    await asyncio.to_thread(drill.lose, damage)
    if is_damaged:
        await drill.until((drill.home / "temporal.db.damaged").exists, 60)
        print("the damaged file of Temporal was set aside")
    return {task["id"]: effects[task["id"]] for task in ended}
