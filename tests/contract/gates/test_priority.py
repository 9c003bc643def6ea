"""The Gates port: which queued run is let in first, by the priority of the event triggers."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest_asyncio

from activityctl import wiring
from activityctl.domain.events.envelope import envelope_of
from activityctl.domain.routing.routing import EventFiring, Routed
from activityctl.domain.runs.admission import new_run
from activityctl.domain.runs.concurrency import GateResult
from activityctl.domain.runs.run import RunStatus
from activityctl.domain.runs.run_change import RunChange
from activityctl.domain.timing.firing import FiringRequest
from activityctl.domain.values import ids

MakeGated = Callable[..., Awaitable[Any]]
Come = Callable[..., Awaitable[GateResult]]


@pytest_asyncio.fixture(loop_scope="session")
async def come(ports: wiring.Ports) -> Come:
    """Return a function that routes an event to a trigger of that priority and asks the gate."""

    async def arrive(
        mine: Any, trigger: str, key: str, priority: int, **payload: Any
    ) -> GateResult:
        event = envelope_of({"specversion": "1.0", "id": key, "source": "/t", "type": "t"})
        await ports.events.add([event])
        owner = mine.subscription.id
        due, event_ids = mine.now, (event.event_id,)
        async with ports.events.routing(10) as routing:
            assert routing is not None
            firing = EventFiring(owner, trigger, key, due, event_ids, routing.now, None, priority)
            await routing.save(Routed(event_ids, (firing,)), routing.now)
        ref = FiringRequest(owner, trigger, key, due).ref
        facts = await ports.runs.admission_input(ref)
        assert facts is not None
        run = new_run(ref, replace(facts, payload=payload), mine.now)
        return await ports.gates.enter(run, facts.spec, ref.workflow_id)

    return arrive


async def let_in_one_by_one(mine: Any) -> list[str]:
    """Let the queued runs in, each after the one before has ended; return their firing keys."""
    found = []
    while refs := await mine.ports.gates.let_in(1, again_after=timedelta(days=1)):
        found += [ref.firing_key for ref in refs]
        for ref in refs:
            await ended(mine, ref.trigger, ref.firing_key)
    return found


async def ended(mine: Any, trigger: str, key: str) -> None:
    run_id = ids.run_id(mine.subscription.id, trigger, key)
    async with mine.ports.runs.locked(run_id) as locked:
        assert locked.state is not None
        over = replace(locked.state.run, status=RunStatus.CANCELLED, ended_at=mine.now)
        await locked.save(RunChange(over))


async def test_a_higher_priority_is_let_in_first_then_the_order_of_arrival(
    gated: MakeGated, come: Come
):
    mine = await gated("queue")
    assert (await mine.arrives("first")).outcome == "let_in"
    for number in range(3):
        await come(mine, "low", f"low-{number}", 0)
    for number in range(2):
        await come(mine, "high", f"high-{number}", 9)
    await mine.arrives("by hand")
    await mine.ends("first")
    assert await let_in_one_by_one(mine) == [
        *("high-0", "high-1"),
        *("low-0", "low-1", "low-2", "by hand"),
    ]


async def test_the_reason_says_how_many_runs_are_let_in_before(gated: MakeGated, come: Come):
    mine = await gated("queue")
    await mine.arrives("first")
    for number in range(3):
        await come(mine, "low", f"low-{number}", 1)
    assert "waiting for 1 run " in ((await come(mine, "high", "high", 9)).reason or "")
    assert "waiting for 5 runs " in ((await come(mine, "low", "last", 1)).reason or "")


async def test_a_raised_priority_does_not_overtake_earlier_runs_of_the_same_trigger(
    gated: MakeGated, come: Come
):
    mine = await gated("queue")
    await mine.arrives("first")
    await come(mine, "orders", "1", 0)
    await come(mine, "orders", "2", 9)  # applied in between
    await come(mine, "others", "3", 5)
    await mine.ends("first")
    assert await let_in_one_by_one(mine) == ["3", "1", "2"]


async def test_priority_counts_within_a_concurrency_key(gated: MakeGated, come: Come):
    mine = await gated("queue", key="${ trigger.payload.region }")
    await mine.arrives("eu", region="eu")
    await mine.arrives("us", region="us")
    await come(mine, "low", "eu-low", 0, region="eu")
    await come(mine, "high", "eu-high", 9, region="eu")
    await come(mine, "low", "us-low", 0, region="us")
    await mine.ends("eu")
    await mine.ends("us")
    assert sorted(await mine.let_in()) == ["eu-high", "us-low"]


async def test_priority_counts_in_the_queue_of_a_throttle(gated: MakeGated, come: Come):
    mine = await gated(throttle={"limit": 1, "per": "1h", "excess": "queue"})
    await mine.arrives("first")
    await come(mine, "low", "low", 0)
    await come(mine, "high", "high", 9)
    assert await mine.let_in() == []
    await mine.pass_time(timedelta(hours=1))
    assert await mine.let_in() == ["high"]


async def test_replace_keeps_the_newest_runs_whatever_their_priority(gated: MakeGated, come: Come):
    mine = await gated("replace")
    await come(mine, "high", "high", 9)
    result = await come(mine, "low", "low", 0)
    assert result.outcome == "queued"
    assert result.replaces == (ids.run_id(mine.subscription.id, "high", "high"),)


async def test_of_the_runs_that_replace_keeps_the_oldest_is_first(gated: MakeGated, come: Come):
    mine = await gated("replace", limit=2, throttle={"limit": 1, "per": "1h", "excess": "queue"})
    await mine.arrives("first")
    await come(mine, "low", "low", 0)
    await come(mine, "high", "high", 9)
    await mine.pass_time(timedelta(hours=1))
    await mine.ends("first", RunStatus.CANCELLED)
    assert await mine.let_in() == ["low"]
