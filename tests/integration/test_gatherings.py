"""Triggers that gather events, on real servers: a restart or kill -9 loses and repeats nothing.

    DRILL_SEED=7 pytest tests/integration/test_gatherings.py -rP

repeats the drill with the seed that an earlier drill printed.
"""

import asyncio
import json
import os
import random
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from activityctl import wiring
from activityctl.domain.events.envelope import EventEnvelope, envelope_of
from activityctl.domain.gitops.manifest_set import ManifestSet
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.subscription import SubscriptionManifest
from activityctl.domain.runs.run import Run
from activityctl.domain.values.selection import Selection
from activityctl.operations.gitops.apply import apply
from activityctl.settings import Settings

COMMAND = Path(sys.executable).parent / "activityctl"
KEY = "${ event.data.key }"
PAIR = [{"name": "left", "type": "left"}, {"name": "right", "type": "right"}]
TRIGGERS: Mapping[str, Mapping[str, Any]] = {
    "pairs": {"all": PAIR, "key": KEY, "within": "5m"},
    "quiet": {"type": "left", "debounce": {"for": "1s", "key": "${ event.data.group }"}},
    "batches": {"type": ["left", "right"], "batch": {"size": 7, "within": "2s"}},
    "lonely": {
        "absence": {
            "after": {"type": "left"},
            "of": {"type": "right"},
            "within": "4s",
            "key": KEY,
        }
    },
}


def now() -> datetime:
    return datetime.now(UTC)


PRESENT = {"source": "/test", "name": "gatherer"}


@pytest.fixture(autouse=True)
def names_of_its_own() -> None:
    """Give each test its own names, from which the ids of workflows are computed.

    All tests share one Temporal: with equal names, the worker of the next test would continue
    open workflows of the test before in its own database.
    """
    mark = uuid.uuid4().hex
    PRESENT.update(source=f"/test/{mark}", name=f"gatherer-{mark}")


def event(kind: str, number: int) -> EventEnvelope:
    data = {"key": number, "group": number % 5}
    document = {"specversion": "1.0", "id": f"{kind}-{number}", "type": kind, "data": data}
    return envelope_of({**document, "source": PRESENT["source"]})


async def subscribe(ports: wiring.Ports, *names: str) -> None:
    """Apply the named triggers; a rule skips every run, because the tests need only its events."""
    spec = {
        "triggers": [{"name": name, "event": TRIGGERS[name]} for name in names],
        "rules": [{"when": "size(trigger.events) == 0", "otherwise": "seen"}],
        "tasks": [{"name": "never", "command": {"argv": ["true"]}}],
    }
    name = PRESENT["name"]
    whole = {"metadata": {"name": name}, "spec": spec}
    definition = ActivityDefinition.model_validate_json(json.dumps(whole))
    manifest = SubscriptionManifest.model_validate(
        {"metadata": {"name": name}, "spec": {"activity": name}}
    )
    manifests = ManifestSet({name: definition}, {name: manifest}, {})
    await apply(manifests, ports.catalog, ports.register, ports.workers, now, timeout_seconds=60)


def start_worker(settings: Settings) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ,
        "ACTIVITYCTL_DATABASE_URL": settings.required_database_url(),
        "TEMPORAL_ADDRESS": settings.required_temporal_address(),
        "ACTIVITYCTL_HOME": str(settings.home / "home"),
    }
    with (settings.home / "worker.log").open("ab") as log:
        return subprocess.Popen([str(COMMAND), "worker"], env=environment, stdout=log, stderr=log)


@asynccontextmanager
async def worker(settings: Settings) -> AsyncIterator[subprocess.Popen[bytes]]:
    """Start a worker process, and end it with kill -9."""
    process = start_worker(settings)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


async def wait_for_worker(ports: wiring.Ports) -> None:
    async with asyncio.timeout(60):
        while not await ports.workers.alive(timedelta(seconds=5)):
            await asyncio.sleep(0.05)


async def routed(ports: wiring.Ports, events: Sequence[EventEnvelope]) -> None:
    async with asyncio.timeout(60):
        while await ports.events.unrouted([event.event_id for event in events]):
            await asyncio.sleep(0.02)


