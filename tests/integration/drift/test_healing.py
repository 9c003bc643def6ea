"""Schedules that were deleted, paused, resumed or created in Temporal are corrected."""

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable

import pytest

from activityctl.domain.manifests.subscription import (
    SubscriptionStatus,
)
from activityctl.domain.values import ids
from activityctl.domain.values.selection import Selection
from activityctl.operations.runs.actions import change_status
from activityctl.settings import Settings
from support.drifting import FAR, OFTEN, ScheduleHarness, now
from support.worker import working

ALL_KINDS = [
    OFTEN,
    {"name": "either", "cron": {"schedule": "1,3,7,20-50/3 */2 1,15 6 1-5"}},
    {"name": "macro", "cron": {"schedule": "@yearly"}},
    {"name": "sunday", "cron": {"schedule": "0 3 1 1 7", "timezone": "America/New_York"}},
    {"name": "plain", "interval": {"every": "700d"}},
    {"name": "moved", "interval": {"every": "700d", "offset": "90s", "jitter": "1500ms"}},
]


async def test_our_own_schedules_have_no_drift(harness: ScheduleHarness) -> None:
    await harness.apply(*ALL_KINDS)
    for trigger in ALL_KINDS:
        ((kind, body),) = [each for each in trigger.items() if each[0] != "name"]
        await harness.listed(harness.alarm(kind, **body))
    assert await harness.drift_detector.detect_and_repair() == 0
    assert await harness.log_messages() == []


async def test_a_deleted_schedule_is_created_again(
    harness: ScheduleHarness, caplog: pytest.LogCaptureFixture
) -> None:
    await harness.apply()
    before = await harness.describe()
    await harness.client.get_schedule_handle(harness.alarm()).delete()
    with caplog.at_level(logging.WARNING, logger="activityctl"):
        assert await harness.drift_detector.detect_and_repair() == 1
    after = await harness.describe()
    assert before is not None
    assert after is not None
    assert after.schedule.spec == before.schedule.spec
    message = "schedule often was deleted outside activityctl; created again"
    assert await harness.log_messages() == [message]
    assert message in caplog.messages
    assert await harness.drift_detector.detect_and_repair() == 0


async def test_a_pause_in_temporal_is_undone(harness: ScheduleHarness) -> None:
    await harness.apply()
    await harness.client.get_schedule_handle(harness.alarm()).pause(note="by hand")
    await harness.listed(harness.alarm(), paused=True)
    assert await harness.drift_detector.detect_and_repair() == 1
    found = await harness.describe()
    assert found is not None
    assert not found.schedule.state.paused
    assert await harness.log_messages() == [
        "schedule often was paused outside activityctl; resumed"
    ]


async def test_a_paused_subscription_has_no_alarm_in_temporal(harness: ScheduleHarness) -> None:
    """Unless others want it: then it stays, whatever becomes of one of them."""
    await harness.apply(OFTEN, {"name": "twin", "cron": {**FAR, "jitter": "0s"}})
    assert len(await harness.ports.register.serves(harness.alarm(), 10)) == 2
    await harness.apply()
    assert await harness.describe() is not None
    await harness.set_status(SubscriptionStatus.PAUSED)
    assert await harness.describe() is None
    await harness.apply({"name": "often", "cron": {**FAR, "schedule": "0 4 1 1 *"}})
    assert await harness.drift_detector.detect_and_repair() == 0
    assert await harness.describe(harness.alarm(**{**FAR, "schedule": "0 4 1 1 *"})) is None
    await harness.set_status(SubscriptionStatus.ACTIVE)
    assert await harness.describe(harness.alarm(**{**FAR, "schedule": "0 4 1 1 *"})) is not None
    assert await harness.log_messages() == []


async def test_only_former_schedules_of_ours_are_deleted(
    harness: ScheduleHarness, caplog: pytest.LogCaptureFixture
) -> None:
    await harness.apply()
    key = ids.content_hash(harness.name)[:8]
    unknown = ids.schedule_id(ids.subscription_id(f"unknown-{harness.name}"), "often")
    others = [f"nightly-{key}", f"schedule/{key}", unknown, f"alarm/every {key}"]
    former = ids.schedule_id(harness.owner, "former")
    for schedule_id in (*others, former):
        await harness.create(schedule_id)
        await harness.listed(schedule_id)
    try:
        with caplog.at_level(logging.WARNING, logger="activityctl"):
            assert await harness.drift_detector.detect_and_repair() == 1
            assert await harness.drift_detector.detect_and_repair() == 0
        for schedule_id in others:
            await harness.client.get_schedule_handle(schedule_id).describe()
    finally:
        for schedule_id in others:
            await harness.client.get_schedule_handle(schedule_id).delete()
    assert await harness.describe(former) is None
    assert await harness.describe() is not None
    assert await harness.log_messages() == [
        "schedule former was created outside activityctl; deleted"
    ]
    warnings = [text for text in caplog.messages if "another database" in text]
    assert len(warnings) == 1


