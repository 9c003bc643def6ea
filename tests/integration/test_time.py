"""Time on the real servers: schedules that fall silent, clocks that are wrong, runs that wait."""

import asyncio
import itertools
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client

from activityctl import wiring
from activityctl.daemon import worker as worker_module
from activityctl.daemon.watchdog import Watchdog
from activityctl.daemon.worker import run_worker
from activityctl.domain import ids
from activityctl.domain.definition import ActivityDefinition
from activityctl.domain.firing import jitter_of
from activityctl.domain.firing_ref import firing_key
from activityctl.domain.logbook import Cursor
from activityctl.domain.manifest import ManifestSet
from activityctl.domain.run import Run, RunStatus
from activityctl.domain.selection import Selection
from activityctl.domain.subscription import (
    OperatorStatus,
    SubscriptionManifest,
    SubscriptionStatus,
)
from activityctl.operations.act import cancel, change_status, trigger
from activityctl.operations.apply import apply
from activityctl.settings import Settings

SECOND = timedelta(seconds=1)
ALL = {"policy": "fire_all", "window": "1h"}
EVERY_SECOND = {"name": "tick", "interval": {"every": "1s", "misfire": ALL}}
TELL_TIME = {"name": "tell", "command": {"argv": ["date", "+%s.%N"]}}


def now() -> datetime:
    return datetime.now(UTC)


class House:
    """One subscription named after its test: applied, fired, looked at."""

    def __init__(self, ports: wiring.Ports, client: Client, name: str) -> None:
        self.ports = ports
        self.client = client
        self.name = name

    @property
    def owner(self) -> ids.SubscriptionId:
        return ids.subscription_id(self.name)

    async def apply(self, *triggers: Mapping[str, Any], **spec: Any) -> None:
        metadata = {"name": self.name}
        whole = {"triggers": triggers, "tasks": [TELL_TIME], **spec}
        definition = ActivityDefinition.model_validate_json(
            json.dumps({"metadata": metadata, "spec": whole})
        )
        manifest = SubscriptionManifest.model_validate(
            {"metadata": metadata, "spec": {"activity": self.name}}
        )
        manifests = ManifestSet({self.name: definition}, {self.name: manifest}, {})
        catalog, workers = self.ports.catalog, self.ports.workers
        await apply(manifests, catalog, self.ports.register, workers, now, timeout_seconds=10)
        async with asyncio.timeout(10):
            while await self.ports.register.drifted(10):
                await asyncio.sleep(0.02)

    async def fire(self, key: str, /, **payload: object) -> str:
        catalog, outbox = self.ports.catalog, self.ports.outbox
        subscription = await catalog.find_subscription(self.name)
        firing = await trigger(catalog, outbox, subscription, now(), key=key, payload=payload)
        return firing.ref.run_id

    async def cancel(self, run_id: str) -> None:
        await cancel(self.ports.runs, self.ports.run_lists, run_id, now())

    async def set_status(self, status: OperatorStatus) -> None:
        subscription = await self.ports.catalog.find_subscription(self.name)
        await change_status(self.ports.catalog, subscription, status, now())

    async def runs(self) -> list[Run]:
        """Every run, by nominal time."""
        found = await self.ports.run_lists.runs(Selection(limit=1000))
        return sorted(found, key=lambda run: run.due_at)

    async def run(self, run_id: str) -> Run | None:
        state = await self.ports.runs.load(run_id)
        return None if state is None else state.run

    async def until(self, run_id: str, holds: Callable[[Run], bool], seconds: float = 20) -> Run:
        async with asyncio.timeout(seconds):
            while (run := await self.run(run_id)) is None or not holds(run):
                await asyncio.sleep(0.02)
        return run

    async def ended(self, run_id: str) -> Run:
        return await self.until(run_id, lambda run: run.has_ended)

    async def is_(self, run_id: str, status: RunStatus) -> Run:
        return await self.until(run_id, lambda run: run.status is status)

    async def count(self, wanted: int, seconds: float = 20) -> list[Run]:
        """Wait for so many runs that have ended."""
        async with asyncio.timeout(seconds):
            while True:
                ended = [run for run in await self.runs() if run.has_ended]
                if len(ended) >= wanted:
                    return ended
                await asyncio.sleep(0.05)

    async def begun_at(self, run_id: str) -> datetime:
        """When the run's task was at work, by the machine's own clock."""
        (task,) = await self.ports.run_lists.tasks(Selection(run_id=run_id))
        return datetime.fromtimestamp(float(task.output["stdout"]), UTC)

    async def told(self) -> list[str]:
        page, _ = await self.ports.logbook.page(self.owner, Cursor(), limit=1000)
        return [entry.message for entry in page]


