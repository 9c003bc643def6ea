"""The ScheduleRegister port, as the drift detector uses it."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

import pytest

from activityctl import wiring
from activityctl.domain.gitops.drift import StoredAlarm
from activityctl.domain.gitops.plan import Plan
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.subscription import Subscription, SubscriptionManifest
from activityctl.domain.timing.alarm import alarm_of
from activityctl.domain.timing.trigger import CronTrigger
from activityctl.domain.values import ids

AT_EIGHT = ids.AlarmId("alarm/0 8 * * * UTC")

Apply = Callable[..., Awaitable[Plan]]
Define = Callable[..., ActivityDefinition]
Subscribe = Callable[..., SubscriptionManifest]


async def sync_all(ports: wiring.Ports, now: datetime) -> None:
    """Mark all unsynced alarms as synced, as if Temporal had done everything."""
    await ports.register.mark_synced(await ports.register.unsynced(1000), now)


async def stored(ports: wiring.Ports, key: str) -> StoredAlarm:
    return (await ports.register.stored([key]))[key]


@pytest.mark.usefixtures("mine")
async def test_a_wanted_alarm_is_stored_and_synced_when_it_is_observed(
    ports: wiring.Ports, now: datetime
) -> None:
    alarm = alarm_of(CronTrigger(schedule="0 8 * * *"))
    assert await stored(ports, AT_EIGHT) == StoredAlarm(AT_EIGHT, alarm, is_synced=False)
    await sync_all(ports, now)
    assert await stored(ports, AT_EIGHT) == StoredAlarm(AT_EIGHT, alarm)


async def test_an_alarm_to_delete_is_synced_once_it_is_deleted(
    ports: wiring.Ports, mine: Subscription, remove: Apply, now: datetime
) -> None:
    await sync_all(ports, now)
    await remove(mine.name)
    assert await stored(ports, AT_EIGHT) == StoredAlarm(AT_EIGHT, None, is_synced=False)
    await sync_all(ports, now)
    assert await ports.register.stored([AT_EIGHT]) == {}


async def test_only_alarms_of_ours_and_former_schedules_of_known_subscriptions_are_returned(
    ports: wiring.Ports, mine: Subscription
) -> None:
    former = ids.schedule_id(mine.id, "former")
    stranger = ids.schedule_id(ids.subscription_id("stranger"), "daily")
    others = [stranger, "nightly", "schedule/x/y", "alarm/every 5s"]
    found = await ports.register.stored([former, *others])
    assert found == {former: StoredAlarm(ids.AlarmId(former), None)}
    assert await ports.register.stored([]) == {}


async def test_synced_ids_are_paged_in_order(
    ports: wiring.Ports, apply: Apply, define: Define, subscribe: Subscribe, now: datetime
) -> None:
    def at(hour: int) -> dict[str, Any]:
        return {"daily": {"cron": {"schedule": f"0 {hour} * * *"}}}

    await apply(define("digest"), *(subscribe(f"s{hour}", triggers=at(hour)) for hour in range(5)))
    assert await ports.register.synced_ids(after="", limit=10) == []
    await sync_all(ports, now)
    await apply(subscribe("late", triggers=at(9)))
    pages, after = [], ""
    while page := await ports.register.synced_ids(after=after, limit=2):
        pages.append(len(page))
        after = page[-1]
    assert pages == [2, 2, 1]
    found = await ports.register.synced_ids(after="", limit=10)
    assert found == [f"alarm/0 {hour} * * * UTC" for hour in range(5)]


async def test_only_one_drift_detector_runs_at_a_time_beside_a_reconciler(
    ports: wiring.Ports,
) -> None:
    async with ports.register.drift_lock() as first, ports.register.drift_lock() as second:
        assert (first, second) == (True, False)
        async with ports.register.reconcile_lock() as reconciles:
            assert reconciles
    async with ports.register.drift_lock() as third:
        assert third
