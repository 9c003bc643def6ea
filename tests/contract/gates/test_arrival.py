"""The Gates port: the arrival of the firing is the place in the queue, whoever admits it when."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from activityctl import wiring
from activityctl.domain.events.envelope import envelope_of
from activityctl.domain.routing.routing import EventFiring, Routed
from activityctl.domain.runs.admission import new_run
from activityctl.domain.runs.concurrency import GateResult
from activityctl.domain.runs.run import RunStatus
from activityctl.domain.runs.run_change import RunChange
from activityctl.domain.timing.firing import FiringRequest
from activityctl.domain.values import ids
from activityctl.ports import ADMITTED_WITHIN

MakeGated = Callable[..., Awaitable[Any]]


class Arrivals:
    """Firings of events that were stored and started in order, and are admitted in any order."""

    def __init__(self, mine: Any) -> None:
        self.mine = mine
        self.ports: wiring.Ports = mine.ports
        self.owner = mine.subscription.id

    def ref(self, key: str) -> Any:
        return FiringRequest(self.owner, "paid", key, self.mine.now).ref

    async def come(self, *keys: str, started: timedelta | None = timedelta(0)) -> None:
        """Store the firings of these events; `started` is how long ago they were started."""
        heads = [{"specversion": "1.0", "id": key, "source": "/t", "type": "t"} for key in keys]
        events = [envelope_of(head) for head in heads]
        await self.ports.events.add(events)
        due = self.mine.now
        async with self.ports.events.routing(100) as routing:
            assert routing is not None
            pairs = zip(keys, events, strict=True)
            firings = [
                EventFiring(self.owner, "paid", key, due, (event.event_id,), routing.now, None, 0)
                for key, event in pairs
            ]
            event_ids = tuple(event.event_id for event in events)
            await routing.save(Routed(event_ids, tuple(firings)), routing.now)
        if started is None:
            return
        async with self.ports.outbox.claimed(100) as claim:
            assert [ref.firing_key for ref in claim.firings] == list(keys)
            await claim.dispatched(claim.firings, datetime.now(UTC) - started)

    async def is_admitted(self, key: str, **payload: Any) -> GateResult:
        ref = self.ref(key)
        facts = await self.ports.runs.admission_input(ref)
        assert facts is not None
        run = new_run(ref, replace(facts, payload=payload), self.mine.now)
        return await self.ports.gates.enter(run, facts.spec, ref.workflow_id)

    async def outcomes(self, *keys: str) -> list[str]:
        return [(await self.is_admitted(key)).outcome for key in keys]

    async def ends(self, trigger: str, key: str) -> None:
        run_id = ids.run_id(self.owner, trigger, key)
        async with self.ports.runs.locked(run_id) as locked:
            assert locked.state is not None
            ended = replace(locked.state.run, status=RunStatus.CANCELLED, ended_at=self.mine.now)
            await locked.save(RunChange(ended))

    async def let_in_one_by_one(self) -> list[str]:
        found = []
        while refs := await self.ports.gates.let_in(1, again_after=timedelta(days=1)):
            found += [ref.firing_key for ref in refs]
            for ref in refs:
                await self.ends(ref.trigger, ref.firing_key)
        return found


@pytest.mark.parametrize("key", [None, "${ 'same' }"])
async def test_queued_runs_start_in_the_order_in_which_their_firings_arrived(
    gated: MakeGated, key: str | None
) -> None:
    arrivals = Arrivals(await gated("queue", key=key))
    await arrivals.come(*"dacb", started=timedelta(0))
    assert (await arrivals.is_admitted("d")).outcome == "let_in"
    assert await arrivals.outcomes(*"bca") == ["queued"] * 3
    await arrivals.ends("paid", "d")
    assert await arrivals.let_in_one_by_one() == ["a", "c", "b"]


async def test_the_order_of_arrival_counts_in_the_queue_of_a_throttle(gated: MakeGated) -> None:
    throttle = {"limit": 1, "per": "1h", "excess": "queue"}
    arrivals = Arrivals(await gated(throttle=throttle))
    await arrivals.come(*"zba")
    assert await arrivals.outcomes(*"zab") == ["let_in", "queued", "queued"]
    await arrivals.mine.pass_time(timedelta(hours=2))
    refs = await arrivals.ports.gates.let_in(1, again_after=timedelta(days=1))
    assert [ref.firing_key for ref in refs] == ["b"]


@pytest.mark.parametrize("started", [timedelta(0), None])
async def test_a_run_waits_for_an_earlier_firing_that_is_being_admitted(
    gated: MakeGated, started: timedelta | None
) -> None:
    arrivals = Arrivals(await gated("queue"))
    gates = arrivals.ports.gates
    await arrivals.come("first", "second", started=started)
    waiting = await arrivals.is_admitted("second")
    assert waiting == GateResult("queued", "waiting for an earlier firing, which is being admitted")
    assert await gates.let_in() == []
    seconds = await gates.seconds_to_release()
    assert seconds is not None
    assert 0 < seconds < 1
    assert (await arrivals.is_admitted("first")).outcome == "let_in"
    assert await gates.let_in() == []
    assert await gates.seconds_to_release() is None
    await arrivals.ends("paid", "first")
    assert await arrivals.let_in_one_by_one() == ["second"]


async def test_an_earlier_firing_that_was_started_long_ago_holds_nobody_up(
    gated: MakeGated,
) -> None:
    arrivals = Arrivals(await gated("queue"))
    await arrivals.come("lost", "next", started=2 * ADMITTED_WITHIN)
    assert (await arrivals.is_admitted("next")).outcome == "let_in"


async def test_with_a_key_a_run_starts_although_an_earlier_firing_is_being_admitted(
    gated: MakeGated,
) -> None:
    arrivals = Arrivals(await gated("queue", key="${ trigger.payload.customer }"))
    await arrivals.come("first", "second")
    assert (await arrivals.is_admitted("second", customer=7)).outcome == "let_in"


async def test_replace_keeps_the_newest_by_arrival_whichever_is_admitted_first(
    gated: MakeGated,
) -> None:
    arrivals = Arrivals(await gated("replace", limit=2))
    await arrivals.come(*"abcd")
    assert (await arrivals.is_admitted("d")).outcome == "let_in"
    assert (await arrivals.is_admitted("b")).outcome == "let_in"
    newer = await arrivals.is_admitted("c")
    assert newer.replaces == (arrivals.ref("b").run_id,)
    late = await arrivals.is_admitted("a")
    assert late.outcome == "skipped"
    named = [arrivals.ref(key).run_id[:8] for key in "cd"]
    assert late.reason == (
        f"runs {named[0]} and {named[1]} arrived later and replace it "
        "(concurrency policy replace, limit 2)"
    )