async def runs(ports: wiring.Ports, trigger: str, count: int, seconds: float = 120) -> list[Run]:
    """Wait until the trigger has `count` ended runs; return them in the order of due times."""
    async with asyncio.timeout(seconds):
        while True:
            found = await ports.run_lists.runs(Selection(limit=10_000))
            ended = [run for run in found if run.trigger == trigger and run.has_ended]
            if len(ended) >= count:
                return sorted(ended, key=lambda run: run.due_at)
            await asyncio.sleep(0.05)


def event_ids(run: Run) -> list[str]:
    return [event["id"] for event in run.events]


async def test_waiting_events_survive_a_restart_of_the_worker(
    ports: wiring.Ports, settings: Settings
):
    await subscribe(ports, "pairs", "quiet", "lonely")
    first = [event("left", 1), event("left", 6), event("left", 2)]
    async with worker(settings):
        await wait_for_worker(ports)
        await ports.events.add(first)
        await routed(ports, first)
    await ports.events.add([event("right", 1)])
    await asyncio.sleep(4.1)  # all waiting times end while no worker runs
    async with worker(settings):
        (pair,) = await runs(ports, "pairs", 1)
        quiet = await runs(ports, "quiet", 2)
        lonely = await runs(ports, "lonely", 2)
    assert event_ids(pair) == ["left-1", "right-1"]
    assert sorted(event_ids(run) for run in quiet) == [["left-1", "left-6"], ["left-2"]]
    assert sorted(event_ids(run) for run in lonely) == [["left-2"], ["left-6"]]
    arrived_at = (await ports.events.find_event("left-2")).arrived_at
    (due_at,) = [run.due_at for run in lonely if event_ids(run) == ["left-2"]]
    assert due_at == arrived_at + timedelta(seconds=4)


@pytest.mark.slow
async def test_kill_9_at_any_moment_loses_and_repeats_no_event(
    ports: wiring.Ports, settings: Settings
):
    seed = int(os.environ.get("DRILL_SEED", time.time_ns() % 100_000))
    print(f"DRILL_SEED={seed}")
    chance = random.Random(seed)
    await subscribe(ports, "pairs", "quiet", "batches")
    numbers = range(120)
    everything = [event(kind, number) for kind in ("left", "right") for number in numbers]
    chance.shuffle(everything)

    async def emit() -> None:
        for first in range(0, len(everything), 10):
            await ports.events.add(everything[first : first + 10])
            await asyncio.sleep(chance.uniform(0, 0.5))

    emitting = asyncio.create_task(emit())
    for _ in range(3):
        async with worker(settings):
            await asyncio.sleep(chance.uniform(1.5, 3.5))
    await emitting
    async with worker(settings):
        pairs = await runs(ports, "pairs", len(numbers), 60)
        await routed(ports, everything)
        await all_fired(ports, everything)
        quiet, batches = await runs(ports, "quiet", 5), await runs(ports, "batches", 35)
    sent = Counter(event.id for event in everything)
    assert counts(pairs) == sent
    pair_ids = [event_ids(run) for run in pairs]
    assert all(left.split("-")[1] == right.split("-")[1] for left, right in pair_ids)
    assert counts(batches) == sent
    assert all(len(run.events) <= 7 for run in batches)
    assert counts(quiet) == Counter(event.id for event in everything if event.type == "left")


def counts(runs: Sequence[Run]) -> Counter[str]:
    """Return how often each event is in the runs, by its id."""
    return Counter(name for run in runs for name in event_ids(run))


async def all_fired(ports: wiring.Ports, events: Sequence[EventEnvelope]) -> None:
    """Wait until no event is gathered any more and the run of every firing has ended."""
    deadline = asyncio.get_running_loop().time() + 60
    while True:
        verdicts = await ports.events.verdicts([event.event_id for event in events])
        wanted = {(verdict.trigger, verdict.firing_key) for verdict in verdicts}
        found = await ports.run_lists.runs(Selection(limit=10_000))
        ended = {(run.trigger, run.firing_key) for run in found if run.has_ended}
        outcomes = Counter(verdict.outcome for verdict in verdicts)
        if wanted == ended and set(outcomes) == {"woken"}:
            return
        open_runs = [run for run in found if not run.has_ended]
        state = (wanted - ended, ended - wanted, outcomes, open_runs)
        assert asyncio.get_running_loop().time() < deadline, state
        await asyncio.sleep(0.1)
