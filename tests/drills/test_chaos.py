"""Everything at once: kills, freezes, cut links, restarts and power cuts, under all kinds of load.

    DRILL_SEED=7 DRILL_SECONDS=600 pytest tests/drills/test_chaos.py -rP

repeats a drill with the seed that an earlier drill printed, for ten minutes. The daemon's worker
is one of two; the other reaches Postgres through a link that the drill cuts. At the end, every
promise is counted in Postgres and in a receiving server.
"""

import asyncio
import itertools
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import psycopg
import pytest

from activityctl.daemon.local.state import read_state
from activityctl.domain.events.envelope import EventEnvelope, envelope_of
from activityctl.domain.manifests.subscription import SubscriptionStatus
from activityctl.domain.values.ids import subscription_id
from activityctl.errors import ActivityctlError
from activityctl.operations.runs.actions import cancel, change_status
from support.drilled import PortsDrill, Receiver, Row, receiving, seed
from support.link import Link

SECONDS = float(os.environ.get("DRILL_SECONDS", "25"))
CLOCKS_DIFFER = timedelta(milliseconds=100)
"""Each worker reckons Postgres' time from answers that the drill delays and cuts off."""
PATIENCE = 240.0 + SECONDS
IS_SHORT = SECONDS < 120
LONGEST_FREEZE = 4.0 if IS_SHORT else 14.0
LONGEST_PAUSE = 1.5 if IS_SHORT else 5.0
LONGEST_QUIET = 1.2 if IS_SHORT else 2.0
"""Seconds between two events; each has three runs, and one of them waits in a queue."""


