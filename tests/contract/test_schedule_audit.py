"""The ScheduleRegister port, as the drift detector uses it."""

from collections.abc import Awaitable, Callable
from datetime import datetime

from activityctl import wiring
from activityctl.domain.gitops.drift import StoredSchedule
from activityctl.domain.gitops.plan import Plan
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.subscription import (
    Subscription,
    SubscriptionManifest,
    SubscriptionStatus,
)
from activityctl.domain.values import ids

Apply = Callable[..., Awaitable[Plan]]
Define = Callable[..., ActivityDefinition]
Subscribe = Callable[..., SubscriptionManifest]


async def sync_all(ports: wiring.Ports, now: datetime) -> None:
    """Mark all unsynced schedules as synced, as if Temporal had done everything."""
    for drift in await ports.register.unsynced(1000):
        await ports.register.mark_synced([drift], now)


async def stored(ports: wiring.Ports, key: str) -> StoredSchedule:
    return (await ports.register.stored([key]))[key]


async def test_a_wanted_schedule_is_stored_and_synced_when_it_is_observed(
    ports: wiring.Ports, mine: Subscription, now: datetime
) -> None:
    key = ids.schedule_id(mine.id, "daily")
    waiting = await stored(ports, key)
    assert (waiting.id, waiting.subscription_id, waiting.trigger) == (key, mine.id, "daily")
    assert not waiting.is_synced
    await sync_all(ports, now)
    synced = await stored(ports, key)
    assert synced.is_synced
    assert not synced.paused
    assert synced.wanted is not None
    assert (synced.wanted.kind, synced.wanted.body) == ("cron", {"schedule": "0 8 * * *"})
    assert synced.wanted == waiting.wanted


async def test_a_pause_is_stored(ports: wiring.Ports, mine: Subscription, now: datetime) -> None:
    await ports.catalog.set_subscription_status(mine.id, SubscriptionStatus.PAUSED, now)
    key = ids.schedule_id(mine.id, "daily")
    assert not (await stored(ports, key)).is_synced
    await sync_all(ports, now)
    found = await stored(ports, key)
    assert (found.paused, found.is_synced) == (True, True)


async def test_a_schedule_to_delete_is_synced_once_it_is_deleted(
    ports: wiring.Ports, mine: Subscription, remove: Apply, now: datetime
) -> None:
    key = ids.schedule_id(mine.id, "daily")
    await sync_all(ports, now)
    await remove(mine.name)
    going = await stored(ports, key)
    assert (going.wanted, going.is_synced) == (None, False)
    await sync_all(ports, now)
    gone = await stored(ports, key)
    assert (gone.wanted, gone.is_synced) == (None, True)


async def test_only_schedules_of_known_subscriptions_are_returned(
    ports: wiring.Ports, mine: Subscription
) -> None:
    former = ids.schedule_id(mine.id, "former")
    stranger = ids.schedule_id(ids.subscription_id("stranger"), "daily")
    found = await ports.register.stored([former, stranger, "nightly", "schedule/x/y"])
    assert found == {former: StoredSchedule(former, mine.id, "former", None)}
    assert await ports.register.stored([]) == {}


async def test_synced_ids_are_paged_in_order(
    ports: wiring.Ports, apply: Apply, define: Define, subscribe: Subscribe, now: datetime
) -> None:
    names = [f"s{number}" for number in range(5)]
    await apply(define("digest"), *(subscribe(name) for name in names))
    assert await ports.register.synced_ids(after="", limit=10) == []
    await sync_all(ports, now)
    await apply(subscribe("late"))
    pages, after = [], ""
    while page := await ports.register.synced_ids(after=after, limit=2):
        pages.append(len(page))
        after = page[-1]
    assert pages == [2, 2, 1]
    found = await ports.register.synced_ids(after="", limit=10)
    keys = {ids.schedule_id(ids.subscription_id(name), "daily") for name in names}
    assert set(found) == keys


async def test_only_one_drift_detector_runs_at_a_time_beside_a_reconciler(
    ports: wiring.Ports,
) -> None:
    async with ports.register.drift_lock() as first, ports.register.drift_lock() as second:
        assert (first, second) == (True, False)
        async with ports.register.reconcile_lock() as reconciles:
            assert reconciles
    async with ports.register.drift_lock() as third:
        assert third