@pytest.fixture
async def house(
    ports: wiring.Ports, settings: Settings, request: pytest.FixtureRequest
) -> AsyncIterator[House]:
    """A subscription of the test's own; its schedules are gone when the test is."""
    name = f"time-{ids.content_hash(request.node.name)[:12]}"
    house = House(ports, await wiring.connect_temporal(settings), name)
    yield house
    for schedule in await ports.register.schedules(Selection()):
        await wiring.build_placer(house.client).remove(schedule.wanted.id)


@asynccontextmanager
async def working(settings: Settings) -> AsyncIterator[None]:
    """Run the real worker in this loop; it is stopped as `down` stops it."""
    ready = asyncio.Event()
    work = asyncio.create_task(run_worker(settings, on_ready=ready.set))
    started = asyncio.create_task(ready.wait())
    await asyncio.wait({work, started}, return_when=asyncio.FIRST_COMPLETED)
    started.cancel()
    try:
        yield
    finally:
        if not work.done() and ready.is_set():
            signal.raise_signal(signal.SIGTERM)
        await work


@pytest.fixture
async def worker(settings: Settings) -> AsyncIterator[None]:
    async with working(settings):
        yield


def without_a_gap(runs: list[Run]) -> bool:
    """Whether each second from the first to the last has one run."""
    due = [run.due_at for run in runs]
    return due == [due[0] + number * SECOND for number in range(len(due))]


# ---- schedules that fall silent ------------------------------------------------------


