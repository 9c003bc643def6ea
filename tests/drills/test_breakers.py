"""Three workers at one breaker: a failing destination is probed by one of them only.

    DRILL_SEED=7 pytest tests/drills/test_breakers.py -rP

repeats the drill with the seed that an earlier drill printed.
"""

import asyncio
import itertools
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from activityctl.domain.gitops.manifest_set import ManifestSet
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.subscription import SubscriptionManifest
from activityctl.domain.timing.firing import FiringRequest
from activityctl.domain.values import ids
from activityctl.operations.gitops.apply import apply
from support.drilled import PortsDrill, Receiver, receiving, seed
from support.engine import now

RUNS = 30
OPEN_SECONDS = 2.0
PERIODS = 4
PATIENCE = 180.0


class Stamped(list[tuple[str, str]]):
    """The refused calls, and when each came."""

    def __init__(self) -> None:
        super().__init__()
        self.times: list[float] = []

    def append(self, call: tuple[str, str]) -> None:
        self.times.append(time.monotonic())
        super().append(call)


@contextmanager
def more_workers(home: Path, count: int) -> Iterator[None]:
    """Run so many workers beside that of the daemon."""
    command = [sys.executable, "-m", "activityctl", "--home", str(home), "worker"]
    started = [subprocess.Popen(command, env=os.environ) for _ in range(count)]
    try:
        yield
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait(60)


async def start(drill: PortsDrill, receiver: Receiver) -> None:
    task = {
        "name": "pay",
        "http": {"method": "POST", "url": f"{receiver.url}/pay", "json": "${ run.id }"},
        "breaker": {"name": "bank", "failures": 5, "openFor": f"{OPEN_SECONDS:g}s"},
        "retry": {"maxAttempts": 50, "initialInterval": "200ms", "maxInterval": "1s"},
    }
    whole = {"metadata": {"name": "paying"}, "spec": {"tasks": [task]}}
    subscription = {"metadata": {"name": "paying"}, "spec": {"activity": "paying"}}
    manifests = ManifestSet(
        {"paying": ActivityDefinition.model_validate_json(json.dumps(whole))},
        {"paying": SubscriptionManifest.model_validate(subscription)},
        {},
    )
    owner = ids.subscription_id("paying")
    firings = [FiringRequest(owner, "manual", f"drill/{n}", now()) for n in range(RUNS)]
    async with drill.ports() as ports:
        await apply(
            manifests, ports.catalog, ports.register, ports.workers, now, timeout_seconds=60
        )
        await ports.outbox.add(firings, now())


async def breaker(drill: PortsDrill) -> tuple[str, int]:
    rows = await drill.fetch("SELECT status, openings FROM breakers")
    return (rows[0]["status"], rows[0]["openings"]) if rows else ("closed", 0)


async def drill_breaker(drill: PortsDrill, receiver: Receiver) -> None:
    refused = Stamped()
    receiver.refused = refused
    receiver.broken.add("pay")
    async with asyncio.timeout(PATIENCE):
        while len(await drill.fetch("SELECT id FROM workers")) < 3:
            await asyncio.sleep(0.5)
        await start(drill, receiver)
        while (await breaker(drill))[1] < 2:  # what was under way has ended when it opens again
            await asyncio.sleep(0.1)
    began, seen, opened = time.monotonic(), len(refused), (await breaker(drill))[1]
    await asyncio.sleep(OPEN_SECONDS * PERIODS)
    probes = refused.times[seen:]
    gaps = [after - before for before, after in itertools.pairwise(probes)]
    print(f"probes in {PERIODS} periods: {len(probes)}, gaps: {[round(gap, 2) for gap in gaps]}")
    # One call for each time that the breaker was open, whoever probes; one may be under way.
    most = (time.monotonic() - began) / OPEN_SECONDS + 1
    assert len(probes) <= most
    assert all(gap >= OPEN_SECONDS / 4 for gap in gaps)  # a call may come late to a busy server
    opened = (await breaker(drill))[1] - opened
    assert opened <= (time.monotonic() - began) / OPEN_SECONDS + 1

    receiver.broken.clear()
    async with asyncio.timeout(PATIENCE):
        while len(receiver.received) < RUNS:
            await asyncio.sleep(0.2)
        while (await drill.fetch("SELECT count(*) AS n FROM runs WHERE ended_at IS NULL"))[0]["n"]:
            await asyncio.sleep(0.2)
    assert (await breaker(drill))[0] == "closed"
    assert len({key for _, key, _ in receiver.received}) == len(receiver.received) == RUNS
    statuses = await drill.fetch("SELECT DISTINCT status FROM runs")
    assert [row["status"] for row in statuses] == ["succeeded"]
    workers = await drill.fetch("SELECT DISTINCT worker FROM attempts")
    print(f"workers that took part: {len(workers)}")
    assert len(workers) > 1


@pytest.mark.timeout(600)
async def test_a_failing_destination_is_probed_by_one_of_three_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACTIVITYCTL_ALLOW_HTTP", "true")
    monkeypatch.setenv("ACTIVITYCTL_ALLOWED_NETWORKS", "127.0.0.0/8")
    drill = PortsDrill(tmp_path / "home", random.Random(seed()))
    with receiving() as receiver, drill.running():
        await drill.retry_while_down(lambda: drill.fetch("SELECT 1 FROM runs"), 120)
        with more_workers(drill.home, 2):
            await drill_breaker(drill, receiver)
