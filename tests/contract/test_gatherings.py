"""Triggers of several events on both stores: what waits survives, and each event counts once."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from activityctl import wiring
from activityctl.adapters.memory.events import MemoryEventStore
from activityctl.adapters.memory.ports import MemoryPorts
from activityctl.adapters.postgres.events import PostgresEventStore
from activityctl.daemon import router as router_module
from activityctl.daemon.router import Router
from activityctl.domain import ids
from activityctl.domain.arrival import Verdict
from activityctl.domain.definition import ActivityDefinition
from activityctl.domain.envelope import EventEnvelope, envelope_of
from activityctl.domain.firing_ref import FiringRef
from activityctl.domain.gathering import GatheringKey
from activityctl.domain.plan import Plan
from activityctl.domain.selection import Selection
from activityctl.domain.subscription import SubscriptionManifest, SubscriptionStatus

Ports = wiring.Ports | MemoryPorts
Listen = Callable[..., Awaitable[Plan]]
MINE = ids.subscription_id("mine")
DEBOUNCE = {"type": "changed", "debounce": {"for": "1m", "key": "${ event.data.key }"}}
BOTH = {
    "all": [{"name": "order", "type": "order"}, {"name": "payment", "type": "payment"}],
    "key": "${ event.data.key }",
    "within": "1m",
}
ABSENCE = {
    "absence": {
        "after": {"type": "order"},
        "of": {"type": "payment"},
        "within": "1m",
        "key": "${ event.data.key }",
    }
}


@pytest.fixture
def listen(
    apply: Callable[..., Awaitable[Plan]],
    define: Callable[..., ActivityDefinition],
    subscribe: Callable[..., SubscriptionManifest],
) -> Listen:
    """Apply the definition `digest` with an event trigger, and the subscription `mine`."""

    async def carry_out(
        body: dict[str, Any] | None, *, spec: dict[str, Any] | None = None, **fields: Any
    ) -> Plan:
        triggers = [] if body is None else [{"name": "several", "event": body}]
        whole = {"triggers": triggers, **(spec or {})}
        return await apply(define("digest", **whole), subscribe("mine", **fields))

    return carry_out


def event(sender_id: str, kind: str = "changed", key: Any = "k", **data: Any) -> EventEnvelope:
    document = {"specversion": "1.0", "id": sender_id, "source": "/shop", "type": kind}
    return envelope_of({**document, "data": {"key": key, **data}})


async def emit(ports: Ports, *events: EventEnvelope, ago: float = 0) -> None:
    """Let the events come so many seconds ago."""
    await ports.events.add(events)
    if not ago:
        return
    chosen = [one.event_id for one in events]
    if isinstance(store := ports.events, PostgresEventStore):
        await store._database.fetch(
            "UPDATE events SET arrived_at = now() - %(ago)s WHERE id = ANY(%(ids)s)",
            ago=timedelta(seconds=ago),
            ids=chosen,
        )
    elif isinstance(store, MemoryEventStore):
        for one in chosen:
            row = store._state.events[one]
            moment = datetime.now(UTC) - timedelta(seconds=ago)
            store._state.events[one] = replace(row, event=replace(row.event, arrived_at=moment))


async def route(ports: Ports) -> float | None:
    """Route what waits by a router that knows nothing of earlier ones."""
    return await Router(ports.events, lambda: None).route()


async def claimed(ports: Ports) -> list[FiringRef]:
    async with ports.outbox.claimed(100) as claim:
        await claim.dispatched(claim.firings, datetime.now(UTC))
        return list(claim.firings)


async def seen(ports: Ports) -> list[list[str]]:
    """Start what may start now; the senders' ids of the events that each run sees."""
    found = []
    for firing in await claimed(ports):
        facts = await ports.runs.facts(firing)
        assert facts is not None
        found.append([one["id"] for one in facts.events])
    return found


