"""Time on real servers: schedules that fall silent, clocks that are wrong, firings that wait."""

import asyncio
import itertools
from datetime import UTC, datetime, timedelta

import pytest

from activityctl import wiring
from activityctl.daemon.worker import worker as worker_module
from activityctl.daemon.worker.schedule_maintenance import ScheduleMaintenance
from activityctl.daemon.worker.watchdog import Watchdog
from activityctl.domain.manifests.subscription import (
    SubscriptionStatus,
)
from activityctl.domain.runs.run import Run, RunStatus
from activityctl.domain.timing.due_times import jitter_of
from activityctl.domain.timing.firing import firing_key
from activityctl.domain.values import ids
from activityctl.settings import Settings
from support.timed import House, now
from support.worker import working

SECOND = timedelta(seconds=1)
ALL = {"policy": "fire_all", "window": "1h"}
EVERY_SECOND = {"name": "tick", "interval": {"every": "1s", "misfire": ALL}}


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
        assert f"schedule {name} had stopped waking us; it was created again" in told
    assert (await house.ports.metrics.snapshot()).restarts == 2
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
    ports, placer = house.ports, wiring.build_schedule_client(house.client)
    watchdog = Watchdog(ScheduleMaintenance(ports.register, placer, ports.logbook, now))
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
