"""A full disk under Postgres, Temporal and the logs, while events come and runs are at work.

    DRILL_SEED=7 DRILL_FULL=1 pytest tests/drills/test_full_disk.py -rP

repeats a drill with the seed that an earlier drill printed. The home of the daemon is a small file
system in memory, which the drill fills and empties; only root may mount it. With DRILL_FULL=1 it
does so more often and longer.
"""

import asyncio
import itertools
import json
import os
import random
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from activityctl.domain.events.envelope import EventEnvelope, envelope_of
from activityctl.domain.values.ids import subscription_id
from activityctl.errors import UnreachableError
from activityctl.wiring import Ports
from support.drilled import PortsDrill, Receiver, receiving, seed
from support.forked import run_command

FULL = os.environ.get("DRILL_FULL") == "1"
TIMES = 3 if FULL else 1
SECONDS = 45.0 if FULL else 5.0
"""How long the disk is full each time."""
SPACE = "256m"
NAMES = ("quick", "queued")
PATIENCE = 300.0


class DiskDrill(PortsDrill):
    """A daemon on a small disk, and a sender of events that repeats what is not acknowledged."""

    def __init__(self, disk: Path, chance: random.Random, receiver: Receiver) -> None:
        super().__init__(disk / "home", chance)
        self.disk = disk
        self.receiver = receiver
        self.acknowledged: list[str] = []
        self.refusals: Counter[str] = Counter()
        self.is_over = False

    async def apply(self) -> None:
        def tell(name: str, **fields: object) -> dict[str, Any]:
            # About as much text as the table must grow for, in each of the runs.
            text = "${ event.data.text }"
            request = {"method": "POST", "url": f"{self.receiver.url}/{name}", "json": text}
            return {"name": name, "http": request, "retry": {"maxAttempts": 5}, **fields}

        tasks = [tell("first"), tell("then", needs=["first"])]
        came = {"name": "came", "event": {"type": "disk.came"}}
        common = {"triggers": [came], "tasks": tasks}
        queue = {"concurrency": {"policy": "queue", "limit": 1}}
        await self.apply_specs(dict(zip(NAMES, (common, {**common, **queue}), strict=True)))

    async def emit(self) -> None:
        """Emit some events after the other; they are repeated until they are acknowledged."""
        numbers = itertools.count()
        async with self.ports() as ports:
            while not self.is_over:
                several = itertools.islice(numbers, self.chance.randint(1, 5))
                found = [envelope_of(written(number, self.chance)) for number in several]
                while not await self._is_stored(ports, found):
                    await asyncio.sleep(0.2)
                self.acknowledged += [each.event_id for each in found]
                await asyncio.sleep(0.2)

    async def _is_stored(self, ports: Ports, found: list[EventEnvelope]) -> bool:
        try:
            await ports.events.add(found)
        except UnreachableError as error:
            self.refusals[error.message.partition(":")[0]] += 1
            return False
        return True

    async def fill(self) -> None:
        """Fill the disk for some seconds, and what becomes free meanwhile too."""
        filler = self.disk / "filler"
        ends_at = time.monotonic() + SECONDS
        told = False
        try:
            while time.monotonic() < ends_at:
                await asyncio.to_thread(_fill, filler)
                if not told and self.refusals:
                    told = await asyncio.to_thread(self._is_told)
                await asyncio.sleep(0.2)
        finally:
            filler.unlink()

    def _is_told(self) -> bool:
        """Check what a person reads meanwhile; return whether Postgres was full at that moment."""
        done = self._call("emit", "-", stdin=json.dumps(written(10**6, self.chance)))
        if done.returncode == 0:
            return False
        assert done.returncode == 7, done.stderr
        assert done.stderr.startswith("error: "), done.stderr
        print("emit says:", done.stderr.strip())
        report = json.loads(self._call("doctor", "-o", "json").stdout)
        (disk,) = (each for each in report["checks"] if each["name"] == "disk")
        assert disk["state"] == "failed", disk
        return True

    def _call(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        return run_command(
            *("--home", str(self.home), *arguments), environment=os.environ, stdin=stdin
        )

    async def settle(self) -> None:
        query = """SELECT (SELECT count(*) FROM events WHERE routed_at IS NULL) AS unrouted,
            (SELECT count(*) FROM firings f WHERE NOT EXISTS (
                SELECT FROM runs r WHERE r.subscription_id = f.subscription_id
                AND r.trigger = f.trigger AND r.firing_key = f.firing_key)) AS without_run,
            (SELECT count(*) FROM runs WHERE ended_at IS NULL) AS open"""
        deadline = time.monotonic() + PATIENCE
        while True:
            (counted,) = await self.retry_while_down(lambda: self.fetch(query), 120)
            if not any(counted.values()):
                return
            assert time.monotonic() < deadline, f"after {PATIENCE} s: {counted}"
            await asyncio.sleep(0.3)


def _fill(path: Path) -> None:
    with path.open("ab", buffering=0) as file:
        for size in (1 << 20, 1 << 12):
            with suppress(OSError):
                while True:
                    file.write(b"\0" * size)


def written(number: int, chance: random.Random) -> dict[str, Any]:
    head = {"specversion": "1.0", "id": str(number), "source": "/disk", "type": "disk.came"}
    text = f"{chance.getrandbits(80_000):x}"  # 20,000 characters, which do not compress
    return {**head, "data": {"text": text}}


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, as small as a daemon can have it."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SPACE},mode=755", "tmpfs", str(folder)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no `mount`")
    if done.returncode:
        pytest.skip(f"this account may not mount a small file system: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_nothing_is_lost_or_doubled_when_the_disk_is_full(
    disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACTIVITYCTL_ALLOWED_NETWORKS", "127.0.0.0/8")
    monkeypatch.setenv("ACTIVITYCTL_ALLOW_HTTP", "true")
    with receiving() as receiver:
        drill = DiskDrill(disk, random.Random(seed()), receiver)
        with drill.running():
            await drill.apply()
            sending = asyncio.create_task(drill.emit())
            for _ in range(TIMES):
                await asyncio.sleep(drill.chance.uniform(1, 3))
                before = len(drill.acknowledged)
                await drill.fill()
                async with asyncio.timeout(120):
                    while len(drill.acknowledged) < before + 5:
                        await asyncio.sleep(0.1)
            drill.is_over = True
            await sending
            began = time.monotonic()
            await drill.settle()
            print(f"settled {time.monotonic() - began:.1f} s after the last")
            await check(drill)


async def check(drill: DiskDrill) -> None:
    """Check each event, run and effect in Postgres and in the receiving server."""
    assert drill.refusals, "the disk was never full for Postgres"
    events = {row["id"] for row in await drill.fetch("SELECT id FROM events")}
    assert set(drill.acknowledged) <= events
    runs = await drill.fetch("SELECT * FROM runs")
    made = Counter((run["subscription_id"], run["status"]) for run in runs)
    print(f"{len(events)} events, refused {dict(drill.refusals)}, runs {dict(made)}")
    assert made == {(subscription_id(name), "succeeded"): len(events) for name in NAMES}
    tasks = {row["id"]: row for row in await drill.fetch("SELECT * FROM tasks")}
    calls = Counter(key for _, key, _ in drill.receiver.received)
    assert set(tasks) == set(calls)
    more = {key: count for key, count in calls.items() if count > tasks[key]["attempts"]}
    assert not more, f"more effects than attempts: {more}"
    again = sum(count > 1 for count in calls.values())
    print(f"{len(calls)} tasks had an effect, {again} of them again after a lost attempt")
    assert await drill.fetch("SELECT * FROM dead_letters") == []
