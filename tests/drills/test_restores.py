"""A backup is taken under load, time passes, and it is restored beside today's Temporal.

    DRILL_SEED=7 pytest tests/drills/test_restores.py -rP

repeats the drill with the seed that an earlier drill printed. The first restore is killed at a
random moment, and the second does everything. A server counts the calls of each idempotency key.
"""

import asyncio
import json
import os
import random
import subprocess
import time
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from activityctl.domain.events.envelope import EventEnvelope, envelope_of
from activityctl.domain.timing.firing import FiringRequest
from activityctl.domain.values import ids
from support.drilled import PortsDrill, Receiver, receiving, seed
from support.engine import now
from support.forked import COMMAND

FIRINGS = 15
BEFORE = 5
"""So many calls have come when the backup is taken; the firings go on meanwhile."""
PATIENCE = 240.0


class RestoreDrill(PortsDrill):
    """A daemon with runs of three tasks, a schedule, and a server that they call."""

    def __init__(self, home: Path, chance: random.Random, receiver: Receiver) -> None:
        super().__init__(home, chance)
        self.receiver = receiver

    async def apply(self) -> None:
        first, last = self.call("first"), {**self.call("last"), "needs": ["pause"]}
        pause = {"name": "pause", "needs": ["first"], "wait": {"for": "7s"}}
        every = {"name": "every", "interval": {"every": "1s", "misfire": {"policy": "fire_all"}}}
        specs: dict[str, dict[str, Any]] = {
            "three": {"tasks": [first, pause, last]},
            "queued": {"tasks": [first], "concurrency": {"policy": "queue", "limit": 1}},
            "timed": {"tasks": [first], "triggers": [every]},
        }
        await self.apply_specs(specs)

    def call(self, name: str) -> dict[str, Any]:
        http = {"method": "POST", "url": f"{self.receiver.url}/{name}", "json": "${ run.id }"}
        return {"name": name, "http": http}

    async def fire(self, first: int, count: int) -> None:
        """Store firings of two subscriptions, over some seconds, and an event with each."""
        async with self.ports() as ports:
            for number in range(first, first + count):
                firings = [
                    FiringRequest(ids.subscription_id(name), "manual", f"back/{number}", now())
                    for name in ("three", "queued")
                ]
                await ports.outbox.add(firings, now())
                await ports.events.add([event(number)])
                await asyncio.sleep(0.2)

    def command(self, *arguments: str) -> subprocess.Popen[str]:
        kept = {key: value for key, value in os.environ.items() if "ACTIVITYCTL" not in key}
        return subprocess.Popen(
            [str(COMMAND), "--home", str(self.home), *arguments],
            env=kept,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    async def done(self, *arguments: str) -> str:
        """Run a command and return what it printed."""
        process = self.command(*arguments)
        out, err = await asyncio.to_thread(process.communicate, timeout=PATIENCE)
        assert process.returncode == 0, f"{arguments}\n{out}\n{err}"
        return out

    async def kill_after(self, seconds: float, *arguments: str) -> None:
        """Begin with a command and kill it."""
        process = self.command(*arguments)
        await asyncio.sleep(seconds)
        process.kill()
        await asyncio.to_thread(process.communicate)

    async def all_ended(self) -> list[Any]:
        """Wait until all runs have ended, and return them."""
        deadline = time.monotonic() + PATIENCE
        while True:
            runs = await self.retry_while_down(lambda: self.fetch("SELECT * FROM runs"))
            waiting = await self.retry_while_down(
                lambda: self.fetch("SELECT id FROM firings WHERE dispatched_at IS NULL")
            )
            if not waiting and all(run["ended_at"] for run in runs):
                return runs
            assert time.monotonic() < deadline, Counter(run["status"] for run in runs)
            await asyncio.sleep(0.3)


def event(number: int) -> EventEnvelope:
    return envelope_of(
        {"specversion": "1.0", "id": f"e{number}", "source": "drill", "type": "drill.event"}
    )


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_a_restored_ledger_and_a_newer_temporal_are_brought_together(tmp_path: Path) -> None:
    chance = random.Random(f"restore {seed()}")
    backup = tmp_path / "a.backup"
    with receiving() as receiver:
        drill = RestoreDrill(tmp_path / "home", chance, receiver)
        with drill.running():
            await drill.apply()
            firing = asyncio.create_task(drill.fire(0, FIRINGS))
            await drill.until(lambda: len(receiver.received) > BEFORE, 60)
            taken = json.loads(await drill.done("backup", str(backup), "--verify", "-o", "json"))
            await firing
            await drill.fire(FIRINGS, FIRINGS)  # the backup knows nothing of these
            await asyncio.sleep(chance.uniform(2, 5))

            options = ("restore", str(backup), "--replace", "--stop-workers", "--yes")
            await drill.kill_after(chance.uniform(1, 6), *options)
            restored = json.loads(await drill.done(*options, "-o", "json"))
            sent_before = len(receiver.received)
            print(f"settled: {restored['settled']['endedWorkflows']} unknown workflows were ended")
            assert restored["rows"] == taken["rows"]
            assert restored["settled"]["endedWorkflows"] > 0

            taken_at = datetime.fromisoformat(taken["takenAt"])
            rows = await drill.fetch("SELECT id, ended_at FROM tasks WHERE kind = 'http'")
            ended = {row["id"] for row in rows if row["ended_at"] and row["ended_at"] <= taken_at}
            (fired,) = await drill.fetch(
                "SELECT count(*) AS n FROM firings WHERE trigger = 'manual'"
            )
            await asyncio.sleep(3)  # the schedule goes on
            await drill.done("pause", "timed")
            runs = await drill.all_ended()
            await drill.wait_for_temporal(PATIENCE)
            tasks = {row["id"]: row for row in await drill.fetch("SELECT * FROM tasks")}
            (events,) = await drill.fetch("SELECT count(*) AS n FROM events")

    statuses = Counter((run["trigger"], run["status"]) for run in runs)
    print(f"{len(runs)} runs: {dict(statuses)}, {len(ended)} tasks had ended in the backup")
    assert {status for trigger, status in statuses if trigger == "manual"} == {"succeeded"}
    assert {status for _, status in statuses} <= {"succeeded", "missed"}
    assert statuses["manual", "succeeded"] == fired["n"] > 0
    effects = Counter(key for _, key, _ in receiver.received)
    assert ended
    assert {effects[task] for task in ended} == {1}, "a finished task was repeated"
    again = {key for _, key, _ in receiver.received[sent_before:]}
    assert again <= tasks.keys(), "a task was called that the ledger does not know"
    calls = {key for key, row in tasks.items() if row["kind"] == "http"}
    assert {tasks[key]["status"] for key in calls} == {"succeeded"}
    assert all(effects[key] >= 1 for key in calls)
    due = sorted(run["due_at"] for run in runs if run["trigger"] == "every")
    seconds = round((due[-1] - due[0]).total_seconds())
    assert len(due) == len(set(due)) == seconds + 1, "a nominal time has no row, or two"
    assert events["n"] == taken["rows"]["events"]
