"""Firings with the same order key start one after the other."""

import asyncio
import random
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from activityctl import wiring
from activityctl.adapters.memory.ports import MemoryPorts
from activityctl.daemon.worker.router import Router
from activityctl.domain.events.envelope import envelope_of
from activityctl.domain.gitops.plan import Plan
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.subscription import Subscription, SubscriptionManifest
from activityctl.domain.routing.routing import EventFiring, Routed
from activityctl.domain.runs.admission import new_run
from activityctl.domain.runs.run_change import RunChange
from activityctl.domain.timing.firing import FiringRef
from activityctl.domain.values import ids
from activityctl.ports import ORDER_WAITS, WORK_CHANNEL

Ports = wiring.Ports | MemoryPorts
Decide = Callable[..., Awaitable[None]]
PAST = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def decide(ports: Ports, mine: Subscription) -> Decide:
    """Put firings into the outbox in this order; each is written `order key:firing key`."""

    async def write(*named: str, at: datetime = PAST, priority: int = 0) -> None:
        firings = []
        for name in named:
            order_key, _, key = name.rpartition(":")
            owner = (mine.id, "paid", key, PAST, ())
            firings.append(EventFiring(*owner, at, order_key or None, priority))
        async with ports.events.routing(1) as routing:
            assert routing is not None
            await routing.save(Routed((), tuple(firings)), routing.now)

    return write


async def start(ports: Ports, limit: int = 100, at: datetime | None = None) -> list[FiringRef]:
    """Start the firings that may start now; return them."""
    async with ports.outbox.claimed(limit) as claim:
        await claim.dispatched(claim.firings, at or datetime.now(UTC))
        return list(claim.firings)


async def started(ports: Ports, **options: Any) -> list[str]:
    return [firing.firing_key for firing in await start(ports, **options)]


async def admit(ports: Ports, *firings: FiringRef) -> None:
    """Open a run for each firing."""
    for firing in firings:
        facts = await ports.runs.admission_input(firing)
        assert facts is not None
        run = new_run(firing, facts, datetime.now(UTC))
        await ports.runs.open(firing.workflow_id, RunChange(run))


async def test_a_firing_starts_when_the_firing_before_it_has_a_run(
    ports: Ports, decide: Decide
) -> None:
    await decide("a:1", "a:2", "a:3")
    for key in ("1", "2", "3"):
        (firing,) = await start(ports)
        assert firing.firing_key == key
        assert await started(ports) == []
        await admit(ports, firing)
    assert await started(ports) == []


async def test_order_keys_do_not_wait_for_each_other(ports: Ports, decide: Decide) -> None:
    await decide("a:1", "b:2", "a:3", "4", "b:5", "6")
    assert sorted(await started(ports)) == ["1", "2", "4", "6"]
    assert await started(ports) == []


async def test_the_next_firing_cannot_be_claimed_while_the_first_is_claimed(
    ports: Ports, decide: Decide
) -> None:
    await decide("a:1", "a:2")
    async with ports.outbox.claimed(10) as first:
        assert [firing.firing_key for firing in first.firings] == ["1"]
        assert await started(ports) == []
    assert await started(ports) == ["1"]


async def test_neither_priority_nor_an_earlier_time_changes_the_order_of_a_key(
    ports: Ports, decide: Decide
) -> None:
    await decide("a:1")
    await decide("a:2", priority=100, at=PAST - timedelta(days=1))
    assert await started(ports) == ["1"]


async def test_a_firing_that_waits_for_its_window_holds_back_the_next(
    ports: Ports, decide: Decide
) -> None:
    await decide("a:1", at=datetime.now(UTC) + timedelta(hours=1))
    await decide("a:2", "b:3")
    assert await started(ports) == ["3"]


async def test_a_failed_claim_does_not_change_the_order(ports: Ports, decide: Decide) -> None:
    await decide("a:1", "a:2")
    with suppress(ZeroDivisionError):
        async with ports.outbox.claimed(10) as claim:
            await claim.dispatched(claim.firings, datetime.now(UTC))
            raise ZeroDivisionError
    assert await started(ports) == ["1"]