async def verdicts(ports: Ports, *sender_ids: str) -> list[Verdict]:
    events = [await ports.events.find_event(one) for one in sender_ids]
    found = {one.event_id: one for one in await ports.events.verdicts([one.id for one in events])}
    return [found[one.id] for one in events]


async def told(ports: Ports, *sender_ids: str) -> list[tuple[str, str | None]]:
    found = await verdicts(ports, *sender_ids)
    return [(one.outcome.value, one.reason) for one in found]


async def test_a_debounce_merges_what_comes_closely_for_each_key(ports: Ports, listen: Listen):
    await listen(DEBOUNCE)
    await emit(ports, event("a"), event("other", key=7), ago=170)
    await emit(ports, event("b"), ago=120)
    await emit(ports, event("c"), ago=30)
    wait = await route(ports)
    assert wait is not None
    assert 25 < wait <= 30
    assert await seen(ports) == [["other"], ["a", "b"]]
    first, second, third = await verdicts(ports, "a", "b", "c")
    assert first.outcome == second.outcome == "woken"
    assert first.firing_key == second.firing_key == first.event_id
    assert (third.outcome, third.firing_key) == ("gathered", None)


async def test_the_firing_is_due_when_it_was_quiet_enough(ports: Ports, listen: Listen):
    await listen(DEBOUNCE)
    await emit(ports, event("a"), ago=100)
    await route(ports)
    (firing,) = await claimed(ports)
    arrived_at = (await ports.events.find_event("a")).arrived_at
    assert firing.due == arrived_at + timedelta(minutes=1)


async def test_time_alone_makes_due_what_waits(ports: Ports, listen: Listen):
    await listen({"type": "changed", "debounce": {"for": "250ms"}})
    await emit(ports, event("a"), event("b", key="unlike"))
    wait = await route(ports)
    assert wait is not None
    assert await seen(ports) == []
    await asyncio.sleep(wait + 0.01)
    assert await route(ports) is None
    assert await seen(ports) == [["a", "b"]]
    assert await route(ports) is None
    assert await seen(ports) == []


async def test_what_waits_survives_a_restart_between_any_two_events(ports: Ports, listen: Listen):
    await listen(BOTH)
    for sender_id, kind in (("1", "payment"), ("2", "payment"), ("3", "order")):
        assert await seen(ports) == []
        await emit(ports, event(sender_id, kind), ago=10)
        await route(ports)
    assert await seen(ports) == [["1", "2", "3"]]
    assert await told(ports, "1", "2", "3") == [("woken", None)] * 3
    assert await ports.events.seconds_to_due() is None


async def test_events_of_unlike_keys_do_not_meet(ports: Ports, listen: Listen):
    await listen(BOTH)
    await emit(ports, event("1", "payment", key="x"), event("2", "order", key="y"))
    await route(ports)
    assert await seen(ports) == []
    assert await told(ports, "1", "2") == [("gathered", None)] * 2


async def test_what_did_not_come_in_time_is_said(ports: Ports, listen: Listen):
    await listen(BOTH)
    await emit(ports, event("1", "order"), ago=100)
    await emit(ports, event("2", "payment"), ago=20)
    await route(ports)
    assert await seen(ports) == []
    assert await told(ports, "1", "2") == [
        ("dropped", "payment did not come within 1m"),
        ("gathered", None),
    ]


async def test_a_sequence_needs_its_order(ports: Ports, listen: Listen):
    body = {"sequence": [{"type": "order"}, {"type": "payment"}], "within": "1m"}
    await listen(body)
    await emit(ports, event("1", "payment"), event("2", "order"), event("3", "payment"))
    await route(ports)
    assert await seen(ports) == [["2", "3"]]
    assert await told(ports, "1") == [("dropped", "out of order: 1 has not come before it")]