class ChaosDrill(PortsDrill):
    """A daemon, a second worker behind a link, load, and faults."""

    def __init__(self, home: Path, chance: random.Random, receiver: Receiver) -> None:
        super().__init__(home, chance)
        self.receiver = receiver
        self.events: list[EventEnvelope] = []
        self.cancelled: set[str] = set()
        self.faults: Counter[str] = Counter()
        self.second: subprocess.Popen[bytes] | None = None
        self.ends_at = 0.0

    # ---- what runs -------------------------------------------------------------------

    async def apply(self) -> None:
        def tell(path: str, **fields: object) -> dict[str, Any]:
            request = {"method": "POST", "url": f"{self.receiver.url}/{path}", "json": {}}
            return {"name": path, "http": request, "retry": {"maxAttempts": 5}, **fields}

        came = {"name": "came", "event": {"type": "chaos.came"}}
        every = {"name": "every", "interval": {"every": "1s", "misfire": {"policy": "fire_all"}}}
        nap = {"name": "nap", "needs": ["first"], "command": {"shell": "sleep 1"}}
        specs: dict[str, dict[str, Any]] = {
            "two": {"triggers": [came], "tasks": [tell("first"), tell("then", needs=["first"])]},
            "slow": {"triggers": [came], "tasks": [tell("first"), nap]},
            "queued": {
                "triggers": [came],
                "tasks": [tell("first")],
                "concurrency": {"policy": "queue", "limit": 1},
            },
            "timed": {"triggers": [every], "tasks": [tell("first")]},
        }
        await self.apply_specs(specs)

    async def emit(self) -> None:
        """Emit an event after the other; each is repeated until it is acknowledged."""
        while time.monotonic() < self.ends_at:
            found = event(len(self.events))
            self.events.append(found)

            async def add(found: EventEnvelope = found) -> None:
                async with self.ports() as ports:
                    await ports.events.add([found])

            await self.retry_while_down(add, 120)
            await asyncio.sleep(self.chance.uniform(0.1, LONGEST_QUIET))

    async def cancel_some(self) -> None:
        while time.monotonic() < self.ends_at:
            await asyncio.sleep(self.chance.uniform(1, 4))
            with suppress(ActivityctlError, psycopg.Error, KeyError):
                runs = await self.fetch(
                    "SELECT id FROM runs WHERE ended_at IS NULL ORDER BY random() LIMIT 1"
                )
                for run in runs:
                    self.cancelled.add(run["id"])
                    async with self.ports() as ports:
                        await cancel(ports.runs, ports.run_lists, run["id"], now())

    # ---- what fails ------------------------------------------------------------------

    async def cause_faults(self, link: Link) -> None:
        faults: dict[str, Callable[[], Awaitable[None]]] = {
            "kill worker": lambda: self.signal("worker", signal.SIGKILL),
            "kill second worker": self.kill_second,
            "kill temporal": lambda: self.signal("temporal", signal.SIGKILL),
            "kill postgres": lambda: self.signal("postgres", signal.SIGKILL),
            "restart postgres": lambda: self.signal("postgres", signal.SIGINT),
            "freeze worker": lambda: self.freeze("worker"),
            "freeze temporal": lambda: self.freeze("temporal"),
            "freeze second worker": self.freeze_second,
            "cut link": lambda: self.cut(link),
            "dead connections": lambda: self.kill_connections(link),
            "power cut": self.power_cut,
        }
        waiting: list[str] = []
        while time.monotonic() < self.ends_at:
            await asyncio.sleep(self.chance.uniform(0.5, LONGEST_PAUSE))
            if not waiting:  # each kind once before any comes again
                waiting = self.chance.sample(list(faults), len(faults))
            name = waiting.pop()
            print(f"{now():%H:%M:%S} {name}")
            await faults[name]()
            self.faults[name] += 1

    def pid_of(self, component: str) -> int | None:
        parts = read_state(self.home).components
        return next((part.pid for part in parts if part.name == component), None)

    async def signal(self, component: str, number: signal.Signals) -> None:
        pid = self.pid_of(component)
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    async def freeze(self, component: str) -> None:
        pid = self.pid_of(component)
        if pid is not None:
            await self.freeze_process(pid)

    async def freeze_process(self, pid: int) -> None:
        with suppress(psutil.Error):
            process = psutil.Process(pid)
            process.suspend()
            await asyncio.sleep(self.chance.uniform(1, LONGEST_FREEZE))
            process.resume()

    async def kill_second(self) -> None:
        if self.second is not None:
            self.second.kill()

    async def freeze_second(self) -> None:
        if self.second is not None:
            await self.freeze_process(self.second.pid)

    async def cut(self, link: Link) -> None:
        link.cut()
        await asyncio.sleep(self.chance.uniform(1, LONGEST_FREEZE))
        link.heal()

    async def kill_connections(self, link: Link) -> None:
        link.kill_connections()

    async def power_cut(self) -> None:
        """Kill Temporal and give it its files of some seconds ago."""
        kept = self.home.with_name("kept")
        self.copy_temporal(kept)
        await asyncio.sleep(self.chance.uniform(1, 4))
        await asyncio.to_thread(self.put_back_temporal, kept)

    # ---- the second worker -----------------------------------------------------------

    @asynccontextmanager
    async def second_worker(self, link: Link) -> AsyncIterator[None]:
        """Keep a worker running that reaches Postgres through the link."""
        keeper = asyncio.create_task(self._keep_second(link))
        try:
            yield
        finally:
            keeper.cancel()
            with suppress(asyncio.CancelledError):
                await keeper
            if self.second is not None:
                self.second.terminate()
                await asyncio.to_thread(self.second.wait, 60)

    async def _keep_second(self, link: Link) -> None:
        environment = self.worker_behind(link)
        command = [sys.executable, "-m", "activityctl", "worker"]
        with self.home.with_name("second.log").open("ab") as log:
            while True:
                self.second = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
                while self.second.poll() is None:
                    await asyncio.sleep(0.2)
                await asyncio.sleep(0.5)

    # ---- the end ---------------------------------------------------------------------

    async def settle(self) -> list[Row]:
        """Stop the schedule, wait until nothing is under way, and return all runs."""

        async def pause() -> None:
            async with self.ports() as ports:
                timed = await ports.catalog.find_subscription("timed")
                await change_status(ports.catalog, timed, SubscriptionStatus.PAUSED, now())

        await self.retry_while_down(pause, 120)
        query = """SELECT (SELECT count(*) FROM events WHERE routed_at IS NULL) AS unrouted,
            (SELECT count(*) FROM firings f WHERE NOT EXISTS (
                SELECT FROM runs r WHERE r.subscription_id = f.subscription_id
                AND r.trigger = f.trigger AND r.firing_key = f.firing_key)) AS without_run,
            (SELECT count(*) FROM runs WHERE ended_at IS NULL) AS open"""
        deadline = time.monotonic() + PATIENCE
        while True:
            (counted,) = await self.retry_while_down(lambda: self.fetch(query), 120)
            if not any(counted.values()):
                return await self.fetch("SELECT * FROM runs ORDER BY due_at, id")
            assert time.monotonic() < deadline, f"after {PATIENCE} s: {counted}"
            await asyncio.sleep(0.5)