async def test_due_firings_start_by_priority_with_or_without_an_order_key(
    ports: Ports, decide: Decide
) -> None:
    await decide("a:1", "2", "b:3")
    await decide("c:4", "5", priority=9)
    assert await started(ports) == ["4", "5", "1", "2", "3"]


async def test_a_claim_takes_no_more_than_its_limit(ports: Ports, decide: Decide) -> None:
    await decide("a:1", "2", "b:3", "4")
    assert await started(ports, limit=3) == ["1", "2", "3"]
    assert await started(ports, limit=3) == ["4"]


async def test_a_missing_run_holds_back_the_next_firing_for_an_hour_at_most(
    ports: Ports, decide: Decide
) -> None:
    await decide("a:1", "a:2", "a:3")
    now = datetime.now(UTC)
    assert await started(ports, at=now - ORDER_WAITS + timedelta(minutes=1)) == ["1"]
    assert await started(ports) == []
    await decide("b:4", "b:5")
    assert await started(ports, at=now - ORDER_WAITS - timedelta(minutes=1)) == ["4"]
    assert await started(ports) == ["5"]


async def test_concurrent_claims_and_admissions_keep_the_order_of_every_key(
    ports: Ports, decide: Decide
) -> None:
    chance = random.Random(7)
    wanted = [f"{chance.choice('abcde')}:{number}" for number in range(60)]
    await decide(*wanted)
    seen: dict[str, list[str]] = defaultdict(list)
    keys = dict(reversed(name.split(":")) for name in wanted)

    async def work() -> None:
        while await ports.outbox.waiting():
            found = await start(ports, limit=3)
            await asyncio.sleep(chance.uniform(0, 0.003))
            for firing in found:
                seen[keys[firing.firing_key]].append(firing.firing_key)
            await admit(ports, *found)

    async with asyncio.timeout(60):
        await asyncio.gather(*(work() for _ in range(4)))
    assert {key: [f"{key}:{number}" for number in found] for key, found in seen.items()} == {
        key: [name for name in wanted if name.startswith(key)] for key in set(keys.values())
    }


async def test_ordered_events_use_the_concurrency_key_as_order_key(
    ports: Ports,
    apply: Callable[..., Awaitable[Plan]],
    define: Callable[..., ActivityDefinition],
    subscribe: Callable[..., SubscriptionManifest],
) -> None:
    trigger = {"name": "paid", "event": {"type": "order.paid", "ordered": True}}
    concurrency = {"policy": "queue", "key": "${ event.data.customer }"}
    await apply(define("digest", triggers=[trigger], concurrency=concurrency), subscribe("mine"))
    events = [
        envelope_of(
            {
                "specversion": "1.0",
                "id": str(number),
                "source": "/shop",
                "type": "order.paid",
                "data": {"customer": customer},
            }
        )
        for number, customer in enumerate("xyxyx")
    ]
    await ports.events.add(events)
    await Router(ports.events, lambda: None).route()
    senders = {event.event_id: event.id for event in events}
    async with ports.signals.listening(WORK_CHANNEL) as payload_stream:
        waves = []
        while found := await start(ports):
            waves.append([senders[ids.EventId(firing.firing_key)] for firing in found])
            for firing in found:
                await enter(ports, firing)
        assert waves == [["0", "1"], ["2", "3"], ["4"]]
        payloads = []
        async with asyncio.timeout(60):
            while payloads.count("firing") < 1:
                payloads.append(await anext(payload_stream))  # each new run wakes the dispatcher
    queue = await ports.run_lists.open_counts()
    assert queue == {ids.subscription_id("mine"): 5}


async def enter(ports: Ports, firing: FiringRef) -> None:
    """Admit the firing as the step does for a definition with a gate."""
    facts = await ports.runs.admission_input(firing)
    assert facts is not None
    run = new_run(firing, facts, datetime.now(UTC))
    entry = await ports.gates.enter(run, facts.spec, firing.workflow_id)
    customer = facts.events[0]["data"]["customer"]
    found = await ports.run_lists.find_run(run.id)
    assert found.concurrency_key == customer
    assert entry.outcome in {"let_in", "queued"}
