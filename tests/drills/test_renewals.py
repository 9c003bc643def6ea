"""kill -9 while a large run changes histories: nothing is lost, doubled or left open.

DRILL_SEED=7 DRILL_FULL=1 pytest tests/drills/test_renewals.py -rP
"""

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from temporalio.client import Client, WorkflowExecutionStatus

from activityctl import wiring
from activityctl.domain.runs.run import RunStatus, TaskStatus
from activityctl.settings import Settings
from support.drilled import seed
from support.engine import Engine
from support.leftovers import note_worker

FULL = os.environ.get("DRILL_FULL") == "1"
ITEMS = 300 if FULL else 40
RENEW_FROM = 20 if FULL else 12
"""So few calls make a history long enough, instead of 1,500."""
PARALLEL = 4
POINTS = ("holding", "leaving", "begun")
"""Where a worker kills itself: when the run starts nothing new any more, when all that was at work
has ended and it leaves its history, and when it has begun to go on in the new one."""
PROGRAM = """
import os, signal, sys
from datetime import timedelta
from activityctl.workflows import carrier, renewal
renewal.RENEW_FROM = renewal.STEP = {renew_from}
renewal.PATIENCE = timedelta(seconds=10)
carrier.HEARTBEAT_TIMEOUT = timedelta(seconds=4)
Carrier, point = carrier.RunCarrier, {point!r}

def kill():
    os.kill(os.getpid(), signal.SIGKILL)

def hold(self, orders, hold=Carrier._hold):
    hold(self, orders)
    if point == "holding" and self._renewal.is_near:
        kill()

def can_leave(self, can_leave=Carrier._can_leave):
    found = can_leave(self)
    if found and point == "leaving":
        kill()
    return found

async def admit(self, admit=Carrier._admit):
    orders = await admit(self)
    if point == "begun" and self.firing.cause == "recovery":
        kill()
    return orders

Carrier._hold, Carrier._can_leave, Carrier._admit = hold, can_leave, admit
from activityctl.__main__ import main
main()
"""


class Workers:
    """Starts workers in processes of their own, each of which may kill itself at a point."""

    def __init__(self, settings: Settings) -> None:
        assert settings.database_url is not None
        kept = {key: value for key, value in os.environ.items() if not key.startswith("ACTIVITY")}
        self._environment: Mapping[str, str] = {
            **kept,
            "ACTIVITYCTL_HOME": str(settings.home),
            "ACTIVITYCTL_DATABASE_URL": settings.database_url.value,
            "ACTIVITYCTL_ALLOW_COMMANDS": "true",
            "TEMPORAL_ADDRESS": settings.required_temporal_address(),
        }
        self._log = settings.home / "workers.log"

    @contextmanager
    def one(self, point: str = "") -> Iterator[subprocess.Popen[bytes]]:
        program = PROGRAM.format(renew_from=RENEW_FROM, point=point)
        command = [sys.executable, "-c", program, "worker"]
        with self._log.open("ab") as log:
            worker = subprocess.Popen(command, env=self._environment, stdout=log, stderr=log)
        try:
            yield worker
        finally:
            worker.kill()
            worker.wait()

    def told(self) -> str:
        return self._log.read_text("utf-8", errors="replace")[-2_000:]


async def ended_by_itself(worker: subprocess.Popen[bytes], workers: Workers) -> None:
    """Wait until the worker has killed itself."""
    deadline = time.monotonic() + 120
    while worker.poll() is None:
        assert time.monotonic() < deadline, workers.told()
        await asyncio.sleep(0.1)
    assert worker.returncode == -signal.SIGKILL, workers.told()


@pytest.mark.slow
@pytest.mark.timeout(900 if FULL else 400)
async def test_a_worker_that_dies_while_a_run_changes_histories_loses_nothing(
    ports: wiring.Ports, settings: Settings, tmp_path: Path
) -> None:
    note_worker(settings)
    engine, workers, marks = Engine(ports), Workers(settings), tmp_path / "marks"
    chance = random.Random(seed())  # no secret
    mark = f'echo "$ACTIVITYCTL_TASK_ID $ACTIVITYCTL_ATTEMPT" >> {marks}'
    # Behind a limit, each item is a call of its own.
    each = {"forEach": list(range(ITEMS)), "maxParallel": PARALLEL, "limit": "calls"}
    await engine.apply(
        {
            "limits": [{"name": "calls", "rate": 500, "burst": 500}],
            "tasks": [
                {"name": "each", **each, "command": {"shell": mark}},
                {"name": "after", "needs": ["each"], "command": {"shell": mark}},
            ],
        }
    )
    run_id = await engine.fire()
    points = [*POINTS * (3 if FULL else 1)]
    chance.shuffle(points)
    points = points if FULL else points[:2]
    for point in points:
        with workers.one(point) as worker:
            await ended_by_itself(worker, workers)
    with workers.one():
        run = await engine.ended(run_id, 300)
        await check_workflows(ports, settings, run_id)
    assert (run.status, run.reason) == (RunStatus.SUCCEEDED, None)
    state = await ports.runs.load(run_id)
    assert state is not None
    tasks = {task.id: task for task in state.tasks}
    assert len(tasks) == ITEMS + 1
    assert {task.status for task in tasks.values()} == {TaskStatus.SUCCEEDED}
    attempts = await ports.run_lists.attempts(list(tasks))
    assert all(attempt.ended_at for attempt in attempts)
    made = Counter(marks.read_text().splitlines())
    assert set(made.values()) == {1}, "an attempt ran twice"
    assert {line.split()[0] for line in made} == tasks.keys()
    repeats = sum(task.attempts for task in tasks.values()) - len(tasks)
    assert repeats <= PARALLEL * len(points), "more was repeated than was at work"
    print(json.dumps({"points": points, "repeats": repeats}))


async def check_workflows(ports: wiring.Ports, settings: Settings, run_id: str) -> None:
    """Check that the workflow has had several histories, and that none of them is open."""
    row = await ports.runs._database.fetch_one(  # type: ignore[attr-defined]
        "SELECT workflow_id FROM runs WHERE id = %(id)s", id=run_id
    )
    client = await Client.connect(settings.required_temporal_address())
    query = f"WorkflowId = '{row['workflow_id']}'"
    async with asyncio.timeout(120):
        while True:
            found = [described.status async for described in client.list_workflows(query)]
            if WorkflowExecutionStatus.RUNNING not in found and len(found) > 1:
                break
            await asyncio.sleep(0.2)
    assert Counter(found)[WorkflowExecutionStatus.COMPLETED] == 1
    assert set(found) == {
        WorkflowExecutionStatus.COMPLETED,
        WorkflowExecutionStatus.CONTINUED_AS_NEW,
    }