async def test_an_absence_fires_with_the_event_before_it(ports: Ports, listen: Listen):
    await listen(ABSENCE)
    await emit(ports, event("late", "order", key="x"), event("paid", "order", key="y"), ago=100)
    await emit(ports, event("payment", "payment", key="y"), ago=90)
    await route(ports)
    assert await seen(ports) == [["late"]]
    outcome, reason = (await told(ports, "paid"))[0]
    assert outcome == "dropped"
    assert reason is not None
    assert reason.startswith("what should follow came: event ")
    assert await told(ports, "payment") == [("dropped", "it came in time")]


async def test_what_came_in_time_counts_however_late_it_is_routed(
    ports: Ports, listen: Listen, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(router_module, "BATCH", 1)
    await listen(ABSENCE)
    await emit(ports, event("order", "order"), ago=100)
    await emit(ports, event("other", "unheard-of"), ago=95)
    await emit(ports, event("payment", "payment"), ago=90)
    await route(ports)
    assert await seen(ports) == []
    assert await told(ports, "payment") == [("dropped", "it came in time")]


async def test_a_batch_fires_when_full_and_when_its_time_is_over(ports: Ports, listen: Listen):
    await listen({"type": "changed", "batch": {"size": 2, "within": "1m"}})
    await emit(ports, *(event(str(number)) for number in range(5)), ago=10)
    await route(ports)
    assert await seen(ports) == [["0", "1"], ["2", "3"]]
    await emit(ports, event("old"), ago=200)
    await route(ports)
    assert await told(ports, "4", "old") == [("woken", None)] * 2


async def test_routing_that_fails_leaves_the_events_for_the_next(ports: Ports, listen: Listen):
    await listen({"type": "changed", "batch": {"size": 3, "within": "1m"}})
    await emit(ports, event("a"), event("b"))

    async def route_and_die() -> None:
        async with ports.events.routing(10) as routing:
            assert routing is not None
            routed = await Router(ports.events, lambda: None)._decide(routing)
            await routing.save(routed, routing.now)
            raise RuntimeError("killed")

    for _ in range(2):
        with pytest.raises(RuntimeError):
            await route_and_die()
    await route(ports)
    await route(ports)
    await emit(ports, event("c"))
    await route(ports)
    assert await seen(ports) == [["a", "b", "c"]]


async def test_a_key_or_filter_that_cannot_be_evaluated_leaves_the_event_out(
    ports: Ports, listen: Listen
):
    await listen(DEBOUNCE)
    document = {"specversion": "1.0", "id": "bare", "source": "/shop", "type": "changed"}
    await emit(ports, envelope_of(document), event("good"), ago=100)
    await route(ports)
    assert await seen(ports) == [["good"]]
    ((outcome, reason),) = await told(ports, "bare")
    assert outcome == "error"
    assert reason is not None
    assert reason.startswith("key error: ")


async def test_one_part_that_matches_outweighs_another_that_fails(ports: Ports, listen: Listen):
    parts = [{"type": "order"}, {"filter": "event.data.absent > 1"}]
    await listen({"all": parts, "within": "1m"})
    await emit(ports, event("1", "order"), event("2", "payment"))
    await route(ports)
    assert [outcome for outcome, _ in await told(ports, "1", "2")] == ["gathered", "error"]


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
    assert await seen(ports) == []
    assert await told(ports, "1", "2") == [("paused", "the subscription is paused")] * 2


async def test_what_came_during_a_pause_is_not_gathered_later(ports: Ports, listen: Listen):
    await listen({"type": "changed", "batch": {"size": 2, "within": "1m"}})
    await ports.catalog.set_subscription_status(MINE, SubscriptionStatus.PAUSED, datetime.now(UTC))
    await emit(ports, event("1"))
    await route(ports)
    await ports.catalog.set_subscription_status(MINE, SubscriptionStatus.ACTIVE, datetime.now(UTC))
    await emit(ports, event("2"))
    await route(ports)
    assert await seen(ports) == []
    assert [outcome for outcome, _ in await told(ports, "1", "2")] == ["paused", "gathered"]


async def test_what_waits_goes_with_its_trigger(ports: Ports, listen: Listen):
    await listen(BOTH)
    await emit(ports, event("1", "order"), event("other", "order", key="x"))
    await route(ports)
    sequence = {"sequence": BOTH["all"], "key": BOTH["key"], "within": "1m"}
    await listen(sequence)
    await emit(ports, event("2", "order"))
    await route(ports)
    await emit(ports, event("3", "payment"))
    await route(ports)
    assert await seen(ports) == [["2", "3"]]
    assert await told(ports, "1", "other") == [
        ("dropped", "the trigger was changed while it waited"),
        ("gathered", None),
    ]


async def test_what_waits_is_dropped_when_its_trigger_is_gone(ports: Ports, listen: Listen):
    await listen({"type": "changed", "debounce": {"for": "200ms"}})
    await emit(ports, event("a"))
    wait = await route(ports)
    await listen(None)
    await asyncio.sleep((wait or 0) + 0.01)
    assert await route(ports) is None
    assert await told(ports, "a") == [("dropped", "the trigger is gone while it waited")]


async def test_what_waits_is_dropped_with_its_subscription(
    ports: Ports, listen: Listen, remove: Callable[..., Awaitable[Plan]]
):
    await listen({"type": "changed", "debounce": {"for": "200ms"}})
    await emit(ports, event("a"))
    wait = await route(ports)
    await remove("mine")
    await asyncio.sleep((wait or 0) + 0.01)
    assert await route(ports) is None
    assert await seen(ports) == []
    assert await told(ports, "a") == [("dropped", "the trigger is gone while it waited")]


async def test_a_longer_wait_holds_for_what_waits_already(ports: Ports, listen: Listen):
    await listen({"type": "changed", "debounce": {"for": "1m"}})
    await emit(ports, event("a"), ago=55)
    await route(ports)
    await listen({"type": "changed", "debounce": {"for": "2m"}})
    await emit(ports, event("b"), ago=1)
    wait = await route(ports)
    assert wait is not None
    assert wait > 100
    assert await told(ports, "a", "b") == [("gathered", None)] * 2


async def test_a_firing_on_an_excluded_day_is_a_skipped_run_with_all_events(
    ports: Ports, listen: Listen
):
    await listen({**DEBOUNCE, "exclude": {"dates": ["2000-01-01/2100-01-01"]}})
    await emit(ports, event("a"), event("b"), ago=100)
    await route(ports)
    (run,) = await ports.run_lists.runs(Selection(limit=10))
    assert run.status == "skipped"
    assert [one["id"] for one in run.events] == ["a", "b"]
    assert [outcome for outcome, _ in await told(ports, "a", "b")] == ["skipped"] * 2


async def test_runs_of_one_concurrency_key_stay_in_order(ports: Ports, listen: Listen):
    spec = {"concurrency": {"policy": "queue", "key": "${ event.data.key }"}}
    await listen({**DEBOUNCE, "ordered": True}, spec=spec)
    await emit(ports, event("a", key="x"), event("b", key="y"), ago=200)
    await emit(ports, event("c", key="x"), ago=100)
    await route(ports)
    assert await seen(ports) == [["a"], ["b"]]


async def test_what_waits_is_kept_as_it_is(ports: Ports, listen: Listen):
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
        assert [(one.id, one.arrived_at, one.parts) for one in kept.events] == [
            (arrived.id, arrived.arrived_at, ("order",))
        ]
        assert kept.due_at == arrived.arrived_at + timedelta(minutes=1)
        found = await routing.gathered([arrived.id, ids.EventId("unheard-of")])
        assert found[arrived.id].document == arrived.document
        assert len(found) == 1


async def test_an_event_that_left_the_archive_does_not_stop_the_others(
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
    assert await told(ports, "b", "c") == [("woken", None)] * 2
