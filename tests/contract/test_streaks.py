"""The RunStore and Catalog ports: failures in a row, the pause that they cause, its reason."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from activityctl import wiring
from activityctl.domain.gitops.plan import Plan
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.subscription import (
    Subscription,
    SubscriptionManifest,
    SubscriptionStatus,
)
from activityctl.domain.runs.auto_pause import StreakChange
from activityctl.domain.runs.run import Run, RunState
from activityctl.domain.runs.run_change import RunChange
from activityctl.domain.values import ids
from activityctl.domain.values.selection import Selection
from activityctl.ports import WORK_CHANNEL

Apply = Callable[..., Awaitable[Plan]]
Define = Callable[..., ActivityDefinition]
Subscribe = Callable[..., SubscriptionManifest]
MakeRun = Callable[..., Awaitable[Run]]

ACTIVE, PAUSED, _ = SubscriptionStatus
REASON = "2 runs in a row failed; last reason: task a failed: n\x00o"


def failure(now: datetime, reason: str | None = None) -> StreakChange:
    return StreakChange(has_failed=True, decided_at=now, pause_reason=reason)


async def save(ports: wiring.Ports, run: Run, streak: StreakChange) -> None:
    async with ports.runs.locked(run.id) as locked:
        await locked.save(RunChange(run, streak=streak))


async def subscription_of(ports: wiring.Ports) -> Subscription:
    return await ports.catalog.find_subscription("mine")


async def state_of(ports: wiring.Ports, run: Run) -> RunState:
    state = await ports.runs.load(run.id)
    assert state is not None
    return state


async def test_failures_are_counted_and_a_success_ends_the_streak(
    ports: wiring.Ports, make_run: MakeRun, now: datetime
):
    run = await make_run("k")
    for _ in range(3):
        await save(ports, run, failure(now))
    assert (await subscription_of(ports)).failures == 3
    assert (await state_of(ports, run)).run.failures_before == 3
    await save(ports, run, StreakChange(has_failed=False, decided_at=now))
    assert (await subscription_of(ports)).failures == 0
    assert (await subscription_of(ports)).status is ACTIVE


async def test_failures_at_the_same_time_are_all_counted(
    ports: wiring.Ports, make_run: MakeRun, now: datetime
):
    runs = [await make_run(str(number)) for number in range(5)]
    await asyncio.gather(*(save(ports, run, failure(now)) for run in runs))
    assert (await subscription_of(ports)).failures == 5


async def test_a_run_that_opens_as_failed_counts_too(
    ports: wiring.Ports, make_run: MakeRun, mine: Subscription, now: datetime
):
    run = await make_run("first")
    other = replace(run, id=ids.run_id(mine.id, "manual", "other"), firing_key="other")
    await ports.runs.open("run/other", RunChange(other, streak=failure(now)))
    assert (await subscription_of(ports)).failures == 1


async def test_a_streak_can_pause_the_subscription_with_a_reason(
    ports: wiring.Ports, make_run: MakeRun, now: datetime
):
    later = now + timedelta(minutes=5)
    run, other = await make_run("k"), await make_run("other")
    (before,) = await ports.register.unsynced(10)
    await ports.register.mark_synced([before], now)
    async with ports.signals.listening(WORK_CHANNEL) as payloads:
        await save(ports, run, failure(later, REASON))
        while await anext(payloads) != "schedules":
            pass
    found = await subscription_of(ports)
    assert (found.status, found.failures) == (PAUSED, 1)
    assert found.pause_reason == REASON.replace("\x00", "�")
    assert (found.paused_at, found.updated_at) == (later, later)
    assert found.paused_by_run == run.id
    (unwanted,) = await ports.register.unsynced(10)
    assert (unwanted.wanted, unwanted.id) == (None, before.id)
    ours, theirs = (await state_of(ports, run)).run, (await state_of(ports, other)).run
    assert (ours.pauses, ours.owner_is_active) == (True, False)
    assert (theirs.pauses, theirs.owner_is_active) == (False, False)


async def test_firings_due_before_the_pause_are_kept(
    ports: wiring.Ports,
    apply: Apply,
    define: Define,
    subscribe: Subscribe,
    make_run: MakeRun,
    now: datetime,
):
    run = await make_run("k")
    every_second = {"daily": {"interval": {"every": "1s"}}}
    await apply(define("digest"), subscribe("mine", triggers=every_second))
    await asyncio.sleep(1.1)
    await save(ports, run, failure(now, REASON))
    waiting = await ports.outbox.waiting()
    assert waiting >= 1
    await asyncio.sleep(1.1)
    await save(ports, run, failure(now, REASON))
    assert await ports.outbox.waiting() == waiting


async def test_a_paused_subscription_keeps_its_reason(
    ports: wiring.Ports, make_run: MakeRun, mine: Subscription, now: datetime
):
    run = await make_run("k")
    assert await ports.catalog.set_subscription_status(mine.id, PAUSED, now, reason="moving house")
    await save(ports, run, failure(now + timedelta(hours=1), REASON))
    found = await subscription_of(ports)
    assert (found.pause_reason, found.paused_at) == ("moving house", now)
    assert (found.paused_by_run, found.failures) == (None, 1)


async def test_a_pause_that_is_not_committed_changes_nothing(
    ports: wiring.Ports, make_run: MakeRun, now: datetime
):
    run = await make_run("k")

    async def save_and_fail() -> None:
        async with ports.runs.locked(run.id) as locked:
            await locked.save(RunChange(run, streak=failure(now, REASON)))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await save_and_fail()
    found = await subscription_of(ports)
    assert (found.status, found.failures, found.pause_reason) == (ACTIVE, 0, None)


async def test_a_resume_resets_the_streak_and_the_reason(
    ports: wiring.Ports, make_run: MakeRun, mine: Subscription, now: datetime
):
    run = await make_run("k")
    await save(ports, run, failure(now, REASON))
    assert await ports.catalog.set_subscription_status(mine.id, ACTIVE, now)
    found = await subscription_of(ports)
    assert (found.status, found.failures) == (ACTIVE, 0)
    assert (found.pause_reason, found.paused_at, found.paused_by_run) == (None, None, None)
    assert not (await state_of(ports, run)).run.pauses


async def test_a_pause_by_an_operator_has_a_time_and_the_given_reason(
    ports: wiring.Ports, mine: Subscription, now: datetime
):
    assert await ports.catalog.set_subscription_status(mine.id, PAUSED, now)
    assert (
        (await subscription_of(ports)).pause_reason,
        (await subscription_of(ports)).paused_at,
    ) == (None, now)
    assert not await ports.catalog.set_subscription_status(mine.id, PAUSED, now, reason="late")
    assert (await subscription_of(ports)).pause_reason is None


async def test_an_apply_keeps_the_pause_and_its_reason(
    ports: wiring.Ports,
    apply: Apply,
    define: Define,
    subscribe: Subscribe,
    make_run: MakeRun,
    now: datetime,
):
    await save(ports, await make_run("k"), failure(now, REASON))
    before = await subscription_of(ports)
    later = now + timedelta(hours=1)
    await apply(define("digest"), subscribe("mine", triggers={"daily": None}), at=later)
    after = await subscription_of(ports)
    assert after.updated_at == later
    for field in ("status", "failures", "pause_reason", "paused_at", "paused_by_run"):
        assert getattr(after, field) == getattr(before, field), field


async def test_a_manifest_that_resumes_resets_the_streak_and_one_that_pauses_gives_no_reason(
    ports: wiring.Ports,
    apply: Apply,
    define: Define,
    subscribe: Subscribe,
    make_run: MakeRun,
    now: datetime,
):
    await save(ports, await make_run("k"), failure(now, REASON))
    await apply(define("digest"), subscribe("mine", paused=False))
    found = await subscription_of(ports)
    assert (found.status, found.failures) == (ACTIVE, 0)
    assert (found.pause_reason, found.paused_at, found.paused_by_run) == (None, None, None)
    later = now + timedelta(hours=1)
    await apply(define("digest"), subscribe("mine", paused=True), at=later)
    found = await subscription_of(ports)
    assert (found.status, found.paused_at, found.pause_reason) == (PAUSED, later, None)


async def test_a_subscription_created_paused_has_the_time_of_its_pause(
    ports: wiring.Ports, apply: Apply, define: Define, subscribe: Subscribe, now: datetime
):
    await apply(define("digest"), subscribe("mine", paused=True), subscribe("yours"))
    found = {
        subscription.name: subscription.paused_at
        for subscription in await ports.catalog.subscriptions(Selection())
    }
    assert found == {"mine": now, "yours": None}
