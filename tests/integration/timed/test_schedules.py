"""Timing on real servers: schedules that stop waking us, wrong clocks, firings that wait."""

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
from activityctl.ports import WAKE_AFTER
from activityctl.settings import Settings
from support.timed import RunHarness, now
from support.worker import working

SECOND = timedelta(seconds=1)
ALL = {"policy": "fire_all", "window": "1h"}
EVERY_SECOND = {"name": "tick", "interval": {"every": "1s", "misfire": ALL}}


def without_a_gap(runs: list[Run]) -> bool:
    """Return whether each second from the first to the last has exactly one run."""
    due = [run.due_at for run in runs]
    return due == [due[0] + number * SECOND for number in range(len(due))]


# ---- schedules that stop waking us --------------------------------------------------


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("by", ["delete", "pause"])
async def test_a_silent_alarm_loses_no_firing_and_is_created_again(
    harness: RunHarness, by: str
) -> None:
    names = ("one", "other")  # on one alarm
    await harness.apply(*({**EVERY_SECOND, "name": name} for name in names))
    await harness.count(2)
    alarm = harness.client.get_schedule_handle("alarm/every 1s")
    await (alarm.delete() if by == "delete" else alarm.pause())
    before = now() + SECOND
    runs = await harness.count(16)
    silent = [run for run in runs if run.due_at > before]
    assert {run.trigger for run in silent} == set(names)
    assert max(run.created_at - run.due_at for run in silent) < 15 * SECOND
    assert await restart(harness) == 1
    assert not (await alarm.describe()).schedule.state.paused
    log = await harness.log_messages()
    for name in names:
        assert f"schedule {name} had stopped waking us; its alarm was created again" in log
    assert (await harness.ports.metrics.snapshot()).restarts == 1
    again = now() + 3 * SECOND
    async with asyncio.timeout(60):
        while sum(run.due_at > again for run in await harness.runs()) < 8:
            await asyncio.sleep(0.1)
    runs = await harness.ended_up_to(again + 4 * SECOND)
    assert {run.status for run in runs} == {RunStatus.SUCCEEDED}
    assert all(without_a_gap([run for run in runs if run.trigger == name]) for name in names)
    lags = sorted(run.created_at - run.due_at for run in runs if run.due_at > again)
    assert lags[len(lags) // 2] < WAKE_AFTER, "Temporal wakes us again, not the overdue scanner"


async def restart(harness: RunHarness) -> int:
    """Run the watchdog once the alarm is silent; repeat until it gets the lock."""
    ports, client = harness.ports, wiring.build_schedule_client(harness.client)
    watchdog = Watchdog(ScheduleMaintenance(ports.register, client, ports.logbook, now))
    async with asyncio.timeout(60):
        while not await ports.register.silent():
            await asyncio.sleep(0.2)
        while not (restarted := await watchdog.restart_silent()):
            await asyncio.sleep(0.2)
    return restarted


# ---- a trigger that moves to another alarm -------------------------------------------


@pytest.mark.usefixtures("worker")
async def test_a_move_between_alarms_at_the_instant_itself_loses_and_doubles_nothing(
    harness: RunHarness,
) -> None:
    """Each time that is due in both timings has one run, whichever alarm rings first."""
    seconds, others = {"every": "1s", "misfire": ALL}, {"every": "2s", "misfire": ALL}
    stays = {"name": "stays", "interval": others}
    await harness.apply({"name": "tick", "interval": seconds}, stays)
    await harness.count(2)
    for number in range(6):  # at a whole second, and just before and after it
        await asyncio.sleep(1 - now().microsecond / 1_000_000 + (number - 2) * 0.004)
        body = others if number % 2 == 0 else seconds
        await harness.apply({"name": "tick", "interval": body}, stays)
    runs = await harness.ended_up_to(now() + 2 * SECOND)
    assert {run.status for run in runs} == {RunStatus.SUCCEEDED}
    for name in ("tick", "stays"):
        due = [run.due_at for run in runs if run.trigger == name]
        assert len(due) == len(set(due))
        evens = [time for time in due if int(time.timestamp()) % 2 == 0]
        assert {later - time for time, later in itertools.pairwise(evens)} == {2 * SECOND}


# ---- clocks that are wrong -----------------------------------------------------------


@pytest.mark.parametrize("hours", [1, -1])
async def test_a_worker_whose_clock_is_an_hour_off_fires_each_time_once_and_none_early(
    harness: RunHarness, settings: Settings, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    wrong = timedelta(hours=hours)
    monkeypatch.setattr(worker_module, "_now", lambda: now() + wrong)
    body = {"every": "1s", "jitter": "900ms", "misfire": ALL}
    async with working(settings):
        await harness.apply({"name": "tick", "interval": body})
        runs = await harness.ended_up_to(max(run.due_at for run in await harness.count(6)))
        late = [run for run in runs if run.status is not RunStatus.SUCCEEDED]
        workers = await harness.ports.workers.alive()
    assert late == []
    assert without_a_gap(runs)
    for run in runs:
        jitter = jitter_of(harness.owner, "tick", run.due_at, timedelta(milliseconds=900))
        assert run.due_at + jitter <= await harness.begun_at(run.id)
    (trouble,) = [trouble for worker in workers for trouble in worker.troubles]
    side = "ahead of" if hours > 0 else "behind"
    assert f"{side} Postgres' clock" in trouble.error
    for run in runs:
        assert run.started_at is not None
        assert run.ended_at is not None
        moments = [run.due_at, run.created_at, run.started_at, run.ended_at]
        assert moments == sorted(moments)
        assert abs(run.created_at - now()) < timedelta(minutes=1), "dated by a wrong clock"


# ---- firings that wait ---------------------------------------------------------------

JITTER = timedelta(seconds=50)


async def a_waiting_firing(harness: RunHarness) -> tuple[str, datetime]:
    """Apply a trigger whose next firing waits two to three seconds.

    Return the id of its run and the time when it starts.
    """
    nominal = datetime.fromtimestamp(int(now().timestamp()) // 4 * 4 + 8, UTC)
    names = (f"tick-{number}" for number in itertools.count())
    waits = ((name, jitter_of(harness.owner, name, nominal, JITTER)) for name in names)
    name, wait = next(pair for pair in waits if 2 * SECOND < pair[1] < 3 * SECOND)
    every = {"every": "52s", "offset": f"{int(nominal.timestamp()) % 52}s", "jitter": "50s"}
    await harness.apply({"name": name, "interval": every})
    async with asyncio.timeout(60):
        while not await harness.ports.outbox.waiting():
            await asyncio.sleep(0.02)
    return ids.run_id(harness.owner, name, firing_key(nominal)), nominal + wait


async def test_a_waiting_firing_starts_after_a_restart_of_the_worker(
    harness: RunHarness, settings: Settings
) -> None:
    async with working(settings):
        run_id, starts = await a_waiting_firing(harness)
    assert await harness.run(run_id) is None
    async with working(settings):
        run = await harness.ended(run_id)
    assert run.status is RunStatus.SUCCEEDED
    assert await harness.begun_at(run_id) >= starts


@pytest.mark.usefixtures("worker")
async def test_a_waiting_firing_of_a_subscription_that_is_paused_is_missed(
    harness: RunHarness,
) -> None:
    run_id, starts = await a_waiting_firing(harness)
    await harness.set_status(SubscriptionStatus.PAUSED)
    run = await harness.ended(run_id)
    assert (run.status, run.reason) == (RunStatus.MISSED, "the subscription is paused")
    assert now() >= starts