def event(number: int) -> EventEnvelope:
    head = {"specversion": "1.0", "id": str(number), "source": "/chaos", "type": "chaos.came"}
    return envelope_of({**head, "data": {"number": number}})


def now() -> datetime:
    return datetime.now(UTC)


@pytest.mark.slow
@pytest.mark.timeout(2 * SECONDS + 700)
async def test_nothing_is_lost_doubled_or_left_over_whatever_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACTIVITYCTL_ALLOWED_NETWORKS", "127.0.0.0/8")
    monkeypatch.setenv("ACTIVITYCTL_ALLOW_HTTP", "true")
    with receiving() as receiver:
        drill = ChaosDrill(tmp_path / "home", random.Random(seed()), receiver)
        with drill.running():
            parts = urlsplit(drill.database_url)
            assert parts.port is not None
            with Link("127.0.0.1", parts.port) as link:
                async with drill.second_worker(link):
                    await drill.apply()
                    drill.ends_at = time.monotonic() + SECONDS
                    await asyncio.gather(
                        drill.emit(), drill.cancel_some(), drill.cause_faults(link)
                    )
                    began = time.monotonic()
                    runs = await drill.settle()
                    took = time.monotonic() - began
                    print(f"{dict(drill.faults)}; settled {took:.1f} s after the last")
                    check_runs(drill, runs)
                    check_schedule(runs)
                    check_queue(runs)
                    await check_effects(drill)
                    await drill.wait_for_temporal(PATIENCE)


def check_runs(drill: ChaosDrill, runs: list[Row]) -> None:
    """Check that each event has one run of each subscription, with one fate."""
    by_event = [run for run in runs if run["trigger"] == "came"]
    made = Counter((run["subscription_id"], run["firing_key"]) for run in by_event)
    names = ("two", "slow", "queued")
    assert made == Counter(
        (subscription_id(name), found.event_id) for name in names for found in drill.events
    )
    statuses = Counter(run["status"] for run in runs)
    print(f"{len(drill.events)} events, {len(runs)} runs: {dict(statuses)}")
    strange = [
        run
        for run in runs
        if run["status"] != "succeeded"
        and not (run["status"] == "cancelled" and run["id"] in drill.cancelled)
        and not (run["trigger"] == "every" and run["status"] in {"missed", "skipped"})
    ]
    assert not strange, [(run["id"], run["status"], run["reason"]) for run in strange]


def check_schedule(runs: list[Row]) -> None:
    """Check that each nominal time, from the first to the last, has exactly one row."""
    due = sorted(run["due_at"] for run in runs if run["trigger"] == "every")
    seconds = round((due[-1] - due[0]).total_seconds())
    assert len(due) == len(set(due)) == seconds + 1


def check_queue(runs: list[Row]) -> None:
    """Check that two queued runs were never at work at once, as far as two workers' dates tell."""
    owner = subscription_id("queued")
    worked = sorted(
        (run["started_at"], run["ended_at"])
        for run in runs
        if run["subscription_id"] == owner and run["started_at"] is not None
    )
    for (_, ended), (started, _) in itertools.pairwise(worked):
        assert ended <= started + CLOCKS_DIFFER, "two runs were at work at once"


async def check_effects(drill: ChaosDrill) -> None:
    """Check that the receiver got a key for each task that succeeded, once for each attempt."""
    tasks = {row["id"]: row for row in await drill.fetch("SELECT * FROM tasks")}
    calls = Counter(key for _, key, _ in drill.receiver.received)
    told = {
        key
        for key, task in tasks.items()
        if task["kind"] == "http" and task["status"] == "succeeded"
    }
    assert told <= calls.keys() <= tasks.keys()
    more = {key: count for key, count in calls.items() if count > tasks[key]["attempts"]}
    assert not more, f"more effects than attempts: {more}"
    again = sum(count > 1 for count in calls.values())
    print(f"{len(calls)} tasks had an effect, {again} of them again after a lost attempt")
