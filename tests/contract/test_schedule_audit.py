"""What the auditor asks of the ScheduleRegister port."""

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


async def settle(ports: wiring.Ports, now: datetime) -> None:
    """Observe all that drifts, as if Temporal did as it was told."""
    for drift in await ports.register.unsynced(1000):
        await ports.register.mark_synced([drift], now)


async def recorded(ports: wiring.Ports, key: str) -> StoredSchedule:
    return (await ports.register.stored([key]))[key]


async def test_a_wish_is_recorded_and_settles_when_it_is_observed(
    ports: wiring.Ports, mine: Subscription, now: datetime
) -> None:
    key = ids.schedule_id(mine.id, "daily")
    waiting = await recorded(ports, key)
    assert (waiting.id, waiting.subscription_id, waiting.trigger) == (key, mine.id, "daily")
    assert not waiting.is_synced
    await settle(ports, now)
    settled = await recorded(ports, key)
    assert settled.is_synced
    assert not settled.paused
    assert settled.wanted is not None
    assert (settled.wanted.kind, settled.wanted.body) == ("cron", {"schedule": "0 8 * * *"})
    assert settled.wanted == waiting.wanted


async def test_a_pause_is_recorded(ports: wiring.Ports, mine: Subscription, now: datetime) -> None:
    await ports.catalog.set_subscription_status(mine.id, SubscriptionStatus.PAUSED, now)
    key = ids.schedule_id(mine.id, "daily")
    assert not (await recorded(ports, key)).is_synced
    await settle(ports, now)
    found = await recorded(ports, key)
    assert (found.paused, found.is_synced) == (True, True)


async def test_what_shall_go_is_settled_once_it_is_gone(
    ports: wiring.Ports, mine: Subscription, remove: Apply, now: datetime
) -> None:
    key = ids.schedule_id(mine.id, "daily")
    await settle(ports, now)
    await remove(mine.name)
    going = await recorded(ports, key)
    assert (going.wanted, going.is_synced) == (None, False)
    await settle(ports, now)
    gone = await recorded(ports, key)
    assert (gone.wanted, gone.is_synced) == (None, True)


async def test_of_a_known_subscription_any_schedule_is_known_and_of_others_none(
    ports: wiring.Ports, mine: Subscription
) -> None:
    former = ids.schedule_id(mine.id, "former")
    stranger = ids.schedule_id(ids.subscription_id("stranger"), "daily")
    found = await ports.register.stored([former, stranger, "nightly", "schedule/x/y"])
    assert found == {former: StoredSchedule(former, mine.id, "former", None)}
    assert await ports.register.stored([]) == {}


async def test_placed_schedules_are_paged_in_their_order(
    ports: wiring.Ports, apply: Apply, define: Define, subscribe: Subscribe, now: datetime
) -> None:
    names = [f"s{number}" for number in range(5)]
    await apply(define("digest"), *(subscribe(name) for name in names))
    assert await ports.register.synced_ids(after="", limit=10) == []
    await settle(ports, now)
    await apply(subscribe("late"))
    pages, after = [], ""
    while page := await ports.register.synced_ids(after=after, limit=2):
        pages.append(len(page))
        after = page[-1]
    assert pages == [2, 2, 1]
    found = await ports.register.synced_ids(after="", limit=10)
    keys = {ids.schedule_id(ids.subscription_id(name), "daily") for name in names}
    assert set(found) == keys


async def test_one_auditor_at_a_time_beside_a_reconciler(ports: wiring.Ports) -> None:
    async with ports.register.drift_lock() as first, ports.register.drift_lock() as second:
        assert (first, second) == (True, False)
        async with ports.register.reconcile_lock() as reconciles:
            assert reconciles
    async with ports.register.drift_lock() as third:
        assert third