@pytest.mark.usefixtures("worker")
async def test_schedules_that_fell_silent_are_made_up_for_and_created_again(house: House) -> None:
    names = ("deleted", "paused")
    await house.apply(*({**EVERY_SECOND, "name": name} for name in names))
    await house.count(2)
    deleted, paused = (
        house.client.get_schedule_handle(ids.schedule_id(house.owner, name)) for name in names
    )
    await deleted.delete()
    await paused.pause()
    before = now() + SECOND
    runs = await house.count(16)
    silent = [run for run in runs if run.due_at > before]
    assert {run.trigger for run in silent} == set(names)
    assert max(run.created_at - run.due_at for run in silent) < 5 * SECOND
    assert await restart(house) == 2
    assert not (await deleted.describe()).schedule.state.paused
    assert not (await paused.describe()).schedule.state.paused
    told = await house.told()
    for name in names:
        assert f"schedule {name} had stopped silently; created again" in told
    assert (await house.ports.census.figures()).restarts == 2
    again = now() + 3 * SECOND
    async with asyncio.timeout(20):
        while sum(run.due_at > again for run in await house.runs()) < 8:
            await asyncio.sleep(0.1)
    runs = await house.count(len(await house.runs()))
    assert {run.status for run in runs} == {RunStatus.SUCCEEDED}
    assert all(without_a_gap([run for run in runs if run.trigger == name]) for name in names)
    lags = sorted(run.created_at - run.due_at for run in runs if run.due_at > again)
    assert lags[len(lags) // 2] < SECOND, "the timekeeper is not needed any more"


async def restart(house: House) -> int:
    """Have the watchdog look, once both were silent and until it is its turn."""
    ports, placer = house.ports, wiring.build_placer(house.client)
    watchdog = Watchdog(ports.register, placer, ports.logbook, now, asyncio.Lock())
    async with asyncio.timeout(20):
        while len(await ports.register.silent()) < 2:
            await asyncio.sleep(0.2)
        while not (restarted := await watchdog.restart_silent()):
            await asyncio.sleep(0.2)
    return restarted


# ---- clocks that are wrong -----------------------------------------------------------


@pytest.mark.parametrize("hours", [1, -1])
async def test_a_worker_whose_clock_is_an_hour_off_fires_each_time_once_and_none_early(
    house: House, settings: Settings, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    wrong = timedelta(hours=hours)
    monkeypatch.setattr(worker_module, "_now", lambda: now() + wrong)
    body = {"every": "1s", "jitter": "900ms", "misfire": ALL}
    async with working(settings):
        await house.apply({"name": "tick", "interval": body})
        runs = await house.count(6)
        late = [run for run in runs if run.status is not RunStatus.SUCCEEDED]
    assert late == []
    assert without_a_gap(runs)
    for run in runs:
        jitter = jitter_of(house.owner, "tick", run.due_at, timedelta(milliseconds=900))
        assert run.due_at + jitter <= await house.begun_at(run.id)
    assert abs(runs[-1].created_at - now() - wrong) < timedelta(minutes=1), "its clock was off"


# ---- firings that wait ---------------------------------------------------------------

JITTER = timedelta(seconds=50)


async def a_waiting_firing(house: House) -> tuple[str, datetime]:
    """Apply a trigger whose next firing waits two to three seconds; gives its run and start."""
    nominal = datetime.fromtimestamp(int(now().timestamp()) // 4 * 4 + 8, UTC)
    names = (f"tick-{number}" for number in itertools.count())
    waits = ((name, jitter_of(house.owner, name, nominal, JITTER)) for name in names)
    name, wait = next(one for one in waits if 2 * SECOND < one[1] < 3 * SECOND)
    every = {"every": "52s", "offset": f"{int(nominal.timestamp()) % 52}s", "jitter": "50s"}
    await house.apply({"name": name, "interval": every})
    async with asyncio.timeout(10):
        while not await house.ports.outbox.waiting():
            await asyncio.sleep(0.02)
    return ids.run_id(house.owner, name, firing_key(nominal)), nominal + wait


async def test_a_firing_that_waits_survives_a_restart_of_the_worker(
    house: House, settings: Settings
) -> None:
    async with working(settings):
        run_id, starts = await a_waiting_firing(house)
    assert await house.run(run_id) is None
    async with working(settings):
        run = await house.ended(run_id)
    assert run.status is RunStatus.SUCCEEDED
    assert await house.begun_at(run_id) >= starts


@pytest.mark.usefixtures("worker")
async def test_a_firing_that_waits_when_its_subscription_is_paused_is_skipped(
    house: House,
) -> None:
    run_id, starts = await a_waiting_firing(house)
    await house.set_status(SubscriptionStatus.PAUSED)
    run = await house.ended(run_id)
    assert (run.status, run.reason) == (RunStatus.MISSED, "the subscription is paused")
    assert now() >= starts


# ---- overlap and throttle ------------------------------------------------------------


def gated(folder: Path) -> dict[str, Any]:
    """A task that notes its begin and end, and waits for a file named as its run's key."""
    script = (
        f"echo + $KEY >> {folder}/marks; while ! test -e {folder}/$KEY; do sleep 0.05; done;"
        f" echo - $KEY >> {folder}/marks"
    )
    command = {"shell": script, "env": {"KEY": "${ trigger.payload.key }"}}
    return {"name": "one", "command": command}


async def fire_all(house: House, *keys: str) -> list[str]:
    """Fire one after the other, each once the one before has its row."""
    found = []
    for key in keys:
        found.append(await house.fire(key, key=key))
        await house.until(found[-1], lambda _: True)
    return found


def marks(folder: Path) -> list[str]:
    return (folder / "marks").read_text().splitlines()


@pytest.mark.usefixtures("worker")
async def test_skip_lets_one_run_and_says_why_the_other_did_not(
    house: House, tmp_path: Path
) -> None:
    await house.apply(concurrency={"policy": "skip"}, tasks=[gated(tmp_path)])
    first, second = await fire_all(house, "a", "b")
    refused = await house.ended(second)
    assert refused.status is RunStatus.SKIPPED
    policy = "concurrency policy skip, limit 1"
    assert refused.reason == f"run {first[:8]} is still at work ({policy})"
    (tmp_path / "a").touch()
    assert (await house.ended(first)).status is RunStatus.SUCCEEDED


@pytest.mark.usefixtures("worker")
async def test_queue_runs_one_after_the_other_in_their_order(house: House, tmp_path: Path) -> None:
    await house.apply(concurrency={"policy": "queue"}, tasks=[gated(tmp_path)])
    for key in "abcd":
        (tmp_path / key).touch()
    (tmp_path / "a").unlink()
    runs = await fire_all(house, *"abcd")
    assert [str((await house.run(one)).status) for one in runs] == ["running", *["queued"] * 3]
    (tmp_path / "a").touch()
    ended = [await house.ended(one) for one in runs]
    assert {run.status for run in ended} == {RunStatus.SUCCEEDED}
    assert marks(tmp_path) == [f"{sign} {key}" for key in "abcd" for sign in "+-"]


@pytest.mark.usefixtures("worker")
async def test_replace_cancels_the_one_before_and_says_for_whom(
    house: House, tmp_path: Path
) -> None:
    await house.apply(concurrency={"policy": "replace"}, tasks=[gated(tmp_path)])
    (first,) = await fire_all(house, "a")
    await house.is_(first, RunStatus.RUNNING)
    (tmp_path / "b").touch()
    (second,) = await fire_all(house, "b")
    replaced = await house.ended(first)
    assert replaced.status is RunStatus.CANCELLED
    assert replaced.reason == f"replaced by run {second[:8]}"
    assert (await house.ended(second)).status is RunStatus.SUCCEEDED


@pytest.mark.usefixtures("worker")
async def test_a_throttle_skips_or_queues_what_is_too_much(house: House) -> None:
    await house.apply(throttle={"limit": 2, "per": "1h"})
    runs = [await house.ended(one) for one in await fire_all(house, *"abc")]
    assert [str(run.status) for run in runs] == ["succeeded", "succeeded", "skipped"]
    assert str(runs[-1].reason).startswith("throttled: ")
    await house.apply(throttle={"limit": 3, "per": "3s", "excess": "queue"})
    runs = [await house.ended(one) for one in await fire_all(house, *"defg")]
    assert {run.status for run in runs} == {RunStatus.SUCCEEDED}
    begun = [await house.begun_at(run.id) for run in runs]
    assert begun[-1] - begun[0] >= 2.8 * SECOND


@pytest.mark.usefixtures("worker")
async def test_a_queued_run_is_cancelled_and_the_next_one_takes_its_turn(
    house: House, tmp_path: Path
) -> None:
    await house.apply(concurrency={"policy": "queue"}, tasks=[gated(tmp_path)])
    first, second, third = await fire_all(house, *"abc")
    await house.is_(first, RunStatus.RUNNING)
    await house.cancel(second)
    cancelled = await house.ended(second)
    assert (cancelled.status, cancelled.reason) == (RunStatus.CANCELLED, "cancelled on request")
    assert (await house.run(third)).status is RunStatus.QUEUED
    for key in "abc":
        (tmp_path / key).touch()
    assert (await house.ended(third)).status is RunStatus.SUCCEEDED
    assert marks(tmp_path) == ["+ a", "- a", "+ c", "- c"]


@asynccontextmanager
async def another_worker(settings: Settings) -> AsyncIterator[asyncio.subprocess.Process]:
    """A worker in a process of its own, killed at the end."""
    program = (
        "import asyncio, os, pathlib, sys;"
        "from activityctl.daemon.worker import run_worker;"
        "from activityctl.settings import Secret, Settings;"
        "settings = Settings(home=pathlib.Path(sys.argv[1]), database_url=Secret(sys.argv[2]),"
        " temporal_address=sys.argv[3], allow_commands=True, task_environment=dict(os.environ));"
        "asyncio.run(run_worker(settings, on_ready=lambda: print('ready', flush=True)))"
    )
    url = settings.required_database_url()
    arguments = (str(settings.home), url, str(settings.temporal_address))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, *arguments, stdout=asyncio.subprocess.PIPE, env=os.environ
    )
    assert process.stdout is not None
    assert await asyncio.wait_for(process.stdout.readline(), 60) == b"ready\n"
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_a_queue_goes_on_in_its_order_after_its_worker_was_killed(
    house: House, settings: Settings, tmp_path: Path
) -> None:
    async with another_worker(settings) as process:
        await house.apply(concurrency={"policy": "queue"}, tasks=[gated(tmp_path)])
        runs = await fire_all(house, *"abcd")
        await house.is_(runs[0], RunStatus.RUNNING)
        (tmp_path / "a").touch()
        await house.is_(runs[1], RunStatus.RUNNING)
        process.kill()
    for key in "bcd":
        (tmp_path / key).touch()
    async with working(settings):
        ended = [await house.until(one, lambda run: run.has_ended, 60) for one in runs]
    assert [str(run.status) for run in ended] == ["succeeded"] * 4
    seen = [line for line in marks(tmp_path) if line[0] == "-"]
    assert list(dict.fromkeys(seen)) == ["- a", "- b", "- c", "- d"]
    assert seen.count("- a") == seen.count("- c") == seen.count("- d") == 1
