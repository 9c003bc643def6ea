"""Triggers of several events on real servers: a restart, or kill -9, forgets and doubles nothing.

    DRILL_SEED=7 pytest tests/integration/test_gatherings.py -rP

repeats the drill with a seed that an earlier one printed.
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
    """The tests share one Temporal, where a workflow's id follows from these names.

    What one test leaves open there, the next one's worker would carry on in its own database.
    """
    mark = uuid.uuid4().hex
    PRESENT.update(source=f"/test/{mark}", name=f"gatherer-{mark}")


def event(kind: str, number: int) -> EventEnvelope:
    data = {"key": number, "group": number % 5}
    document = {"specversion": "1.0", "id": f"{kind}-{number}", "type": kind, "data": data}
    return envelope_of({**document, "source": PRESENT["source"]})


async def subscribe(ports: wiring.Ports, *names: str) -> None:
    """Apply those of the triggers; a run is skipped by its rule, its events being all we want."""
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
    await apply(manifests, ports.catalog, ports.register, ports.workers, now, timeout_seconds=10)


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
    """A worker process, gone with kill -9 at the end."""
    process = start_worker(settings)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


async def at_work(ports: wiring.Ports) -> None:
    async with asyncio.timeout(30):
        while not await ports.workers.alive(timedelta(seconds=5)):
            await asyncio.sleep(0.05)


async def routed(ports: wiring.Ports, events: Sequence[EventEnvelope]) -> None:
    async with asyncio.timeout(30):
        while await ports.events.unrouted([one.event_id for one in events]):
            await asyncio.sleep(0.02)


async def runs(ports: wiring.Ports, trigger: str, count: int, seconds: float = 30) -> list[Run]:
    """Wait until the trigger has so many ended runs; they in the order of their times."""
    async with asyncio.timeout(seconds):
        while True:
            found = await ports.run_lists.runs(Selection(limit=10_000))
            ended = [one for one in found if one.trigger == trigger and one.has_ended]
            if len(ended) >= count:
                return sorted(ended, key=lambda one: one.due_at)
            await asyncio.sleep(0.05)


def seen(run: Run) -> list[str]:
    return [one["id"] for one in run.events]


async def test_what_waits_survives_the_worker(ports: wiring.Ports, settings: Settings):
    await subscribe(ports, "pairs", "quiet", "lonely")
    first = [event("left", 1), event("left", 6), event("left", 2)]
    async with worker(settings):
        await at_work(ports)
        await ports.events.add(first)
        await routed(ports, first)
    await ports.events.add([event("right", 1)])
    await asyncio.sleep(4.1)  # the times of all that waits are over with nobody at work
    async with worker(settings):
        (pair,) = await runs(ports, "pairs", 1)
        quiet = await runs(ports, "quiet", 2)
        lonely = await runs(ports, "lonely", 2)
    assert seen(pair) == ["left-1", "right-1"]
    assert sorted(seen(one) for one in quiet) == [["left-1", "left-6"], ["left-2"]]
    assert sorted(seen(one) for one in lonely) == [["left-2"], ["left-6"]]
    arrived_at = (await ports.events.find_event("left-2")).arrived_at
    (due_at,) = [one.due_at for one in lonely if seen(one) == ["left-2"]]
    assert due_at == arrived_at + timedelta(seconds=4)


@pytest.mark.slow
async def test_kill_9_at_any_moment_loses_and_doubles_no_event(
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
        await settled(ports, everything)
        quiet, batches = await runs(ports, "quiet", 5), await runs(ports, "batches", 35)
    assert Counter(name for one in pairs for name in seen(one)) == Counter(
        one.id for one in everything
    )
    assert all(seen(one)[0].split("-")[1] == seen(one)[1].split("-")[1] for one in pairs)
    assert Counter(name for one in batches for name in seen(one)) == Counter(
        one.id for one in everything
    )
    assert all(len(one.events) <= 7 for one in batches)
    lefts = Counter(one.id for one in everything if one.type == "left")
    assert Counter(name for one in quiet for name in seen(one)) == lefts


async def settled(ports: wiring.Ports, events: Sequence[EventEnvelope]) -> None:
    """Wait until nothing is gathered any more, and every firing has its ended run."""
    deadline = asyncio.get_running_loop().time() + 60
    while True:
        verdicts = await ports.events.verdicts([one.event_id for one in events])
        wanted = {(one.trigger, one.firing_key) for one in verdicts}
        found = await ports.run_lists.runs(Selection(limit=10_000))
        ended = {(one.trigger, one.firing_key) for one in found if one.has_ended}
        outcomes = Counter(one.outcome for one in verdicts)
        if wanted == ended and set(outcomes) == {"woken"}:
            return
        open_runs = [one for one in found if not one.has_ended]
        state = (wanted - ended, ended - wanted, outcomes, open_runs)
        assert asyncio.get_running_loop().time() < deadline, state
        await asyncio.sleep(0.1)
