"""The Outbox port: a firing is stored once, claimed by one claim, and waits until dispatched."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

import pytest

from activityctl import wiring
from activityctl.domain.manifests.subscription import Subscription
from activityctl.domain.runs.backfill import Backfill
from activityctl.domain.runs.run import Run
from activityctl.domain.timing.firing import FiringRef, FiringRequest
from activityctl.ports import FailingFirings, PostponedFiring

Fire = Callable[..., FiringRequest]


@pytest.fixture
def fire(mine: Subscription, now: datetime) -> Fire:
    def make(key: str, **payload: object) -> FiringRequest:
        return FiringRequest(mine.id, "manual", key, now, payload)

    return make


async def claimed(ports: wiring.Ports, limit: int = 100) -> list[FiringRef]:
    """Return what a claim gets, without dispatching it."""
    async with ports.outbox.claimed(limit) as claim:
        return list(claim.firings)


async def test_a_firing_waits_until_it_is_dispatched(
    ports: wiring.Ports, fire: Fire, now: datetime
):
    firing = fire("k")
    assert await ports.outbox.add([firing], now) == 1
    assert await ports.outbox.waiting() == 1
    async with ports.outbox.claimed(10) as claim:
        assert claim.firings == [firing.ref]
        await claim.dispatched(claim.firings, now)
    assert await ports.outbox.waiting() == 0
    assert await claimed(ports) == []


async def test_held_firings_of_a_cancelled_backfill_are_not_counted_as_waiting(
    ports: wiring.Ports, fire: Fire, mine: Subscription, now: datetime
):
    days = [now - timedelta(days=count) for count in (3, 2, 1)]
    backfill = Backfill(mine.id, "daily", days[0], days[-1], 1)
    async with ports.backfills.locked(mine.id, "daily", days[0], days[-1]) as locked:
        assert await locked.hold(backfill, days) == 3
    await ports.backfills.cancel(mine.id, "daily")
    assert await ports.outbox.waiting() == 0
    await ports.outbox.add([fire("k")], now)
    assert await ports.outbox.waiting() == 1


async def test_a_known_key_is_not_counted_and_changes_nothing(
    ports: wiring.Ports, fire: Fire, now: datetime
):
    await ports.outbox.add([fire("k", a=1)], now)
    later = now + timedelta(hours=1)
    repeat = FiringRequest(fire("k").subscription_id, "manual", "k", later, {"a": 2})
    assert await ports.outbox.add([repeat], later) == 0
    assert await claimed(ports) == [fire("k").ref]
    facts = await ports.runs.admission_input(repeat.ref)
    assert facts is not None
    assert facts.payload == {"a": 1}


async def test_another_payload_under_a_known_key_is_noticed(
    ports: wiring.Ports, fire: Fire, make_run: Callable[..., Awaitable[Run]], now: datetime
):
    assert not await ports.outbox.has_other_payload(fire("k", a=1))
    await ports.outbox.add([fire("k", a=1, b=[1.0])], now)
    assert not await ports.outbox.has_other_payload(fire("k", b=[1], a=1))
    assert await ports.outbox.has_other_payload(fire("k", a=2))
    assert await ports.outbox.has_other_payload(fire("k"))
    await make_run("old", payload={"a": 1})  # its firing is not stored any more
    assert not await ports.outbox.has_other_payload(fire("old", a=1))
    assert await ports.outbox.has_other_payload(fire("old", a=2))


async def test_a_known_key_is_not_dispatched_a_second_time(
    ports: wiring.Ports, fire: Fire, now: datetime
):
    await ports.outbox.add([fire("k")], now)
    async with ports.outbox.claimed(10) as claim:
        await claim.dispatched(claim.firings, now)
    assert await ports.outbox.add([fire("k"), fire("new"), fire("new")], now) == 1
    assert await claimed(ports) == [fire("new").ref]


async def test_adding_no_firings_does_nothing(ports: wiring.Ports, now: datetime):
    assert await ports.outbox.add([], now) == 0
    assert await ports.outbox.waiting() == 0


async def test_two_claims_never_have_the_same_firing(
    ports: wiring.Ports, fire: Fire, now: datetime
):
    await ports.outbox.add([fire(f"k{number}") for number in range(5)], now)
    async with ports.outbox.claimed(3) as first, ports.outbox.claimed(10) as second:
        assert (len(first.firings), len(second.firings)) == (3, 2)
        held = [*first.firings, *second.firings]
        assert {firing.firing_key for firing in held} == {f"k{number}" for number in range(5)}
        assert await ports.outbox.waiting() == 5


async def test_a_firing_that_was_not_dispatched_can_be_claimed_again(
    ports: wiring.Ports, fire: Fire, now: datetime
):
    await ports.outbox.add([fire(f"k{number}") for number in range(3)], now)
    async with ports.outbox.claimed(10) as claim:
        await claim.dispatched(claim.firings[:1], now)
        done = claim.firings[0].firing_key
    left = {firing.firing_key for firing in await claimed(ports)}
    assert left == {"k0", "k1", "k2"} - {done}
    assert await ports.outbox.waiting() == 2


async def test_a_claim_that_fails_dispatches_nothing(
    ports: wiring.Ports, fire: Fire, now: datetime
):
    await ports.outbox.add([fire("k")], now)

    async def fail() -> None:
        async with ports.outbox.claimed(10) as claim:
            await claim.dispatched(claim.firings, now)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await ports.outbox.waiting() == 1
    assert await claimed(ports) == [fire("k").ref]


async def test_the_oldest_firings_are_claimed_first(ports: wiring.Ports, fire: Fire, now: datetime):
    for key in ("first", "second", "third"):
        await ports.outbox.add([fire(key)], now)
    async with ports.outbox.claimed(2) as claim:
        assert [firing.firing_key for firing in claim.firings] == ["first", "second"]


async def test_a_claim_returns_the_firing_reference_of_the_workflow(
    ports: wiring.Ports, mine: Subscription, now: datetime
):
    firing = FiringRequest(mine.id, "daily", "manual/ä b", now + timedelta(microseconds=1))
    await ports.outbox.add([firing], now)
    (found,) = await claimed(ports)
    assert found == firing.ref
    assert found.due == firing.due_at


async def test_a_postponed_firing_is_passed_over_until_its_time_and_its_tries_are_counted(
    ports: wiring.Ports, fire: Fire, now: datetime
):
    bad, good = fire("bad"), fire("good")
    await ports.outbox.add([bad, good], now)
    pause = timedelta(seconds=2)
    async with ports.outbox.claimed(1) as claim:
        if claim.firings == [good.ref]:  # two of the same time have no order
            bad, good = good, bad
        assert (claim.firings, claim.attempts) == ([bad.ref], {})
        await claim.postponed([PostponedFiring(bad.ref, pause, "it broke")], now)
    assert await claimed(ports, 1) == [good.ref]
    async with ports.outbox.claimed(1) as claim:
        await claim.dispatched(claim.firings, now)
    assert await claimed(ports) == []
    seconds = await ports.outbox.seconds_to_next()
    assert seconds is not None
    assert 0 < seconds <= 2
    assert await ports.outbox.failing() == FailingFirings(1, now, "it broke")
    await asyncio.sleep(2.05)
    async with ports.outbox.claimed(1) as claim:
        assert (claim.firings, claim.attempts) == ([bad.ref], {bad.ref.run_id: 1})
        await claim.postponed([PostponedFiring(bad.ref, pause, "again")], now + pause)
    assert await ports.outbox.failing() == FailingFirings(1, now, "again")


async def test_a_started_firing_does_not_count_as_failing(
    ports: wiring.Ports, fire: Fire, now: datetime
):
    await ports.outbox.add([fire("k")], now)
    async with ports.outbox.claimed(1) as claim:
        await claim.postponed([PostponedFiring(fire("k").ref, timedelta(0), "it broke")], now)
    async with ports.outbox.claimed(1) as claim:
        await claim.dispatched(claim.firings, now)
    assert await ports.outbox.failing() is None


async def test_a_firing_that_never_starts_is_settled_with_a_key_that_a_run_can_have(
    ports: wiring.Ports, fire: Fire, now: datetime
):
    firing = fire("manual/" + "x" * 1200)
    await ports.outbox.add([firing], now)
    async with ports.outbox.claimed(1) as claim:
        await claim.settled(firing.ref, now)
    assert await claimed(ports) == []
    assert await ports.outbox.waiting() == 0
    assert await ports.outbox.add([firing], now) == 0
