"""The ScheduleRegister port: which schedules are unsynced, and what makes them synced."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

import pytest

from activityctl import wiring
from activityctl.domain.gitops.plan import Plan, Wanted
from activityctl.domain.gitops.planning import plan_changes
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.subscription import (
    Subscription,
    SubscriptionManifest,
    SubscriptionStatus,
)
from activityctl.domain.values.ids import schedule_id
from activityctl.domain.values.selection import Selection
from activityctl.ports import ListedSchedule

Apply = Callable[..., Awaitable[Plan]]
Define = Callable[..., ActivityDefinition]
Subscribe = Callable[..., SubscriptionManifest]

ACTIVE, PAUSED, _ = SubscriptionStatus
HOURLY = {"name": "hourly", "cron": {"schedule": "0 * * * *"}}
DAILY = {"name": "daily", "cron": {"schedule": "0 8 * * *"}}


async def sync_all(ports: wiring.Ports, now: datetime) -> list[tuple[str, bool]]:
    """Mark all unsynced schedules as synced; return their (id, paused)."""
    drifted = await ports.register.unsynced(100)
    for drift in drifted:
        await ports.register.mark_synced([drift], now)
    return [(drift.id, drift.paused) for drift in drifted]


async def row_of(ports: wiring.Ports, subscription: Subscription) -> ListedSchedule:
    (row,) = await ports.register.schedules(Selection(subscription_id=subscription.id))
    return row


async def test_a_new_schedule_is_unsynced_until_it_is_observed(
    ports: wiring.Ports, mine: Subscription, now: datetime
):
    (drift,) = await ports.register.unsynced(10)
    assert drift.id == schedule_id(mine.id, "daily")
    assert drift.wanted is not None
    assert (drift.wanted.kind, drift.wanted.body) == ("cron", {"schedule": "0 8 * * *"})
    assert not drift.paused
    assert (await row_of(ports, mine)).status == "pending"
    await ports.register.mark_synced([drift], now)
    assert await ports.register.unsynced(10) == []
    row = await row_of(ports, mine)
    assert (row.status, row.observed_at, row.subscription) == ("active", now, "mine")
    assert row.wanted == drift.wanted


async def test_pause_and_resume_make_the_schedule_unsynced(
    ports: wiring.Ports, mine: Subscription, now: datetime
):
    key = schedule_id(mine.id, "daily")
    await sync_all(ports, now)
    await ports.catalog.set_subscription_status(mine.id, PAUSED, now)
    assert await sync_all(ports, now) == [(key, True)]
    assert (await row_of(ports, mine)).status == "paused"
    await ports.catalog.set_subscription_status(mine.id, ACTIVE, now)
    assert await sync_all(ports, now) == [(key, False)]
    assert await ports.register.unsynced(10) == []


async def test_the_schedules_of_a_deleted_subscription_are_deleted(
    ports: wiring.Ports, remove: Apply, mine: Subscription, now: datetime
):
    await sync_all(ports, now)
    await remove(mine.name)
    (drift,) = await ports.register.unsynced(10)
    assert (drift.id, drift.wanted) == (schedule_id(mine.id, "daily"), None)
    assert await ports.register.schedules(Selection()) == []
    await ports.register.mark_synced([drift], now)
    assert await ports.register.unsynced(10) == []


async def test_a_schedule_deleted_before_it_was_observed_is_still_deleted_in_temporal(
    ports: wiring.Ports, remove: Apply, mine: Subscription, now: datetime
):
    # Temporal may have it already: the reconciler may have stopped before it could record that.
    await remove(mine.name)
    (drift,) = await ports.register.unsynced(10)
    assert drift.wanted is None
    await ports.register.mark_synced([drift], now)
    assert await ports.register.unsynced(10) == []


async def test_a_status_that_changes_back_is_synced_again(
    ports: wiring.Ports, mine: Subscription, now: datetime
):
    # Between the changes the reconciler may have paused it, and stopped before it recorded that.
    await sync_all(ports, now)
    await ports.catalog.set_subscription_status(mine.id, PAUSED, now)
    await ports.catalog.set_subscription_status(mine.id, ACTIVE, now)
    assert await sync_all(ports, now) == [(schedule_id(mine.id, "daily"), False)]


async def test_a_timing_that_changes_back_is_synced_again(
    ports: wiring.Ports, apply: Apply, define: Define, mine: Subscription, now: datetime
):
    await sync_all(ports, now)
    other = {"name": "daily", "cron": {"schedule": "0 9 * * *"}}
    await apply(define("digest", triggers=[other]))
    await apply(define("digest", triggers=[DAILY]))
    assert await sync_all(ports, now) == [(schedule_id(mine.id, "daily"), False)]


async def test_a_schedule_wanted_again_during_its_deletion_is_unsynced(
    ports: wiring.Ports,
    apply: Apply,
    subscribe: Subscribe,
    remove: Apply,
    mine: Subscription,
    now: datetime,
):
    await sync_all(ports, now)
    await remove(mine.name)
    (removal,) = await ports.register.unsynced(10)
    await apply(subscribe("mine"))
    await ports.register.mark_synced([removal], now)
    (drift,) = await ports.register.unsynced(10)
    assert drift.wanted is not None


async def test_a_schedule_that_changes_during_its_update_is_unsynced(
    ports: wiring.Ports, apply: Apply, define: Define, mine: Subscription, now: datetime
):
    (old,) = await ports.register.unsynced(10)
    await apply(define("digest", triggers=[{"name": "daily", "cron": {"schedule": "0 9 * * *"}}]))
    await ports.register.mark_synced([old], now)
    (drift,) = await ports.register.unsynced(10)
    assert drift.wanted is not None
    assert drift.wanted.body == {"schedule": "0 9 * * *"}
    assert (await row_of(ports, mine)).status == "pending"


async def test_the_schedule_of_a_removed_trigger_is_deleted_and_the_others_stay(
    ports: wiring.Ports,
    apply: Apply,
    define: Define,
    subscribe: Subscribe,
    now: datetime,
):
    await apply(define("digest", triggers=[DAILY, HOURLY]), subscribe("mine"), subscribe("yours"))
    await sync_all(ports, now)
    await apply(define("digest", triggers=[DAILY]))
    yours = await ports.catalog.find_subscription("yours")
    mine = await ports.catalog.find_subscription("mine")
    gone = await ports.register.unsynced(10)
    assert {drift.id for drift in gone} == {
        schedule_id(subscription.id, "hourly") for subscription in (mine, yours)
    }
    assert {drift.wanted for drift in gone} == {None}
    await apply(subscribe("yours", triggers={"daily": None}))
    assert [row.subscription for row in await ports.register.schedules(Selection())] == ["mine"]


async def test_a_new_trigger_of_a_paused_subscription_is_created_paused(
    ports: wiring.Ports, apply: Apply, define: Define, mine: Subscription, now: datetime
):
    await ports.catalog.set_subscription_status(mine.id, PAUSED, now)
    await apply(define("digest", triggers=[DAILY, HOURLY]))
    drifted = await ports.register.unsynced(10)
    assert [drift.paused for drift in drifted] == [True, True]


async def test_a_pause_during_an_apply_also_pauses_its_new_trigger(
    ports: wiring.Ports, define: Define, mine: Subscription, now: datetime
):
    wanted = Wanted({"digest": define("digest", triggers=[DAILY, HOURLY])})
    async with ports.catalog.changing():
        plan = plan_changes(wanted, await ports.catalog.present())
        await ports.catalog.write(plan, now)
        pausing = asyncio.create_task(ports.catalog.set_subscription_status(mine.id, PAUSED, now))
        await asyncio.sleep(0.1)
    assert await pausing
    drifted = await ports.register.unsynced(10)
    assert [drift.paused for drift in drifted] == [True, True]


async def test_an_apply_that_changes_no_timing_leaves_schedules_synced(
    ports: wiring.Ports, apply: Apply, define: Define, subscribe: Subscribe, now: datetime
):
    await apply(define("digest"), subscribe("mine"))
    await sync_all(ports, now)
    await apply(define("digest", description="other"), subscribe("mine", params={"a": 1}))
    assert await ports.register.unsynced(10) == []


async def test_an_error_is_shown_until_the_schedule_is_synced(
    ports: wiring.Ports, mine: Subscription, now: datetime
):
    (drift,) = await ports.register.unsynced(10)
    await ports.register.mark_failed(drift, "no answer")
    assert await ports.register.unsynced_errors([mine.id]) == [(drift.id, "no answer")]
    assert await ports.register.unsynced_errors(["other"]) == []
    row = await row_of(ports, mine)
    assert (row.status, row.error) == ("error", "no answer")
    assert [unsynced.id for unsynced in await ports.register.unsynced(10)] == [drift.id]
    await ports.register.mark_synced([drift], now)
    assert await ports.register.unsynced_errors([mine.id]) == []
    assert (await row_of(ports, mine)).error is None


async def test_a_change_of_the_schedule_clears_its_error(
    ports: wiring.Ports, apply: Apply, remove: Apply, define: Define, subscribe: Subscribe
):
    async def refuse() -> None:
        (drift,) = await ports.register.unsynced(10)
        await ports.register.mark_failed(drift, "no")

    async def errors() -> list[str | None]:
        return [error for _, error in await ports.register.unsynced_errors([owner.id])]

    await apply(define("digest", triggers=[DAILY]), subscribe("mine"))
    owner = await ports.catalog.find_subscription("mine")
    await refuse()
    await apply(define("digest", triggers=[DAILY]), subscribe("mine"))
    assert await errors() == ["no"]
    later = {**DAILY, "cron": {"schedule": "0 9 * * *"}}
    await apply(define("digest", triggers=[later]), subscribe("mine"))
    assert await errors() == [None]
    await refuse()
    await remove("mine")
    assert await errors() == [None]


async def test_lists_of_schedules_are_limited_and_in_order(
    ports: wiring.Ports, apply: Apply, define: Define, subscribe: Subscribe
):
    await apply(define("digest", triggers=[HOURLY, DAILY]), subscribe("b"), subscribe("a"))
    rows = await ports.register.schedules(Selection())
    assert [(row.subscription, row.wanted.trigger) for row in rows] == [
        ("a", "daily"),
        ("a", "hourly"),
        ("b", "daily"),
        ("b", "hourly"),
    ]
    assert len(await ports.register.schedules(Selection(limit=3))) == 3
    drifted = await ports.register.unsynced(3)
    assert len(drifted) == 3
    assert len(await ports.register.unsynced(10)) == 4


async def test_only_one_reconciler_runs_at_a_time(ports: wiring.Ports):
    async with ports.register.reconcile_lock() as first, ports.register.reconcile_lock() as second:
        assert (first, second) == (True, False)
    async with ports.register.reconcile_lock() as third:
        assert third


async def test_a_reconciler_that_fails_releases_its_lock(ports: wiring.Ports):
    async def fail() -> None:
        async with ports.register.reconcile_lock():
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    async with ports.register.reconcile_lock() as is_ours:
        assert is_ours


async def test_marking_a_deleted_schedule_changes_nothing(
    ports: wiring.Ports, remove: Apply, mine: Subscription, now: datetime
):
    (placed,) = await ports.register.unsynced(10)
    await remove(mine.name)
    (removal,) = await ports.register.unsynced(10)
    await ports.register.mark_synced([removal], now)
    await ports.register.mark_synced([placed], now + timedelta(minutes=1))
    await ports.register.mark_failed(placed, "too late")
    assert await ports.register.unsynced(10) == []
    assert await ports.register.unsynced_errors([mine.id]) == []


async def test_a_schedule_to_delete_is_unsynced_until_it_is_deleted(
    ports: wiring.Ports, remove: Apply, mine: Subscription, now: datetime
):
    await sync_all(ports, now)
    assert await ports.register.unsynced_errors([mine.id]) == []
    await remove(mine.name)
    assert await ports.register.unsynced_errors([mine.id]) == [
        (schedule_id(mine.id, "daily"), None)
    ]
    await sync_all(ports, now)
    assert await ports.register.unsynced_errors([mine.id]) == []


async def test_the_next_time_of_a_subscription_is_the_earliest_of_its_triggers(
    ports: wiring.Ports, apply: Apply, define: Define, subscribe: Subscribe, now: datetime
):
    both = define("both", triggers=[HOURLY, DAILY])
    await apply(
        both, subscribe("both", "both"), define("none", triggers=[]), subscribe("none", "none")
    )
    owner = await ports.catalog.find_subscription("both")
    other = await ports.catalog.find_subscription("none")
    found = await ports.register.next_times([owner.id, other.id])
    assert list(found) == [owner.id]
    assert found[owner.id].minute == 0
    await ports.catalog.set_subscription_status(owner.id, PAUSED, now)
    assert await ports.register.next_times([owner.id]) == {}
