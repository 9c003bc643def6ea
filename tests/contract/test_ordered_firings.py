"""Firings of one order key start one after the other, whatever else is on its way."""

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
    """Put firings into the outbox, as `order key:firing key`, in this order."""

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
    """Start what may start now."""
    async with ports.outbox.claimed(limit) as claim:
        await claim.dispatched(claim.firings, at or datetime.now(UTC))
        return list(claim.firings)


async def started(ports: Ports, **options: Any) -> list[str]:
    return [one.firing_key for one in await start(ports, **options)]


async def admit(ports: Ports, *firings: FiringRef) -> None:
    """Give each firing its run."""
    for firing in firings:
        facts = await ports.runs.admission_input(firing)
        assert facts is not None
        run = new_run(firing, facts, datetime.now(UTC))
        await ports.runs.open(firing.workflow_id, RunChange(run))


async def test_the_next_starts_when_the_one_before_has_its_run(
    ports: Ports, decide: Decide
) -> None:
    await decide("a:1", "a:2", "a:3")
    for key in ("1", "2", "3"):
        (firing,) = await start(ports)
        assert firing.firing_key == key
        assert await started(ports) == []
        await admit(ports, firing)
    assert await started(ports) == []


async def test_keys_do_not_wait_for_each_other(ports: Ports, decide: Decide) -> None:
    await decide("a:1", "b:2", "a:3", "4", "b:5", "6")
    assert sorted(await started(ports)) == ["1", "2", "4", "6"]
    assert await started(ports) == []


async def test_while_the_first_is_claimed_nobody_claims_the_next(
    ports: Ports, decide: Decide
) -> None:
    await decide("a:1", "a:2")
    async with ports.outbox.claimed(10) as first:
        assert [one.firing_key for one in first.firings] == ["1"]
        assert await started(ports) == []
    assert await started(ports) == ["1"]


async def test_neither_priority_nor_an_earlier_time_overtakes_within_a_key(
    ports: Ports, decide: Decide
) -> None:
    await decide("a:1")
    await decide("a:2", priority=100, at=PAST - timedelta(days=1))
    assert await started(ports) == ["1"]


async def test_who_waits_for_a_window_holds_back_those_behind_it(
    ports: Ports, decide: Decide
) -> None:
    await decide("a:1", at=datetime.now(UTC) + timedelta(hours=1))
    await decide("a:2", "b:3")
    assert await started(ports) == ["3"]


async def test_a_claim_that_failed_leaves_the_first_the_first(ports: Ports, decide: Decide) -> None:
    await decide("a:1", "a:2")
    with suppress(ZeroDivisionError):
        async with ports.outbox.claimed(10) as claim:
            await claim.dispatched(claim.firings, datetime.now(UTC))
            raise ZeroDivisionError
    assert await started(ports) == ["1"]


async def test_what_is_due_starts_by_priority_ordered_or_not(ports: Ports, decide: Decide) -> None:
    await decide("a:1", "2", "b:3")
    await decide("c:4", "5", priority=9)
    assert await started(ports) == ["4", "5", "1", "2", "3"]


async def test_no_more_are_claimed_than_asked_for(ports: Ports, decide: Decide) -> None:
    await decide("a:1", "2", "b:3", "4")
    assert await started(ports, limit=3) == ["1", "2", "3"]
    assert await started(ports, limit=3) == ["4"]


async def test_a_run_that_never_comes_holds_the_others_back_for_an_hour_at_most(
    ports: Ports, decide: Decide
) -> None:
    await decide("a:1", "a:2", "a:3")
    now = datetime.now(UTC)
    assert await started(ports, at=now - ORDER_WAITS + timedelta(minutes=1)) == ["1"]
    assert await started(ports) == []
    await decide("b:4", "b:5")
    assert await started(ports, at=now - ORDER_WAITS - timedelta(minutes=1)) == ["4"]
    assert await started(ports) == ["5"]


async def test_claimers_and_admissions_at_once_keep_every_key_in_order(
    ports: Ports, decide: Decide
) -> None:
    chance = random.Random(7)
    wanted = [f"{chance.choice('abcde')}:{number}" for number in range(60)]
    await decide(*wanted)
    seen: dict[str, list[str]] = defaultdict(list)
    keys = dict(reversed(one.split(":")) for one in wanted)

    async def work() -> None:
        while await ports.outbox.waiting():
            found = await start(ports, limit=3)
            await asyncio.sleep(chance.uniform(0, 0.003))
            for firing in found:
                seen[keys[firing.firing_key]].append(firing.firing_key)
            await admit(ports, *found)

    async with asyncio.timeout(30):
        await asyncio.gather(*(work() for _ in range(4)))
    assert {key: [f"{key}:{one}" for one in found] for key, found in seen.items()} == {
        key: [one for one in wanted if one.startswith(key)] for key in set(keys.values())
    }


async def test_ordered_events_share_the_key_of_their_concurrency(
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
    senders = {one.event_id: one.id for one in events}
    async with ports.signals.listening(WORK_CHANNEL) as heard:
        waves = []
        while found := await start(ports):
            waves.append([senders[ids.EventId(one.firing_key)] for one in found])
            for firing in found:
                await enter(ports, firing)
        assert waves == [["0", "1"], ["2", "3"], ["4"]]
        payloads = []
        async with asyncio.timeout(5):
            while payloads.count("firing") < 1:
                payloads.append(await anext(heard))  # whoever gets a run wakes the dispatcher
    queue = await ports.run_lists.open_counts()
    assert queue == {ids.subscription_id("mine"): 5}


async def enter(ports: Ports, firing: FiringRef) -> None:
    """Admit as the step does where there is a gate."""
    facts = await ports.runs.admission_input(firing)
    assert facts is not None
    run = new_run(firing, facts, datetime.now(UTC))
    entry = await ports.gates.enter(run, facts.spec, firing.workflow_id)
    customer = facts.events[0]["data"]["customer"]
    found = await ports.run_lists.find_run(run.id)
    assert found.concurrency_key == customer
    assert entry.outcome in {"let_in", "queued"}
