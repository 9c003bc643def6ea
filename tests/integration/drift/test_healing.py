"""Schedules that others delete, pause or add in Temporal, and what becomes of them."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

import pytest
from temporalio.client import (
    ScheduleRange,
)

from activityctl.domain.manifests.subscription import (
    SubscriptionStatus,
)
from activityctl.domain.values import ids
from activityctl.domain.values.selection import Selection
from activityctl.operations.runs.actions import change_status
from activityctl.settings import Settings
from support.drifting import FAR, OFTEN, House, now
from support.worker import working

ALL_KINDS = [
    OFTEN,
    {"name": "either", "cron": {"schedule": "1,3,7,20-50/3 */2 1,15 6 1-5"}},
    {"name": "macro", "cron": {"schedule": "@yearly"}},
    {"name": "sunday", "cron": {"schedule": "0 3 1 1 7", "timezone": "America/New_York"}},
    {"name": "plain", "interval": {"every": "700d"}},
    {"name": "moved", "interval": {"every": "700d", "offset": "90s", "jitter": "1500ms"}},
]


async def test_what_we_placed_has_not_drifted(house: House) -> None:
    await house.apply(*ALL_KINDS)
    for trigger in ALL_KINDS:
        await house.listed(house.schedule(trigger["name"]))
    assert await house.drift_detector.detect_and_repair() == 0
    assert await house.told() == []


async def test_a_deleted_schedule_is_created_again(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    await house.apply()
    before = await house.describe()
    await house.client.get_schedule_handle(house.schedule()).delete()
    with caplog.at_level(logging.WARNING, logger="activityctl"):
        assert await house.drift_detector.detect_and_repair() == 1
    after = await house.describe()
    assert before is not None
    assert after is not None
    assert after.schedule.spec == before.schedule.spec
    message = "schedule often was deleted behind our back; created again"
    assert await house.told() == [message]
    assert message in caplog.messages
    assert await house.drift_detector.detect_and_repair() == 0


async def test_a_pause_behind_our_back_is_undone(house: House) -> None:
    await house.apply()
    await house.client.get_schedule_handle(house.schedule()).pause(note="by hand")
    await house.listed(house.schedule(), paused=True)
    assert await house.drift_detector.detect_and_repair() == 1
    found = await house.describe()
    assert found is not None
    assert not found.schedule.state.paused
    assert await house.told() == ["schedule often was paused behind our back; resumed"]


async def test_an_operators_pause_is_wanted(house: House) -> None:
    await house.apply()
    await house.set_status(SubscriptionStatus.PAUSED)
    assert await house.drift_detector.detect_and_repair() == 0
    await house.client.get_schedule_handle(house.schedule()).unpause()
    assert await house.drift_detector.detect_and_repair() == 1
    found = await house.describe()
    assert found is not None
    assert found.schedule.state.paused
    assert await house.told() == ["schedule often was resumed behind our back; paused again"]


async def test_a_change_of_timing_keeps_an_operators_pause(house: House) -> None:
    await house.apply()
    await house.set_status(SubscriptionStatus.PAUSED)
    await house.apply({"name": "often", "cron": {**FAR, "schedule": "0 4 1 1 *"}})
    found = await house.describe()
    assert found is not None
    assert found.schedule.state.paused
    assert found.schedule.spec.calendars[0].hour == (ScheduleRange(4),)


async def test_only_schedules_that_were_ours_go_when_they_are_orphans(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    await house.apply()
    key = ids.content_hash(house.name)[:8]
    stranger = ids.schedule_id(ids.subscription_id(f"unknown-{house.name}"), "often")
    others = [f"nightly-{key}", f"schedule/{key}", stranger]
    orphan = house.schedule("former")
    for schedule_id in (*others, orphan):
        await house.create(schedule_id)
        await house.listed(schedule_id)
    try:
        with caplog.at_level(logging.WARNING, logger="activityctl"):
            assert await house.drift_detector.detect_and_repair() == 1
            assert await house.drift_detector.detect_and_repair() == 0
        for schedule_id in others:
            await house.client.get_schedule_handle(schedule_id).describe()
    finally:
        for schedule_id in others:
            await house.client.get_schedule_handle(schedule_id).delete()
    assert await house.describe("former") is None
    assert await house.describe() is not None
    assert await house.told() == ["schedule former was created behind our back; deleted"]
    warnings = [text for text in caplog.messages if "left alone" in text]
    assert len(warnings) == 1


async def test_a_schedule_of_a_deleted_subscription_that_returns_is_an_orphan(
    house: House,
) -> None:
    await house.apply()
    await house.delete()
    assert await house.describe() is None
    await house.create(house.schedule(), workflow="RunActivity")
    await house.listed(house.schedule())
    assert await house.drift_detector.detect_and_repair() == 1
    assert await house.describe() is None


async def test_one_worker_at_a_time_audits(house: House) -> None:
    await house.apply()
    await house.client.get_schedule_handle(house.schedule()).delete()
    async with house.ports.register.drift_lock() as is_ours:
        assert is_ours
        assert await house.drift_detector.detect_and_repair() == 0
    assert await house.drift_detector.detect_and_repair() == 1


async def test_a_wish_that_is_not_carried_out_yet_is_left_to_the_reconciler(
    house: House,
) -> None:
    await house.apply()
    subscription = await house.ports.catalog.find_subscription(house.name)
    await change_status(house.ports.catalog, subscription, SubscriptionStatus.PAUSED, now())
    assert await house.drift_detector.detect_and_repair() == 0
    assert await house.told() == []
    assert await house.reconciler.reconcile() == 1


async def test_a_change_of_params_alone_touches_nothing_in_temporal(house: House) -> None:
    await house.apply(size=1)
    (row,) = await house.ports.register.schedules(Selection())
    before = await house.describe()
    await house.apply(size=2)
    subscription = await house.ports.catalog.find_subscription(house.name)
    assert subscription.params == {"size": 2}
    assert await house.ports.register.schedules(Selection()) == [row]
    assert row.observed_at is not None
    after = await house.describe()
    assert before is not None
    assert after is not None
    assert after.info.last_updated_at is None
    assert after.raw_description.conflict_token == before.raw_description.conflict_token


async def test_a_starting_worker_heals_what_was_done_while_none_ran(
    house: House, settings: Settings
) -> None:
    await house.apply()
    await house.client.get_schedule_handle(house.schedule()).delete()
    async with working(settings):
        await until(house.describe, 10)
        await until(house.told, 5)
    assert await house.told() == ["schedule often was deleted behind our back; created again"]


@pytest.mark.slow
async def test_a_thousand_schedules_are_audited_in_a_few_seconds(house: House) -> None:
    triggers = [{"name": f"t{n}", "interval": {"every": f"{700 + n}d"}} for n in range(1000)]
    await house.apply(*triggers)
    while await house.ports.register.unsynced(1):
        await house.reconciler.reconcile()
    for number in (3, 500, 999):
        handle = house.client.get_schedule_handle(house.schedule(f"t{number}"))
        await (handle.delete() if number == 500 else handle.pause())
    await house.listed(house.schedule("t999"), paused=True)
    began = time.monotonic()
    assert await house.drift_detector.detect_and_repair() == 3
    print(f"1,000 schedules were audited and 3 healed in {time.monotonic() - began:.1f} s")
    assert time.monotonic() - began < 20  # two seconds on a machine that is not busy
    assert sorted(await house.told()) == [
        "schedule t3 was paused behind our back; resumed",
        "schedule t500 was deleted behind our back; created again",
        "schedule t999 was paused behind our back; resumed",
    ]


async def until(ask: Callable[[], Awaitable[object]], seconds: float) -> None:
    async with asyncio.timeout(seconds):
        while not await ask():
            await asyncio.sleep(0.05)
