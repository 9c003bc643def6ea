"""Temporal loses its last seconds, while the worker lives and remembers them.

    DRILL_SEED=7 DRILL_FULL=1 pytest tests/drills/test_lost_seconds.py -rP

repeats a drill with the seed that an earlier drill printed. The usual drill waits until a worker
has seen of each workflow that it cannot go on, with DRILL_FULL=1 until new ones have gone on.
"""

import asyncio
import os
import random
import time
from pathlib import Path
from typing import Any

import pytest

from activityctl import wiring
from activityctl.domain.timing.firing import FiringRequest
from activityctl.domain.values import ids
from activityctl.settings import load_settings
from drills.test_lost_temporal import LostTemporalDrill, now
from support.drilled import seed

FULL = os.environ.get("DRILL_FULL") == "1"
FIRINGS = 25
NAMES = ("slow-first", "slow-last", "steps", "again")
SEEN_WITHIN = 90.0
PATIENCE = 280.0
"""A look after ten seconds, two minutes of patience, and a new workflow after that."""


class LostSecondsDrill(LostTemporalDrill):
    """A daemon with runs that wait, work and try again when Temporal loses its last seconds."""

    async def apply(self) -> None:
        def task(name: str, script: str, *needs: str, **fields: object) -> dict[str, Any]:
            shell = f'echo "$ACTIVITYCTL_TASK_ID $ACTIVITYCTL_ATTEMPT" >> {self.marks}; {script}'
            return {"name": name, "needs": needs, "command": {"shell": shell}, **fields}

        retry = {"maxAttempts": 5, "initialInterval": "1s"}
        specs = {
            "slow-first": [task("a", "sleep 3"), task("b", "sleep 1", "a")],
            "slow-last": [task("a", "sleep 0.3"), task("b", "sleep 3", "a")],
            "steps": [task("a", "sleep 0.3"), task("b", "sleep 0.5", "a"), task("c", ":", "b")],
            "again": [task("a", "test $ACTIVITYCTL_ATTEMPT -ge 3", retry=retry)],
        }
        await self.apply_specs({name: {"tasks": tasks} for name, tasks in specs.items()})

    async def fire_all(self) -> None:
        async with self.ports() as ports:
            for number in range(FIRINGS):
                firings = [
                    FiringRequest(ids.subscription_id(name), "manual", f"s/{number}", now())
                    for name in NAMES
                ]
                await ports.outbox.add(firings, now())
                await asyncio.sleep(0.1)

    async def wait_until_seen(self) -> int:
        """Wait until all runs have ended but those of workflows that are known to be stuck."""
        deadline = time.monotonic() + SEEN_WITHIN
        while True:
            left = await self.retry_while_down(self._unseen)
            if not left:
                async with self.ports() as ports:
                    return len(await ports.stuck_runs.stuck_workflows())
            assert time.monotonic() < deadline, left
            await asyncio.sleep(0.5)

    async def _unseen(self) -> set[str]:
        client = await wiring.connect_temporal(load_settings({"home": self.home}, {}))
        opened = await wiring.build_starter(client).open_workflows()
        runs = await self.fetch("SELECT workflow_id FROM runs WHERE ended_at IS NULL")
        firings = await self.fetch("SELECT id FROM firings WHERE dispatched_at IS NULL")
        names = {*opened, *(run["workflow_id"] for run in runs)}
        async with self.ports() as ports:
            stuck = set(await ports.stuck_runs.stuck_workflows())
        return (names - stuck) | {str(firing["id"]) for firing in firings}


@pytest.mark.slow
@pytest.mark.timeout(700)
async def test_what_a_worker_remembers_and_temporal_forgets_is_carried_on(tmp_path: Path) -> None:
    drill = LostSecondsDrill(tmp_path / "home", random.Random(f"seconds {seed()}"))
    kept = tmp_path / "kept"
    with drill.running():
        await drill.apply()
        firing = asyncio.create_task(drill.fire_all())
        await asyncio.sleep(drill.chance.uniform(1, 2))
        drill.copy_temporal(kept)
        await asyncio.sleep(drill.chance.uniform(0.5, 3))
        await asyncio.to_thread(drill.put_back_temporal, kept)
        lost_at = time.monotonic()
        await firing
        stuck = await drill.wait_until_seen()
        seconds = time.monotonic() - lost_at
        print(f"{seconds:.0f} s after the loss, all had ended but {stuck} stuck workflows")
        if FULL:
            await drill.all_ended(len(NAMES) * FIRINGS, PATIENCE)
            await drill.wait_for_temporal(PATIENCE)
            print(f"all had gone on {time.monotonic() - lost_at:.0f} s after the loss")
        runs = await drill.fetch("SELECT * FROM runs")
        tasks = await drill.fetch("SELECT id, attempts, status FROM tasks")
    has_ended = {run["status"] for run in runs if FULL or run["ended_at"]}
    assert has_ended == {"succeeded"}
    assert len(runs) == len(NAMES) * FIRINGS
    marks, effects = drill.effects()
    assert len(marks) == len({tuple(mark) for mark in marks}), "an attempt ran twice"
    assert all(effects[task["id"]] <= task["attempts"] for task in tasks)
    done = {task["id"] for task in tasks if task["status"] == "succeeded"}
    assert effects.keys() >= done
    assert not FULL or len(done) == len(tasks)
