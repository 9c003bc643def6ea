"""One worker under three hard conditions, one after the other: nothing is lost and none runs twice.

    DRILL_SEED=7 DRILL_FULL=1 pytest tests/drills/test_hard_conditions.py -rP

repeats a drill with the seed that an earlier drill printed. Postgres is 200 ms away; then no end of
a task can be committed for some time; then the clock of the worker is an hour off. The drill counts
rows in Postgres, and the calls that an HTTP server received, by Idempotency-Key.
"""

import asyncio
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from activityctl.domain.events.envelope import envelope_of
from support.drilled import PortsDrill, Receiver, Row, receiving, seed
from support.link import Link

FULL = os.environ.get("DRILL_FULL") == "1"
EVENTS = 300 if FULL else 12
UNWRITTEN_SECONDS = 75.0 if FULL else 5.0
PATIENCE = 600.0 if FULL else 240.0
WORKER = """
import sys
from datetime import timedelta
from activityctl.cli.main import main
from activityctl.daemon.worker import worker
right, wrong = worker._now, timedelta(hours=float(sys.argv.pop()))
worker._now = lambda: right() + wrong
main()
"""
REFUSE = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'the disk does not answer' USING ERRCODE = '58030'; END $$;
CREATE CONSTRAINT TRIGGER refuse AFTER UPDATE ON tasks DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.ended_at IS NOT NULL) EXECUTE FUNCTION refuse()"""
ACCEPT = "DROP FUNCTION refuse CASCADE"
OPEN = """
    SELECT (SELECT count(*) FROM events WHERE routed_at IS NULL)
        + (SELECT count(*) FROM runs WHERE trigger = 'came' AND ended_at IS NULL) AS open,
        (SELECT count(*) FROM runs WHERE trigger = 'came') AS runs"""


class HardDrill(PortsDrill):
    """A daemon whose worker is exchanged for one behind a link."""

    def __init__(self, home: Path, chance: random.Random, receiver: Receiver) -> None:
        super().__init__(home, chance)
        self.receiver = receiver
        self.emitted = 0

    async def apply(self) -> None:
        request = {"method": "POST", "url": f"{self.receiver.url}/told", "json": "${ run.id }"}
        task = {"name": "tell", "http": request, "retry": {"maxAttempts": 5}}
        every = {"name": "every", "interval": {"every": "1s", "misfire": {"policy": "fire_all"}}}
        came = {"name": "came", "event": {"type": "hard.came"}}
        await self.apply_specs({"hard": {"triggers": [came, every], "tasks": [task]}})

    @asynccontextmanager
    async def worker(self, link: Link, *, hours: int = 0) -> AsyncIterator[None]:
        """Run a worker behind the link whose clock is so many hours ahead."""
        command = [sys.executable, "-c", WORKER, "worker", str(hours)]
        process = subprocess.Popen(command, env=self.worker_behind(link))
        try:
            yield
        finally:
            process.terminate()
            await asyncio.to_thread(process.wait, 60)

    async def emit(self) -> None:
        """Emit the events of one condition, some at a time."""
        until = self.emitted + EVENTS
        async with self.ports() as ports:
            while self.emitted < until:
                some = range(self.emitted, min(until, self.emitted + self.chance.randint(1, 20)))
                head = {"specversion": "1.0", "source": "/hard", "type": "hard.came"}
                await ports.events.add([envelope_of({**head, "id": str(n)}) for n in some])
                self.emitted = some.stop
                await asyncio.sleep(self.chance.uniform(0, 0.3))

    async def settled(self) -> None:
        """Wait until each event has its run, and each of these runs has ended.

        On a busy machine the runs of each second may become more and more.
        """
        deadline = time.monotonic() + PATIENCE
        while True:
            (found,) = await self.fetch(OPEN)
            if found["runs"] == self.emitted and not found["open"]:
                return
            assert time.monotonic() < deadline, f"after {PATIENCE} s: {found}, {self.emitted}"
            await asyncio.sleep(0.3)

    async def under(self, what: str, link: Link, *, hours: int = 0) -> None:
        began = time.monotonic()
        async with self.worker(link, hours=hours):
            await self.emit()
            if what == "unwritten":
                await asyncio.sleep(UNWRITTEN_SECONDS)
                await self.execute(ACCEPT)
            await self.settled()
        print(f"{what}: {EVENTS} events settled after {time.monotonic() - began:.1f} s")

    async def execute(self, statement: str) -> None:
        async with await psycopg.AsyncConnection.connect(self.database_url) as connection:
            await connection.execute(statement.encode())


async def drill_conditions(drill: HardDrill, link: Link) -> None:
    await drill.apply()
    link.round_trip = 0.2
    await drill.under("far", link)
    link.round_trip = 0.0
    await drill.execute(REFUSE)
    await drill.under("unwritten", link)
    await drill.under("wrong clock", link, hours=drill.chance.choice((-1, 1)))


def check(runs: list[Row], tasks: list[Row], receiver: Receiver, began: datetime) -> None:
    """Check that each event and each second has one run, and each run one call and true dates."""
    keys = Counter(run["firing_key"] for run in runs if run["trigger"] == "came")
    assert len(keys) == sum(keys.values()) == 3 * EVENTS
    ticks = [run["due_at"] for run in runs if run["trigger"] == "every"]
    assert ticks == [ticks[0] + timedelta(seconds=n) for n in range(len(ticks))]
    assert {run["status"] for run in runs if run["ended_at"]} == {"succeeded"}
    ended = [task for task in tasks if task["ended_at"]]
    calls = Counter(key for _, key, _ in receiver.received)
    assert {task["attempts"] for task in ended} == {1}
    assert all(calls[task["id"]] == 1 for task in ended)
    assert set(calls.values()) == {1}
    ends = datetime.now(UTC)
    for run in runs:
        dates = [run["created_at"], run["started_at"], run["ended_at"] or ends]
        assert dates == sorted(dates), run
        assert began < dates[0] < ends, "dated by a wrong clock"


@pytest.mark.slow
@pytest.mark.timeout(3 * PATIENCE + 300)
async def test_each_event_has_one_run_and_one_call_under_hard_conditions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACTIVITYCTL_ALLOWED_NETWORKS", "127.0.0.0/8")
    monkeypatch.setenv("ACTIVITYCTL_ALLOW_HTTP", "true")
    began = datetime.now(UTC) - timedelta(seconds=1)
    with receiving() as receiver:
        drill = HardDrill(tmp_path / "home", random.Random(seed()), receiver)
        with drill.running():
            parts = urlsplit(drill.database_url)
            assert parts.port is not None
            with Link("127.0.0.1", parts.port) as link, drill.without_restarts():
                drill.process_of("worker").kill()
                await drill_conditions(drill, link)
                runs = await drill.fetch("SELECT * FROM runs ORDER BY due_at, id")
                tasks = await drill.fetch("SELECT * FROM tasks")
                check(runs, tasks, receiver, began)
            print(f"{len(runs)} runs, {len(receiver.received)} calls")
