"""The ScheduleRegister port: which alarms are unsynced, and what makes them synced."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime

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
from activityctl.domain.timing.alarm import alarm_of
from activityctl.domain.timing.trigger import CronTrigger
from activityctl.domain.values.ids import AlarmId
from activityctl.domain.values.selection import Selection
from activityctl.ports import ListedSchedule, UnsyncedAlarm

Apply = Callable[..., Awaitable[Plan]]
Define = Callable[..., ActivityDefinition]
Subscribe = Callable[..., SubscriptionManifest]

ACTIVE, PAUSED, _ = SubscriptionStatus
HOURLY = {"name": "hourly", "cron": {"schedule": "0 * * * *"}}
DAILY = {"name": "daily", "cron": {"schedule": "0 8 * * *"}}
AT_EIGHT, AT_NINE = AlarmId("alarm/0 8 * * * UTC"), AlarmId("alarm/0 9 * * * UTC")


async def sync_all(ports: wiring.Ports, now: datetime) -> list[tuple[str, str]]:
    """Create and delete as the reconciler does; return what was done, with the alarms' ids."""
    unsynced = await ports.register.unsynced(100)
    created = [each for each in unsynced if each.wanted is not None]
    await ports.register.announce([each.id for each in created])
    gone = await ports.register.forsake([each.id for each in unsynced if each.wanted is None])
    await ports.register.mark_synced(
        [*created, *(each for each in unsynced if each.id in gone)], now
    )
    return [("deleted" if each.wanted is None else "created", each.id) for each in unsynced]


async def row_of(ports: wiring.Ports, subscription: Subscription) -> ListedSchedule:
    (row,) = await ports.register.schedules(Selection(subscription_id=subscription.id))
    return row


async def test_a_new_schedule_is_pending_until_its_alarm_is_there(
    ports: wiring.Ports, mine: Subscription, now: datetime
):
    (alarm,) = await ports.register.unsynced(10)
    assert alarm.id == AT_EIGHT
    assert alarm.wanted == alarm_of(CronTrigger(schedule="0 8 * * *"))
    assert (await row_of(ports, mine)).status == "pending"
    await ports.register.mark_synced([alarm], now)
    assert await ports.register.unsynced(10) == []
    row = await row_of(ports, mine)
    assert (row.status, row.observed_at, row.subscription) == ("active", now, "mine")
    assert (row.wanted.kind, row.wanted.body) == ("cron", {"schedule": "0 8 * * *"})
    assert row.alarm == AT_EIGHT


async def test_triggers_with_one_timing_share_an_alarm(
    ports: wiring.Ports,
    apply: Apply,
    define: Define,
    subscribe: Subscribe,
    remove: Apply,
    now: datetime,
):
    """Whoever they belong to, however it is written, and whatever else they say."""
    written = [
        {"name": "plain", "cron": {"schedule": "0 8 * * *"}},
        {"name": "named", "cron": {"schedule": "00 8 * JAN-dec *", "jitter": "30s"}},
        {"name": "bounded", "cron": {"schedule": "0 8 * * *", "startAt": "2030-01-01T00:00:00Z"}},
        {"name": "elsewhere", "cron": {"schedule": "0 8 * * *", "timezone": "Asia/Tokyo"}},
    ]
    await apply(define("digest", triggers=written), subscribe("mine"), subscribe("yours"))
    assert await sync_all(ports, now) == [
        ("created", "alarm/0 8 * * * Asia/Tokyo"),
        ("created", AT_EIGHT),
    ]
    served = await ports.register.serves(AT_EIGHT, 100)
    assert len(served) == 6
    assert {row.status for row in await ports.register.schedules(Selection())} == {"active"}
    await remove("yours")
    assert await ports.register.unsynced(10) == []
    await remove("mine")
    assert len(await sync_all(ports, now)) == 2
    assert (await ports.metrics.snapshot()).alarms == 0


async def test_a_paused_or_ended_schedule_wants_no_alarm(
    ports: wiring.Ports, apply: Apply, subscribe: Subscribe, mine: Subscription, now: datetime
):
    await sync_all(ports, now)
    await ports.catalog.set_subscription_status(mine.id, PAUSED, now)
    row = await row_of(ports, mine)
    assert (row.status, row.alarm) == ("paused", None)
    assert await sync_all(ports, now) == [("deleted", AT_EIGHT)]
    await ports.catalog.set_subscription_status(mine.id, ACTIVE, now)
    assert (await row_of(ports, mine)).status == "pending"
    assert await sync_all(ports, now) == [("created", AT_EIGHT)]
    assert await ports.register.unsynced(10) == []
    ended = {"daily": {"cron": {"schedule": "0 8 * * *", "endAt": "2020-01-01T00:00:00Z"}}}
    await apply(subscribe("mine", triggers=ended))
    assert await sync_all(ports, now) == [("deleted", AT_EIGHT)]
    row = await row_of(ports, mine)
    assert (row.status, row.alarm) == ("active", None)


