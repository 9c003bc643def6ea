"""Runs that are stopped, or whose worker is killed, while commands and lookups need seconds.

    DRILL_SEED=7 pytest tests/drills/test_stops.py -rP

All drills use one daemon, started as `up` does.
"""

import asyncio
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

import psutil
import pytest

from activityctl.daemon.local.state import read_state
from activityctl.domain.runs.run import Run, RunStatus
from activityctl.domain.timing.firing import FiringRequest
from activityctl.domain.values import ids
from support.drilled import PortsDrill, Row, seed

SECONDS = 3
SCRIPT = f"""echo "+ $KEY $$" >> MARKS
trap 'sleep {SECONDS}; echo "- $KEY" >> MARKS; exit 0' TERM
while :; do sleep 0.05; done"""


class StopDrill(PortsDrill):
    """A daemon, and a subscription whose command needs three seconds after SIGTERM."""

    def __init__(self, home: Path, chance: random.Random) -> None:
        super().__init__(home, chance)
        self.marks = home.with_name("marks")

    async def apply(self, name: str, **spec: Any) -> None:
        env = {"KEY": "${ trigger.firingKey }"}
        command = {"shell": SCRIPT.replace("MARKS", str(self.marks)), "env": env}
        tasks = [{"name": "slow", "command": command}]
        await self.apply_specs({name: {"tasks": tasks, **spec}})

    async def fire(self, name: str, key: str) -> str:
        firing = FiringRequest(ids.subscription_id(name), "manual", f"{name}-{key}", now())
        async with self.ports() as ports:
            await ports.outbox.add([firing], now())
        return firing.ref.run_id

    async def cancel(self, run_id: str) -> None:
        async with self.ports() as ports:
            assert await ports.runs.request_cancel(run_id, now())

    def lines(self) -> list[str]:
        return self.marks.read_text().splitlines() if self.marks.exists() else []

    async def begun(self, key: str) -> int:
        """Wait until the command of the firing has begun, and return its process id."""
        found: list[str] = []

        def has_begun() -> bool:
            found[:] = [line for line in self.lines() if line.startswith(f"+ {key} ")]
            return bool(found)

        await self.until(has_begun, 60)
        return int(found[-1].split()[-1])

    async def comes_to(self, run_id: str, *statuses: RunStatus, seconds: float = 120) -> Run:
        async with asyncio.timeout(seconds), self.ports() as ports:
            while True:
                (run,) = await ports.run_lists.runs_of([run_id]) or [None]
                if run is not None and run.status in statuses:
                    return run
                await asyncio.sleep(0.1)

    async def log(self, run_id: str) -> list[str]:
        rows: list[Row] = await self.fetch(
            f"SELECT message FROM log_entries WHERE run_id = '{run_id}' ORDER BY id"
        )
        return [row["message"] for row in rows]

    def worker_pid(self) -> int:
        return self.process_of("worker").pid


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StopDrill]:
    """One daemon for all drills of this file."""
    drill = StopDrill(tmp_path_factory.mktemp("stops") / "home", random.Random(seed()))
    with drill.running():
        yield drill


@pytest.fixture
def drill(daemon: StopDrill, tmp_path: Path) -> StopDrill:
    """The daemon, with marks of this drill alone, once it has recovered from the one before."""
    daemon.marks = tmp_path / "marks"
    deadline = time.monotonic() + 60
    while not read_state(daemon.home).ready:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return daemon


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_runs_that_are_stopped_never_overlap_with_the_next(drill: StopDrill) -> None:
    ways = ("replace", "cancel", "timeout")
    await asyncio.gather(*(stop_three_times(drill, how) for how in ways))
    at_work: set[str] = set()
    for line in drill.lines():
        sign, key = line.split()[:2]
        if sign == "-":
            at_work.remove(key)
        else:
            how = key.partition("-")[0]
            beside = [each for each in at_work if each.startswith(f"{how}-")]
            assert not beside, f"{key} began beside {beside}"
            at_work.add(key)
    begun = Counter(line.split()[1].partition("-")[0] for line in drill.lines() if line[0] == "+")
    assert begun == dict.fromkeys(ways, 4)
    print(f"{', '.join(ways)}: three of three did not overlap")


