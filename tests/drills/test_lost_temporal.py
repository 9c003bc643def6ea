"""Temporal loses its data, or its last seconds: every run is carried on, and none is doubled.

    DRILL_SEED=7 pytest tests/drills/test_lost_temporal.py -rP

repeats a drill with the seed that an earlier drill printed.
"""

import asyncio
import json
import random
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest

from activityctl.domain.gitops.manifest_set import ManifestSet
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.subscription import SubscriptionManifest, SubscriptionStatus
from activityctl.domain.timing.firing import FiringRequest
from activityctl.domain.values import ids
from activityctl.operations.gitops.apply import apply
from activityctl.operations.runs.actions import change_status
from support.drilled import PortsDrill, Row, seed

FIRINGS = 24
PATIENCE = 120.0


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
        definitions, subscriptions = {}, {}
        for name, spec in specs.items():
            whole = json.dumps({"metadata": {"name": name}, "spec": spec})
            definitions[name] = ActivityDefinition.model_validate_json(whole)
            subscriptions[name] = SubscriptionManifest.model_validate(
                {"metadata": {"name": name}, "spec": {"activity": name}}
            )
        manifests = ManifestSet(definitions, subscriptions, {})
        async with self.ports() as ports:
            await apply(
                manifests, ports.catalog, ports.register, ports.workers, now, timeout_seconds=20
            )

    async def fire(self) -> None:
        """Store the firings over about two seconds."""
        async with self.ports() as ports:
            for number in range(FIRINGS):
                firings = [
                    FiringRequest(ids.subscription_id(name), "manual", f"lost/{number}", now())
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
            while any(each.status() != psutil.STATUS_ZOMBIE for each in killed):
                time.sleep(0.02)  # their parent is suspended
            damage()

    def files(self) -> list[Path]:
        return list(self.home.glob("temporal.db*"))

    async def stop_schedule(self) -> None:
        async with self.ports() as ports:
            subscription = await ports.catalog.find_subscription("timed")
            await change_status(ports.catalog, subscription, SubscriptionStatus.PAUSED, now())

    async def all_ended(self) -> list[Row]:
        """Wait until every firing has a run that has ended, and return all runs."""
        deadline = time.monotonic() + PATIENCE
        while True:
            runs = await self.retry_while_down(lambda: self.fetch("SELECT * FROM runs"))
            by_hand = [run for run in runs if run["trigger"] == "manual"]
            if len(by_hand) == 2 * FIRINGS and all(run["ended_at"] for run in runs):
                return runs
            statuses = Counter((run["trigger"], run["status"]) for run in runs)
            assert time.monotonic() < deadline, f"after {PATIENCE} s: {statuses}"
            await asyncio.sleep(0.2)


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def drill(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[LostTemporalDrill]:
    drill = LostTemporalDrill(tmp_path / "home", random.Random(f"{request.node.name} {seed()}"))
    with drill.running():
        yield drill


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("loss", ["all data", "the last seconds"])
async def test_what_temporal_forgets_is_carried_on(drill: LostTemporalDrill, loss: str) -> None:
    await drill.apply()
    kept = drill.home.with_name("kept")
    kept.mkdir()
    firing = asyncio.create_task(drill.fire())
    await asyncio.sleep(drill.chance.uniform(0.5, 1.5))
    for path in drill.files():
        shutil.copy(path, kept)  # the files as a power cut would leave them
    await firing
    await asyncio.sleep(drill.chance.uniform(0.5, 1.5))

    def damage() -> None:
        for path in drill.files():
            path.unlink()
        if loss == "the last seconds":
            for path in kept.iterdir():
                shutil.copy(path, drill.home)

    ended_before = {
        task["id"] for task in await drill.fetch("SELECT * FROM tasks WHERE ended_at IS NOT NULL")
    }
    await asyncio.to_thread(drill.lose, damage)
    lost_at = time.monotonic()
    await asyncio.sleep(20)
    await drill.stop_schedule()
    runs = await drill.all_ended()
    print(f"{loss}: all runs had ended {time.monotonic() - lost_at:.1f} s after the loss")

    statuses = Counter(run["status"] for run in runs)
    assert set(statuses) <= {"succeeded", "missed"}, statuses
    assert {run["status"] for run in runs if run["trigger"] == "manual"} == {"succeeded"}
    marks = [line.split() for line in drill.marks.read_text().splitlines()]
    effects = Counter(task for task, _ in marks)
    assert set(Counter(map(tuple, marks)).values()) == {1}, "an attempt ran twice"
    tasks = {task["id"]: task for task in await drill.fetch("SELECT * FROM tasks")}
    assert effects.keys() == tasks.keys()
    assert all(effects[task] <= tasks[task]["attempts"] for task in tasks)
    assert all(effects[task] == 1 for task in ended_before), "a finished task was repeated"
    due = sorted(run["due_at"] for run in runs if run["trigger"] == "every")
    seconds = round((due[-1] - due[0]).total_seconds())
    assert len(due) == len(set(due)) == seconds + 1, "a nominal time has no row, or two"
    told = await drill.fetch(
        "SELECT DISTINCT run_id FROM log_entries WHERE message LIKE 'Temporal did not know%'"
    )
    assert told, "nothing was under way that Temporal could lose"
    print(f"{loss}: {len(told)} of {len(runs)} runs were carried on, {dict(statuses)}")