async def test_only_one_worker_at_a_time_checks_for_drift(harness: ScheduleHarness) -> None:
    await harness.apply()
    await harness.client.get_schedule_handle(harness.alarm()).delete()
    async with harness.ports.register.drift_lock() as is_ours:
        assert is_ours
        assert await harness.drift_detector.detect_and_repair() == 0
    assert await harness.drift_detector.detect_and_repair() == 1


async def test_an_unsynced_schedule_is_left_to_the_reconciler(
    harness: ScheduleHarness,
) -> None:
    await harness.apply()
    subscription = await harness.ports.catalog.find_subscription(harness.name)
    await change_status(harness.ports.catalog, subscription, SubscriptionStatus.PAUSED, now())
    assert await harness.drift_detector.detect_and_repair() == 0
    assert await harness.log_messages() == []
    assert await harness.reconciler.reconcile() == 1


async def test_a_change_of_params_alone_changes_no_schedule(harness: ScheduleHarness) -> None:
    await harness.apply(size=1)
    (row,) = await harness.ports.register.schedules(Selection())
    before = await harness.describe()
    await harness.apply(size=2)
    subscription = await harness.ports.catalog.find_subscription(harness.name)
    assert subscription.params == {"size": 2}
    assert await harness.ports.register.schedules(Selection()) == [row]
    assert row.observed_at is not None
    after = await harness.describe()
    assert before is not None
    assert after is not None
    assert after.info.last_updated_at is None
    assert after.raw_description.conflict_token == before.raw_description.conflict_token


async def test_a_starting_worker_restores_schedules_that_were_changed_before(
    harness: ScheduleHarness, settings: Settings
) -> None:
    await harness.apply()
    await harness.client.get_schedule_handle(harness.alarm()).delete()
    async with working(settings):
        await until(harness.describe, 120)  # a lagging list is seen a minute later
        await until(harness.log_messages, 60)
    assert await harness.log_messages() == [
        "schedule often was deleted outside activityctl; created again"
    ]


@pytest.mark.slow
async def test_many_schedules_are_checked_in_a_few_seconds(
    harness: ScheduleHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DRILL_FULL=1 takes a thousand, which is two pages; else smaller pages are used."""
    count = 1000 if os.environ.get("DRILL_FULL") == "1" else 120
    if count < 1000:
        monkeypatch.setattr("activityctl.adapters.temporal.schedules._PAGE", count // 2)
        monkeypatch.setattr("activityctl.daemon.worker.drift_detector._BATCH", count // 2)
    triggers = [
        {"name": f"t{number}", "interval": {"every": f"{700 + number}d"}} for number in range(count)
    ]
    await harness.apply(*triggers)
    while await harness.ports.register.unsynced(1):
        await harness.reconciler.reconcile()
    middle, last = count // 2, count - 1

    def alarm(number: int) -> str:
        return harness.alarm("interval", every=f"{700 + number}d")

    for number in (3, middle, last):
        handle = harness.client.get_schedule_handle(alarm(number))
        await (handle.delete() if number == middle else handle.pause())
    await harness.listed(alarm(last), paused=True)
    began = time.monotonic()
    assert await harness.drift_detector.detect_and_repair() == 3
    print(f"{count} schedules were checked and 3 restored in {time.monotonic() - began:.1f} s")
    assert time.monotonic() - began < 60  # a thousand take two seconds on an idle machine
    assert {*await harness.log_messages()} == {
        "schedule t3 was paused outside activityctl; resumed",
        f"schedule t{middle} was deleted outside activityctl; created again",
        f"schedule t{last} was paused outside activityctl; resumed",
    }


async def until(is_true: Callable[[], Awaitable[object]], seconds: float) -> None:
    async with asyncio.timeout(seconds):
        while not await is_true():
            await asyncio.sleep(0.05)
