"""kill -9 during a forEach of many items: none is missing, and no attempt runs twice.

DRILL_SEED=7 DRILL_FULL=1 pytest tests/drills/test_large_runs.py -rP
"""

import asyncio
import json
import os
import random
import signal
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from activityctl.daemon.local.state import read_state
from activityctl.domain.gitops.manifest_set import ManifestSet
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.subscription import SubscriptionManifest
from activityctl.domain.timing.firing import FiringRequest
from activityctl.domain.values import ids
from activityctl.operations.gitops.apply import apply
from support.drilled import PortsDrill, seed

FULL = os.environ.get("DRILL_FULL") == "1"
ITEMS = 300 if FULL else 150
PARALLEL = 4
KILLED = ("worker", "temporal", "postgres", *(("worker",) * (2 if FULL else 0)))
PATIENCE = 150.0


def now() -> datetime:
    return datetime.now(UTC)


async def store_run(drill: PortsDrill, marks: Path) -> FiringRequest:
    """Apply the definition and fire it once."""
    mark = f'echo "$ACTIVITYCTL_TASK_ID $ACTIVITYCTL_ATTEMPT" >> {marks}; sleep 0.1'
    each = {"name": "each", "forEach": list(range(ITEMS)), "maxParallel": PARALLEL}
    tasks = [
        {**each, "command": {"shell": mark}},
        {"name": "after", "needs": ["each"], "command": {"shell": mark}},
    ]
    definition = {"metadata": {"name": "many"}, "spec": {"tasks": tasks}}
    manifests = ManifestSet(
        {"many": ActivityDefinition.model_validate_json(json.dumps(definition))},
        {
            "many": SubscriptionManifest.model_validate(
                {"metadata": {"name": "many"}, "spec": {"activity": "many"}}
            )
        },
        {},
    )
    firing = FiringRequest(ids.subscription_id("many"), "manual", "drill/1", now())
    async with drill.ports() as ports:
        catalog, register, workers = ports.catalog, ports.register, ports.workers
        await apply(manifests, catalog, register, workers, now, timeout_seconds=60)
        await ports.outbox.add([firing], now())
    return firing


async def kill(drill: PortsDrill, name: str) -> None:
    """Kill one component, and wait until the supervisor has noticed."""
    while not read_state(drill.home).ready:
        await asyncio.sleep(0.1)
    state = read_state(drill.home)
    (pid,) = (part.pid for part in state.components if part.name == name)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    while read_state(drill.home) == state:
        await asyncio.sleep(0.1)


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_no_item_of_a_large_for_each_is_missing_and_no_attempt_runs_twice(tmp_path: Path):
    drill = PortsDrill(tmp_path / "home", random.Random(seed()))  # no secret
    marks = tmp_path / "marks"
    with drill.running():
        firing = await store_run(drill, marks)
        for name in KILLED:
            await asyncio.sleep(drill.chance.uniform(0.5, 3))
            await kill(drill, name)
        deadline, run_id = time.monotonic() + PATIENCE, firing.ref.run_id
        runs = await drill.retry_while_down(lambda: drill.fetch("SELECT * FROM runs"))
        while not runs or runs[0]["ended_at"] is None:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.3)
            runs = await drill.retry_while_down(lambda: drill.fetch("SELECT * FROM runs"))
        assert [(run["id"], run["status"]) for run in runs] == [(run_id, "succeeded")]
        tasks = {row["id"]: row for row in await drill.fetch("SELECT * FROM tasks")}
    assert {task["status"] for task in tasks.values()} == {"succeeded"}
    made = Counter(line for line in marks.read_text().splitlines() if line)
    assert set(made.values()) == {1}, "an attempt ran twice"
    marked = Counter(line.split()[0] for line in made.elements())
    assert marked.keys() == tasks.keys()
    repeats = sum(marked.values()) - len(tasks)
    assert repeats <= PARALLEL * len(KILLED)
    assert all(tasks[key]["attempts"] >= count for key, count in marked.items())
