"""The Gates port: how many runs may start in a period, and what happens to the others."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from activityctl import wiring
from activityctl.domain.runs.run import RunStatus
from activityctl.domain.values.moment import parse_moment
from activityctl.ports import WORK_CHANNEL

MakeGated = Callable[..., Awaitable[Any]]
HOUR = timedelta(hours=1)


async def test_the_excess_is_skipped_and_the_reason_says_when_the_next_may_start(gated: MakeGated):
    mine = await gated(throttle={"limit": 2, "per": "1h"})
    before = datetime.now(UTC)
    assert (await mine.arrives("a")).outcome == "let_in"
    await mine.ends("a")
    assert (await mine.arrives("b")).outcome == "let_in"
    skipped = await mine.arrives("c")
    assert skipped.outcome == "skipped"
    text, _, moment = skipped.reason.rpartition(" ")
    assert text == "throttled: at most 2 runs in 1h; the next may start at"
    opens_at = parse_moment(moment)
    assert before + HOUR <= opens_at <= datetime.now(UTC) + HOUR + timedelta(seconds=1)
    row = await mine.run("c")
    assert (row.status, row.reason, row.concurrency_key) == ("skipped", skipped.reason, None)
    assert row.throttle_key == ""
    await mine.pass_time(HOUR)
    assert (await mine.arrives("d")).outcome == "let_in"


async def test_the_period_of_the_throttle_slides(gated: MakeGated):
    mine = await gated(throttle={"limit": 2, "per": "1h"})
    await mine.arrives("a")
    await mine.pass_time(timedelta(minutes=40))
    await mine.arrives("b")
    assert (await mine.arrives("c")).outcome == "skipped"
    await mine.pass_time(timedelta(minutes=20))
    assert (await mine.arrives("d")).outcome == "let_in"
    assert (await mine.arrives("e")).outcome == "skipped"


@pytest.mark.parametrize("excess", ["skip", "queue"])
async def test_of_twenty_runs_at_once_exactly_three_start(gated: MakeGated, excess: str):
    mine = await gated(throttle={"limit": 3, "per": "1h", "excess": excess})
    results = await asyncio.gather(*(mine.arrives(f"r{n}") for n in range(20)))
    outcomes = [result.outcome for result in results]
    assert outcomes.count("let_in") == 3
    assert outcomes.count("skipped" if excess == "skip" else "queued") == 17
    await mine.pass_time(HOUR)
    assert len(await mine.let_in()) == (0 if excess == "skip" else 3)


async def test_each_key_has_its_own_throttle(gated: MakeGated):
    throttle = {"limit": 1, "per": "1h", "key": "${ trigger.payload.n }"}
    mine = await gated(throttle=throttle)
    results = [await mine.arrives(f"r{n}-{turn}", n=n) for turn in range(2) for n in (1, 2)]
    assert [result.outcome for result in results] == ["let_in", "let_in", "skipped", "skipped"]
    assert results[2].reason.startswith("throttled: at most 1 run in 1h, key 1; ")


async def test_a_run_that_ended_before_it_began_is_not_counted(gated: MakeGated):
    mine = await gated(throttle={"limit": 1, "per": "1h"})
    await mine.arrives("a")
    await mine.ends("a", RunStatus.SKIPPED)  # a rule did not hold
    assert (await mine.arrives("b")).outcome == "let_in"


async def test_throttled_runs_start_in_order_as_the_period_passes(
    gated: MakeGated, ports: wiring.Ports
):
    mine = await gated(throttle={"limit": 2, "per": "1h", "excess": "queue"})
    assert await ports.gates.seconds_to_release() is None
    await mine.arrives("d")
    await mine.pass_time(timedelta(minutes=30))
    for key in "cba":
        await mine.arrives(key)
    assert (await mine.run("b")).status is RunStatus.QUEUED
    (message,) = await mine.messages("b")
    assert message.startswith(
        "run queued: waiting for the throttle: at most 2 runs in 1h; the next may start at 20"
    )
    assert await ports.gates.seconds_to_release() == pytest.approx(1800, abs=60)
    assert await mine.let_in() == []
    await mine.pass_time(timedelta(minutes=30))
    assert await mine.let_in() == ["b"]
    assert await mine.let_in() == []
    assert await ports.gates.seconds_to_release() == pytest.approx(1800, abs=60)
    await mine.pass_time(timedelta(minutes=30))
    assert await mine.let_in() == ["a"]
    assert await ports.gates.seconds_to_release() is None


async def test_a_new_run_does_not_overtake_the_throttled_queue_and_wakes_the_workers(
    gated: MakeGated, ports: wiring.Ports
):
    mine = await gated(throttle={"limit": 1, "per": "1h", "excess": "queue"})
    await mine.arrives("a")
    await mine.arrives("b")
    await mine.pass_time(HOUR)
    async with ports.signals.listening(WORK_CHANNEL) as payloads:
        result = await mine.arrives("c")
        async for payload in payloads:
            if payload == "queue":
                break
    assert result.outcome == "queued"
    assert result.reason == "waiting for the throttle: at most 1 run in 1h"
    assert await mine.let_in() == ["b"]


async def test_a_skipped_run_does_not_replace_the_running_one(
    gated: MakeGated, ports: wiring.Ports
):
    mine = await gated("replace", throttle={"limit": 1, "per": "1h"})
    await mine.arrives("a")
    assert (await mine.arrives("b")).outcome == "skipped"
    assert await ports.runs.cancel_requests() == []


async def test_concurrency_is_checked_before_the_throttle(gated: MakeGated):
    mine = await gated("skip", throttle={"limit": 1, "per": "1h"})
    await mine.arrives("a")
    assert "still running" in (await mine.arrives("b")).reason
    await mine.ends("a")
    assert "throttled" in (await mine.arrives("c")).reason


async def test_a_queued_run_is_decided_on_again_when_its_turn_comes(gated: MakeGated):
    key = "${ trigger.payload.n }"
    mine = await gated("queue", key=key, throttle={"limit": 2, "per": "1h"})
    await mine.arrives("a", n=1)
    assert (await mine.arrives("b", n=1)).outcome == "queued"
    assert (await mine.arrives("c", n=2)).outcome == "let_in"
    await mine.ends("a")
    assert await mine.let_in() == []
    row = await mine.run("b")
    assert row.status is RunStatus.SKIPPED
    assert row.reason.startswith("throttled: at most 2 runs in 1h; the next may start at")
    assert (await mine.messages("b"))[-1] == f"run skipped: {row.reason}"


async def test_the_last_start_goes_to_a_new_run_or_to_the_queue_but_not_to_both(gated: MakeGated):
    throttle = {"limit": 2, "per": "1h", "key": "${ trigger.payload.round }"}
    mine = await gated("queue", key="${ trigger.payload.n }", throttle=throttle)
    for turn in range(12):
        await mine.arrives(f"a{turn}", n=turn, round=turn)
        await mine.arrives(f"b{turn}", n=turn, round=turn)
        await mine.ends(f"a{turn}")
    arrivals = [mine.arrives(f"c{turn}", n=-turn - 1, round=turn) for turn in range(12)]
    sweeps = [mine.let_in(limit=3) for _ in range(12)]
    await asyncio.gather(*(call for pair in zip(arrivals, sweeps, strict=True) for call in pair))
    await mine.let_in()
    statuses = await mine.statuses()
    for turn in range(12):
        last = sorted([statuses[f"b{turn}"], statuses[f"c{turn}"]])
        assert last == [RunStatus.QUEUED, RunStatus.SKIPPED]


async def test_a_run_that_waits_for_a_slot_does_not_block_the_throttle(gated: MakeGated):
    throttle = {"limit": 3, "per": "1h", "excess": "queue"}
    mine = await gated("queue", key="${ trigger.payload.n }", throttle=throttle)
    await mine.arrives("a", n=1)
    await mine.arrives("b", n=1)
    await mine.arrives("c", n=2)
    assert await mine.let_in() == ["c"]
    assert (await mine.run("b")).status is RunStatus.QUEUED
    await mine.ends("a")
    assert await mine.let_in() == ["b"]
    await mine.arrives("d", n=3)
    await mine.pass_time(HOUR)
    assert await mine.let_in() == ["d"]
