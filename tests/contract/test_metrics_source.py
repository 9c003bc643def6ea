"""The MetricsSource port: it counts everything at one moment."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from activityctl import wiring
from activityctl.domain.gitops.plan import Plan
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.subscription import Subscription, SubscriptionManifest
from activityctl.domain.runs.dead_letter import DeadLetter
from activityctl.domain.runs.metrics_snapshot import MetricsSnapshot
from activityctl.domain.runs.run import Run, RunStatus
from activityctl.domain.runs.run_change import RunChange
from activityctl.domain.runs.worker import WorkerBeat
from activityctl.domain.timing.firing import FiringRequest

Apply = Callable[..., Awaitable[Plan]]
Define = Callable[..., ActivityDefinition]
Subscribe = Callable[..., SubscriptionManifest]
MakeRun = Callable[..., Awaitable[Run]]
EMPTY = MetricsSnapshot(
    counted_at=datetime.max.replace(tzinfo=UTC),
    runs={},
    firings={},
    oldest_due_at=None,
    schedules={},
    overdue_schedules=0,
    restarts=0,
    restarted_at=None,
    subscriptions={},
    workers=0,
    dead_letters={},
)


@pytest.fixture
def now() -> datetime:
    """Return the real time, because Postgres' clock is used for the counts."""
    return datetime.now(UTC)


async def test_an_empty_database_has_nothing_to_count(ports: wiring.Ports, now: datetime):
    figures = await ports.metrics.snapshot()
    assert figures == replace(EMPTY, counted_at=figures.counted_at)
    assert abs(figures.counted_at - now) < timedelta(minutes=1)


async def test_runs_of_the_last_day_and_open_ones_are_counted(
    ports: wiring.Ports, make_run: MakeRun, now: datetime
):
    for key, age, status in (
        ("a", timedelta(0), RunStatus.SUCCEEDED),
        ("b", timedelta(hours=23), RunStatus.SUCCEEDED),
        ("c", timedelta(hours=25), RunStatus.SUCCEEDED),
        ("d", timedelta(days=9), RunStatus.RUNNING),
        ("e", timedelta(0), RunStatus.FAILED),
    ):
        await make_run(key, at=now - age, status=status)
    figures = await ports.metrics.snapshot()
    assert figures.runs == {"succeeded": 2, "running": 1, "failed": 1}
    assert figures.ended_runs == {("mine", "succeeded"): 2, ("mine", "failed"): 1}


async def test_due_firings_are_counted_with_the_time_of_the_oldest(
    ports: wiring.Ports, mine: Subscription, now: datetime
):
    times = [(await ports.metrics.snapshot()).counted_at]
    for key in "abc":
        await ports.outbox.add([FiringRequest(mine.id, "manual", key, now)], now)
        times.append((await ports.metrics.snapshot()).counted_at)
    async with ports.outbox.claimed(1) as claim:
        await claim.dispatched(claim.firings, now)
    figures = await ports.metrics.snapshot()
    assert figures.firings == {"due": 2}
    assert figures.oldest_due_at is not None
    assert times[1] <= figures.oldest_due_at <= times[2] <= figures.counted_at


async def test_schedules_are_counted_by_the_status_that_lists_show(
    ports: wiring.Ports, apply: Apply, define: Define, subscribe: Subscribe, now: datetime
):
    def at(hour: int) -> dict[str, Any]:
        return {"daily": {"cron": {"schedule": f"0 {hour} * * *"}}}

    await apply(
        define("digest"),
        *(subscribe(name, triggers=at(hour)) for hour, name in enumerate("abc")),
        subscribe("d", paused=True),
        subscribe("e"),
        subscribe("gone", triggers=at(5)),
    )
    await apply(define("digest"), subscribe("e", triggers={"daily": None}))
    alarms = {alarm.id: alarm for alarm in await ports.register.unsynced(10)}
    await ports.register.mark_synced([alarms["alarm/0 0 * * * UTC"]], now)
    await ports.register.mark_failed(alarms["alarm/0 1 * * * UTC"], "no")
    figures = await ports.metrics.snapshot()
    assert figures.schedules == {"active": 1, "paused": 1, "error": 1, "pending": 2}
    assert figures.subscriptions == {"active": 5, "paused": 1}


async def test_restarts_of_alarms_are_summed_up(
    ports: wiring.Ports, apply: Apply, define: Define, subscribe: Subscribe, now: datetime
):
    other = {"daily": {"cron": {"schedule": "0 9 * * *"}}}
    await apply(define("digest"), subscribe("a"), subscribe("b", triggers=other), subscribe("c"))
    first, second = unsynced = await ports.register.unsynced(10)
    await ports.register.mark_synced(unsynced, now)
    for alarm, minutes in ((first, 3), (second, 1), (first, 2)):
        await ports.register.mark_restarted(alarm.id, now - timedelta(minutes=minutes))
    figures = await ports.metrics.snapshot()
    assert (figures.restarts, figures.restarted_at) == (3, now - timedelta(minutes=1))
    assert figures.alarms == 2


async def test_a_deleted_subscription_is_not_counted(
    ports: wiring.Ports, mine: Subscription, remove: Callable[..., Awaitable[Plan]]
):
    await remove(mine.name)
    figures = await ports.metrics.snapshot()
    assert (figures.subscriptions, figures.schedules) == ({}, {})


async def test_workers_are_counted_until_they_leave(ports: wiring.Ports, now: datetime):
    for name in ("stays", "leaves"):
        await ports.workers.beat(WorkerBeat(name, "host", 1, "0.1.0", now))
    assert (await ports.metrics.snapshot()).workers == 2
    await ports.workers.leave("leaves")
    assert (await ports.metrics.snapshot()).workers == 1


async def test_dead_letters_are_counted(ports: wiring.Ports, make_run: MakeRun, now: datetime):
    run = await make_run("k")
    failed = replace(run, status=RunStatus.FAILED, ended_at=now)
    letter = DeadLetter("letter", run.id, run.subscription_id, "no", now)
    async with ports.runs.locked(run.id) as locked:
        await locked.save(RunChange(failed, dead_letter=letter))
    assert (await ports.metrics.snapshot()).dead_letters == {"mine": 1}