async def stop_three_times(drill: StopDrill, how: str) -> None:
    """Stop each of four runs of a subscription as soon as its command has begun."""
    gate = {"policy": "replace" if how == "replace" else "queue", "limit": 1}
    timeout = {"timeout": "5s"} if how == "timeout" else {}
    await drill.apply(how, concurrency=gate, **timeout)
    runs = []
    for number in range(4):
        runs.append(await drill.fire(how, str(number)))
        if number and how == "cancel":
            await drill.cancel(runs[-2])
        await drill.begun(f"{how}-{number}")
    await drill.cancel(runs[-1])
    await drill.comes_to(runs[-1], RunStatus.CANCELLED, RunStatus.TIMED_OUT)


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_run_that_is_cancelling_ends_although_its_worker_is_killed(
    drill: StopDrill,
) -> None:
    await drill.apply("killed", concurrency={"policy": "queue"})
    first, second = await drill.fire("killed", "0"), await drill.fire("killed", "1")
    pid = await drill.begun("killed-0")
    await drill.cancel(first)
    await drill.comes_to(first, RunStatus.CANCELLING)
    worker = drill.worker_pid()
    os.kill(worker, signal.SIGKILL)
    killed = now()
    run = await drill.comes_to(first, RunStatus.CANCELLED)
    assert not psutil.pid_exists(pid), "the run ended before its command"
    assert run.reason == "cancelled on request"
    assert run.ended_at is not None
    print(f"the run ended {(run.ended_at - killed).total_seconds():.1f} s after the kill")
    lost = "the worker was lost before it could say that the task had ended"
    assert f"task slow cancelled: cancelled on request; {lost}" in await drill.log(first)
    await drill.begun("killed-1")

    drill.process_of("worker").terminate()  # and a restart that takes its time
    await drill.cancel(second)
    run = await drill.comes_to(second, RunStatus.CANCELLED)
    assert sum(line.startswith("+") for line in drill.lines()) >= 2
    assert (run.status, run.reason) == (RunStatus.CANCELLED, "cancelled on request")


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_the_log_tells_of_an_attempt_that_was_lost_with_its_worker(drill: StopDrill) -> None:
    await drill.apply("lost")
    run_id = await drill.fire("lost", "0")
    first = await drill.begun("lost-0")
    worker = drill.worker_pid()
    os.kill(worker, signal.SIGKILL)
    await drill.until(lambda: len(drill.lines()) == 2, 60)
    assert not psutil.pid_exists(first), "the lost attempt runs beside the next one"
    (entry,) = [message for message in await drill.log(run_id) if "was lost" in message]
    print(entry)
    assert entry.startswith("task slow attempt 1 was lost: worker ")
    assert f"pid {worker} was killed" in entry
    after = read_state(drill.home)
    (part,) = [part for part in after.components if part.name == "worker"]
    assert f"attempt 2 starts on worker {os.uname().nodename} pid {part.pid}" in entry
    await drill.cancel(run_id)
    await drill.comes_to(run_id, RunStatus.CANCELLED)


class SlowServer(ThreadingHTTPServer):
    """Answers with JSON once `go` is set; counts the requests and keeps their idempotency keys."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.go = Event()
        self.keys: list[str] = []


class _Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, SlowServer)
        self.server.keys.append(self.headers["Idempotency-Key"])
        self.server.go.wait(120)
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(b'{"active": true}')

    def log_message(self, *_: object) -> None:
        """Write no log."""


@pytest.fixture
def server() -> Iterator[SlowServer]:
    with SlowServer() as made:
        Thread(target=made.serve_forever, daemon=True).start()
        yield made
        made.go.set()
        made.shutdown()


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_lookup_is_repeated_after_its_worker_was_killed(
    drill: StopDrill, server: SlowServer
) -> None:
    it = {"name": "it", "http": {"url": f"http://127.0.0.1:{server.server_address[1]}/"}}
    await drill.apply(
        "looking",
        context=[{**it, "timeout": "2m"}],
        rules=[{"when": "context.it.active"}],
        tasks=[{"name": "a", "command": {"argv": ["true"]}}],
    )
    run_id = await drill.fire("looking", "0")
    await drill.until(lambda: len(server.keys) == 1, 60)
    os.kill(drill.worker_pid(), signal.SIGKILL)
    await drill.until(lambda: len(server.keys) == 2, 60)
    server.go.set()
    run = await drill.comes_to(run_id, RunStatus.SUCCEEDED)
    assert run.context == {"it": {"active": True}}
    assert len(set(server.keys)) == 1, "both lookups have the same idempotency key"
    messages = await drill.log(run_id)
    assert messages[0] == "run started by manual; its context is being looked up"
    assert messages[1].startswith("its context is looked up again")
    assert messages.count("run succeeded") == 1
