"""Waiting events on both stores while their trigger, subscription or calendar changes."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from activityctl.adapters.memory.events.events import MemoryEventStore
from activityctl.adapters.postgres.events.events import PostgresEventStore
from activityctl.domain.events.gathering import GatheringKey
from activityctl.domain.gitops.plan import Plan
from activityctl.domain.manifests.subscription import SubscriptionStatus
from activityctl.domain.values import ids
from activityctl.domain.values.selection import Selection
from support.gathering import (
    BOTH,
    DEBOUNCE,
    MINE,
    Listen,
    Ports,
    emit,
    event,
    events_of_started_runs,
    outcomes,
    route,
)


async def test_a_paused_subscription_gathers_nothing_and_fires_nothing(
    ports: Ports, listen: Listen
):
    await listen({"type": "changed", "debounce": {"for": "200ms"}})
    await emit(ports, event("1"))
    wait = await route(ports)
    await ports.catalog.set_subscription_status(MINE, SubscriptionStatus.PAUSED, datetime.now(UTC))
    await emit(ports, event("2"))
    await asyncio.sleep((wait or 0) + 0.01)
    await route(ports)
    assert await events_of_started_runs(ports) == []
    assert await outcomes(ports, "1", "2") == [("paused", "the subscription is paused")] * 2


async def test_events_of_a_pause_are_not_gathered_later(ports: Ports, listen: Listen):
    await listen({"type": "changed", "batch": {"size": 2, "within": "1m"}})
    await ports.catalog.set_subscription_status(MINE, SubscriptionStatus.PAUSED, datetime.now(UTC))
    await emit(ports, event("1"))
    await route(ports)
    await ports.catalog.set_subscription_status(MINE, SubscriptionStatus.ACTIVE, datetime.now(UTC))
    await emit(ports, event("2"))
    await route(ports)
    assert await events_of_started_runs(ports) == []
    assert [outcome for outcome, _ in await outcomes(ports, "1", "2")] == ["paused", "gathered"]


async def test_waiting_events_are_dropped_when_their_trigger_changes(ports: Ports, listen: Listen):
    await listen(BOTH)
    await emit(ports, event("1", "order"), event("other", "order", key="x"))
    await route(ports)
    sequence = {"sequence": BOTH["all"], "key": BOTH["key"], "within": "1m"}
    await listen(sequence)
    await emit(ports, event("2", "order"))
    await route(ports)
    await emit(ports, event("3", "payment"))
    await route(ports)
    assert await events_of_started_runs(ports) == [["2", "3"]]
    assert await outcomes(ports, "1", "other") == [
        ("dropped", "the trigger was changed while the event waited"),
        ("gathered", None),
    ]


async def test_waiting_events_are_dropped_when_their_trigger_is_removed(
    ports: Ports, listen: Listen
):
    await listen({"type": "changed", "debounce": {"for": "200ms"}})
    await emit(ports, event("a"))
    wait = await route(ports)
    await listen(None)
    await asyncio.sleep((wait or 0) + 0.01)
    assert await route(ports) is None
    assert await outcomes(ports, "a") == [
        ("dropped", "the trigger was removed while the event waited")
    ]


async def test_waiting_events_are_dropped_with_their_subscription(
    ports: Ports, listen: Listen, remove: Callable[..., Awaitable[Plan]]
):
    await listen({"type": "changed", "debounce": {"for": "200ms"}})
    await emit(ports, event("a"))
    wait = await route(ports)
    await remove("mine")
    await asyncio.sleep((wait or 0) + 0.01)
    assert await route(ports) is None
    assert await events_of_started_runs(ports) == []
    assert await outcomes(ports, "a") == [
        ("dropped", "the trigger was removed while the event waited")
    ]


async def test_a_longer_wait_applies_to_events_that_wait_already(ports: Ports, listen: Listen):
    await listen({"type": "changed", "debounce": {"for": "1m"}})
    await emit(ports, event("a"), ago=55)
    await route(ports)
    await listen({"type": "changed", "debounce": {"for": "2m"}})
    await emit(ports, event("b"), ago=1)
    wait = await route(ports)
    assert wait is not None
    assert wait > 100
    assert await outcomes(ports, "a", "b") == [("gathered", None)] * 2


async def test_a_firing_on_an_excluded_day_is_a_skipped_run_with_all_events(
    ports: Ports, listen: Listen
):
    await listen({**DEBOUNCE, "exclude": {"dates": ["2000-01-01/2100-01-01"]}})
    await emit(ports, event("a"), event("b"), ago=100)
    await route(ports)
    (run,) = await ports.run_lists.runs(Selection(limit=10))
    assert run.status == "skipped"
    assert [event["id"] for event in run.events] == ["a", "b"]
    assert [outcome for outcome, _ in await outcomes(ports, "a", "b")] == ["skipped"] * 2


async def test_runs_of_one_concurrency_key_stay_in_order(ports: Ports, listen: Listen):
    spec = {"concurrency": {"policy": "queue", "key": "${ event.data.key }"}}
    await listen({**DEBOUNCE, "ordered": True}, spec=spec)
    await emit(ports, event("a", key="x"), event("b", key="y"), ago=200)
    await emit(ports, event("c", key="x"), ago=100)
    await route(ports)
    assert await events_of_started_runs(ports) == [["a"], ["b"]]


async def test_a_gathering_is_read_as_it_was_stored(ports: Ports, listen: Listen):
    await listen(BOTH)
    await emit(ports, event("1", "order", key={"ü": [1, None]}))
    await route(ports)
    async with ports.events.routing(1) as routing:
        assert routing is not None
        late = routing.now + timedelta(minutes=2)
        (kept,) = await routing.gatherings((), late, 10)
        assert kept.key == GatheringKey(MINE, "several", '{"ü":[1,null]}')
        assert await routing.gatherings((), routing.now, 10) == []
        assert await routing.gatherings([kept.key], routing.now, 0) == [kept]
        arrived = await ports.events.find_event("1")
        assert [(waiting.id, waiting.arrived_at, waiting.parts) for waiting in kept.events] == [
            (arrived.id, arrived.arrived_at, ("order",))
        ]
        assert kept.due_at == arrived.arrived_at + timedelta(minutes=1)
        found = await routing.stored_events([arrived.id, ids.EventId("unheard-of")])
        assert found[arrived.id].document == arrived.document
        assert len(found) == 1


async def test_a_gathering_fires_without_an_event_that_left_the_archive(
    ports: Ports, listen: Listen
):
    await listen({"type": "changed", "batch": {"size": 3, "within": "1m"}})
    await emit(ports, event("a"), event("b"))
    await route(ports)
    gone = event("a").event_id
    if isinstance(store := ports.events, PostgresEventStore):
        await store._database.fetch("DELETE FROM events WHERE id = %(id)s", id=gone)
    elif isinstance(store, MemoryEventStore):
        del store._state.events[gone]
    await emit(ports, event("c"))
    await route(ports)
    assert await outcomes(ports, "b", "c") == [("woken", None)] * 2
