"""Gatherings on both stores: they survive restarts, and each event counts once."""

import asyncio
from datetime import timedelta

import pytest

from activityctl.daemon.worker import router as router_module
from activityctl.daemon.worker.router import Router
from activityctl.domain.events.envelope import envelope_of
from support.gathering import (
    ABSENCE,
    BOTH,
    DEBOUNCE,
    Listen,
    Ports,
    claimed,
    emit,
    event,
    events_of_started_runs,
    outcomes,
    route,
    verdicts,
)


async def test_a_debounce_merges_events_that_follow_closely_for_each_key(
    ports: Ports, listen: Listen
):
    await listen(DEBOUNCE)
    await emit(ports, event("a"), event("other", key=7), ago=170)
    await emit(ports, event("b"), ago=120)
    await emit(ports, event("c"), ago=30)
    wait = await route(ports)
    assert wait is not None
    assert 25 < wait <= 30
    assert await events_of_started_runs(ports) == [["other"], ["a", "b"]]
    first, second, third = await verdicts(ports, "a", "b", "c")
    assert first.outcome == second.outcome == "woken"
    assert first.firing_key == second.firing_key == first.event_id
    assert (third.outcome, third.firing_key) == ("gathered", None)


async def test_the_firing_is_due_at_the_end_of_the_quiet_time(ports: Ports, listen: Listen):
    await listen(DEBOUNCE)
    await emit(ports, event("a"), ago=100)
    await route(ports)
    (firing,) = await claimed(ports)
    arrived_at = (await ports.events.find_event("a")).arrived_at
    assert firing.due == arrived_at + timedelta(minutes=1)


async def test_waiting_events_fire_without_a_further_event(ports: Ports, listen: Listen):
    await listen({"type": "changed", "debounce": {"for": "250ms"}})
    await emit(ports, event("a"), event("b", key="unlike"))
    wait = await route(ports)
    assert wait is not None
    assert await events_of_started_runs(ports) == []
    await asyncio.sleep(wait + 0.01)
    assert await route(ports) is None
    assert await events_of_started_runs(ports) == [["a", "b"]]
    assert await route(ports) is None
    assert await events_of_started_runs(ports) == []


async def test_waiting_events_survive_a_restart_between_any_two_events(
    ports: Ports, listen: Listen
):
    await listen(BOTH)
    for sender_id, kind in (("1", "payment"), ("2", "payment"), ("3", "order")):
        assert await events_of_started_runs(ports) == []
        await emit(ports, event(sender_id, kind), ago=10)
        await route(ports)
    assert await events_of_started_runs(ports) == [["1", "2", "3"]]
    assert await outcomes(ports, "1", "2", "3") == [("woken", None)] * 3
    assert await ports.events.seconds_to_due() is None


async def test_events_with_different_keys_are_gathered_separately(ports: Ports, listen: Listen):
    await listen(BOTH)
    await emit(ports, event("1", "payment", key="x"), event("2", "order", key="y"))
    await route(ports)
    assert await events_of_started_runs(ports) == []
    assert await outcomes(ports, "1", "2") == [("gathered", None)] * 2


async def test_a_dropped_event_has_the_missing_part_as_its_reason(ports: Ports, listen: Listen):
    await listen(BOTH)
    await emit(ports, event("1", "order"), ago=100)
    await emit(ports, event("2", "payment"), ago=20)
    await route(ports)
    assert await events_of_started_runs(ports) == []
    assert await outcomes(ports, "1", "2") == [
        ("dropped", "payment did not come within 1m"),
        ("gathered", None),
    ]


async def test_a_sequence_needs_its_order(ports: Ports, listen: Listen):
    body = {"sequence": [{"type": "order"}, {"type": "payment"}], "within": "1m"}
    await listen(body)
    await emit(ports, event("1", "payment"), event("2", "order"), event("3", "payment"))
    await route(ports)
    assert await events_of_started_runs(ports) == [["2", "3"]]
    reason = "out of order: order has not come before this event"
    assert await outcomes(ports, "1") == [("dropped", reason)]


async def test_an_absence_fires_with_the_event_before_it(ports: Ports, listen: Listen):
    await listen(ABSENCE)
    await emit(ports, event("late", "order", key="x"), event("paid", "order", key="y"), ago=100)
    await emit(ports, event("payment", "payment", key="y"), ago=90)
    await route(ports)
    assert await events_of_started_runs(ports) == [["late"]]
    outcome, reason = (await outcomes(ports, "paid"))[0]
    assert outcome == "dropped"
    assert reason is not None
    assert reason.startswith("the expected event came: ")
    assert await outcomes(ports, "payment") == [("dropped", "it came in time")]


async def test_an_event_that_came_in_time_counts_even_if_it_is_routed_late(
    ports: Ports, listen: Listen, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(router_module, "BATCH", 1)
    await listen(ABSENCE)
    await emit(ports, event("order", "order"), ago=100)
    await emit(ports, event("other", "unheard-of"), ago=95)
    await emit(ports, event("payment", "payment"), ago=90)
    await route(ports)
    assert await events_of_started_runs(ports) == []
    assert await outcomes(ports, "payment") == [("dropped", "it came in time")]


async def test_a_batch_fires_when_full_and_when_its_time_is_over(ports: Ports, listen: Listen):
    await listen({"type": "changed", "batch": {"size": 2, "within": "1m"}})
    await emit(ports, *(event(str(number)) for number in range(5)), ago=10)
    await route(ports)
    assert await events_of_started_runs(ports) == [["0", "1"], ["2", "3"]]
    await emit(ports, event("old"), ago=200)
    await route(ports)
    assert await outcomes(ports, "4", "old") == [("woken", None)] * 2


async def test_events_of_a_failed_routing_are_routed_again(ports: Ports, listen: Listen):
    await listen({"type": "changed", "batch": {"size": 3, "within": "1m"}})
    await emit(ports, event("a"), event("b"))

    async def route_and_die() -> None:
        async with ports.events.routing(10) as routing:
            assert routing is not None
            router = Router(ports.events, lambda: None)
            routed = await router._decide(routing, await router._index_of(routing))
            await routing.save(routed, routing.now)
            raise RuntimeError("killed")

    for _ in range(2):
        with pytest.raises(RuntimeError):
            await route_and_die()
    await route(ports)
    await route(ports)
    await emit(ports, event("c"))
    await route(ports)
    assert await events_of_started_runs(ports) == [["a", "b", "c"]]


async def test_a_key_or_filter_that_cannot_be_evaluated_leaves_the_event_out(
    ports: Ports, listen: Listen
):
    await listen(DEBOUNCE)
    document = {"specversion": "1.0", "id": "bare", "source": "/shop", "type": "changed"}
    await emit(ports, envelope_of(document), event("good"), ago=100)
    await route(ports)
    assert await events_of_started_runs(ports) == [["good"]]
    ((outcome, reason),) = await outcomes(ports, "bare")
    assert outcome == "error"
    assert reason is not None
    assert reason.startswith("key error: ")


async def test_a_part_that_matches_outweighs_a_part_that_fails(ports: Ports, listen: Listen):
    parts = [{"type": "order"}, {"filter": "event.data.absent > 1"}]
    await listen({"all": parts, "within": "1m"})
    await emit(ports, event("1", "order"), event("2", "payment"))
    await route(ports)
    assert [outcome for outcome, _ in await outcomes(ports, "1", "2")] == ["gathered", "error"]