async def test_an_alarm_of_which_only_the_plan_was_recorded_is_still_deleted(
    ports: wiring.Ports, remove: Apply, mine: Subscription, now: datetime
):
    # Temporal may have it already: the reconciler may have stopped before it could record that.
    await ports.register.announce([AT_EIGHT])
    await remove(mine.name)
    assert await sync_all(ports, now) == [("deleted", AT_EIGHT)]
    assert await ports.register.unsynced(10) == []


async def test_an_alarm_that_is_wanted_again_during_its_deletion_is_created_again(
    ports: wiring.Ports,
    apply: Apply,
    subscribe: Subscribe,
    remove: Apply,
    mine: Subscription,
    now: datetime,
):
    await sync_all(ports, now)
    await remove(mine.name)
    assert await ports.register.forsake([AT_EIGHT, "alarm/another"]) == {AT_EIGHT}
    await apply(subscribe("mine"))
    assert await ports.register.forsake([AT_EIGHT]) == set()
    assert (await row_of(ports, mine)).status == "pending"
    assert await ports.register.unsynced_errors([mine.id]) == [(AT_EIGHT, None)]
    await ports.register.mark_synced([UnsyncedAlarm(AT_EIGHT, None)], now)
    assert await sync_all(ports, now) == [("created", AT_EIGHT)]


async def test_a_change_of_timing_moves_a_schedule_to_another_alarm(
    ports: wiring.Ports, apply: Apply, define: Define, mine: Subscription, now: datetime
):
    await sync_all(ports, now)
    later = {"name": "daily", "cron": {"schedule": "0 9 * * *"}}
    await apply(define("digest", triggers=[later]))
    assert (await row_of(ports, mine)).status == "pending"
    # The new one comes first, so that some alarm wakes us all the time.
    assert await sync_all(ports, now) == [("created", AT_NINE), ("deleted", AT_EIGHT)]
    assert (await row_of(ports, mine)).status == "active"


async def test_the_trigger_of_a_paused_subscription_wants_no_alarm(
    ports: wiring.Ports, apply: Apply, define: Define, mine: Subscription, now: datetime
):
    await ports.catalog.set_subscription_status(mine.id, PAUSED, now)
    await apply(define("digest", triggers=[DAILY, HOURLY]))
    assert await ports.register.unsynced(10) == []


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
    assert await ports.register.unsynced(10) == []
    rows = await ports.register.schedules(Selection())
    assert [row.status for row in rows] == ["paused", "paused"]


async def test_an_apply_that_changes_no_timing_leaves_alarms_synced(
    ports: wiring.Ports, apply: Apply, define: Define, subscribe: Subscribe, now: datetime
):
    await apply(define("digest"), subscribe("mine"))
    await sync_all(ports, now)
    await apply(define("digest", description="other"), subscribe("mine", params={"a": 1}))
    assert await ports.register.unsynced(10) == []


async def test_an_error_is_shown_until_the_alarm_is_synced(
    ports: wiring.Ports, mine: Subscription, remove: Apply, now: datetime
):
    (alarm,) = await ports.register.unsynced(10)
    await ports.register.announce([alarm.id])
    await ports.register.mark_failed(alarm, "no answer")
    assert await ports.register.unsynced_errors([mine.id]) == [(alarm.id, "no answer")]
    assert await ports.register.unsynced_errors(["other"]) == []
    row = await row_of(ports, mine)
    assert (row.status, row.error) == ("error", "no answer")
    assert [unsynced.id for unsynced in await ports.register.unsynced(10)] == [alarm.id]
    await ports.register.mark_synced([alarm], now)
    assert await ports.register.unsynced_errors([mine.id]) == []
    assert (await row_of(ports, mine)).error is None
    await remove(mine.name)
    assert await ports.register.unsynced_errors([mine.id]) == [(alarm.id, None)]  # to be deleted
    assert await ports.register.unsynced_errors([]) == [], "this change has no schedules"
    await ports.register.mark_failed(UnsyncedAlarm(alarm.id, None), "no answer")
    assert await ports.register.unsynced_errors([mine.id]) == []


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
    assert len(await ports.register.unsynced(1)) == 1
    assert len(await ports.register.unsynced(10)) == 2


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
