"""The Gates port: how many may start in a time, and what becomes of the rest."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from activityctl import wiring
from activityctl.domain.runs.run import RunStatus
from activityctl.domain.values.moment import parse_moment
from activityctl.ports import WORK_CHANNEL

Doors = Callable[..., Awaitable[Any]]
HOUR = timedelta(hours=1)


async def test_the_excess_is_skipped_and_told_when_the_next_may_start(door: Doors):
    mine = await door(throttle={"limit": 2, "per": "1h"})
    before = datetime.now(UTC)
    assert (await mine.arrives("a")).outcome == "let_in"
    await mine.ends("a")
    assert (await mine.arrives("b")).outcome == "let_in"
    refused = await mine.arrives("c")
    assert refused.outcome == "skipped"
    words, _, moment = refused.reason.rpartition(" ")
    assert words == "throttled: 2 runs in 1h; the next may start at"
    opens_at = parse_moment(moment)
    assert before + HOUR <= opens_at <= datetime.now(UTC) + HOUR + timedelta(seconds=1)
    row = await mine.run("c")
    assert (row.status, row.reason, row.concurrency_key) == ("skipped", refused.reason, None)
    assert row.throttle_key == ""
    await mine.pass_time(HOUR)
    assert (await mine.arrives("d")).outcome == "let_in"


async def test_the_window_slides(door: Doors):
    mine = await door(throttle={"limit": 2, "per": "1h"})
    await mine.arrives("a")
    await mine.pass_time(timedelta(minutes=40))
    await mine.arrives("b")
    assert (await mine.arrives("c")).outcome == "skipped"
    await mine.pass_time(timedelta(minutes=20))
    assert (await mine.arrives("d")).outcome == "let_in"
    assert (await mine.arrives("e")).outcome == "skipped"


@pytest.mark.parametrize("excess", ["skip", "queue"])
async def test_twenty_at_once_start_exactly_three(door: Doors, excess: str):
    mine = await door(throttle={"limit": 3, "per": "1h", "excess": excess})
    entries = await asyncio.gather(*(mine.arrives(f"r{n}") for n in range(20)))
    outcomes = [entry.outcome for entry in entries]
    assert outcomes.count("let_in") == 3
    assert outcomes.count("skipped" if excess == "skip" else "queued") == 17
    await mine.pass_time(HOUR)
    assert len(await mine.let_in()) == (0 if excess == "skip" else 3)


async def test_keys_are_throttled_apart(door: Doors):
    throttle = {"limit": 1, "per": "1h", "key": "${ trigger.payload.n }"}
    mine = await door(throttle=throttle)
    entries = [await mine.arrives(f"r{n}-{turn}", n=n) for turn in range(2) for n in (1, 2)]
    assert [entry.outcome for entry in entries] == ["let_in", "let_in", "skipped", "skipped"]
    assert entries[2].reason.startswith("throttled: 1 run in 1h, key 1; ")


async def test_a_run_that_ended_before_it_began_is_not_counted(door: Doors):
    mine = await door(throttle={"limit": 1, "per": "1h"})
    await mine.arrives("a")
    await mine.ends("a", RunStatus.SKIPPED)  # a rule did not hold
    assert (await mine.arrives("b")).outcome == "let_in"


async def test_queued_excess_starts_in_order_as_the_window_frees(door: Doors, ports: wiring.Ports):
    mine = await door(throttle={"limit": 2, "per": "1h", "excess": "queue"})
    assert await ports.gates.seconds_to_release() is None
    await mine.arrives("d")
    await mine.pass_time(timedelta(minutes=30))
    for key in "cba":
        await mine.arrives(key)
    assert (await mine.run("b")).status is RunStatus.QUEUED
    (said,) = await mine.messages("b")
    assert said.startswith("run queued behind the throttle: 2 runs in 1h; the next may start at 20")
    assert await ports.gates.seconds_to_release() == pytest.approx(1800, abs=60)
    assert await mine.let_in() == []
    await mine.pass_time(timedelta(minutes=30))
    assert await mine.let_in() == ["b"]
    assert await mine.let_in() == []
    assert await ports.gates.seconds_to_release() == pytest.approx(1800, abs=60)
    await mine.pass_time(timedelta(minutes=30))
    assert await mine.let_in() == ["a"]
    assert await ports.gates.seconds_to_release() is None


async def test_nobody_overtakes_the_throttled_queue_and_the_sweep_is_woken(
    door: Doors, ports: wiring.Ports
):
    mine = await door(throttle={"limit": 1, "per": "1h", "excess": "queue"})
    await mine.arrives("a")
    await mine.arrives("b")
    await mine.pass_time(HOUR)
    async with ports.signals.listening(WORK_CHANNEL) as payloads:
        entry = await mine.arrives("c")
        async for payload in payloads:
            if payload == "queue":
                break
    assert (entry.outcome, entry.reason) == ("queued", "behind the throttle: 1 run in 1h")
    assert await mine.let_in() == ["b"]


async def test_a_refused_run_does_not_replace_the_one_at_work(door: Doors, ports: wiring.Ports):
    mine = await door("replace", throttle={"limit": 1, "per": "1h"})
    await mine.arrives("a")
    assert (await mine.arrives("b")).outcome == "skipped"
    assert await ports.runs.cancel_requests() == []


async def test_overlap_is_told_before_the_throttle(door: Doors):
    mine = await door("skip", throttle={"limit": 1, "per": "1h"})
    await mine.arrives("a")
    assert "still at work" in (await mine.arrives("b")).reason
    await mine.ends("a")
    assert "throttled" in (await mine.arrives("c")).reason


async def test_a_queued_run_is_decided_on_again_when_its_turn_comes(door: Doors):
    key = "${ trigger.payload.n }"
    mine = await door("queue", key=key, throttle={"limit": 2, "per": "1h"})
    await mine.arrives("a", n=1)
    assert (await mine.arrives("b", n=1)).outcome == "queued"
    assert (await mine.arrives("c", n=2)).outcome == "let_in"
    await mine.ends("a")
    assert await mine.let_in() == []
    row = await mine.run("b")
    assert row.status is RunStatus.SKIPPED
    assert row.reason.startswith("throttled: 2 runs in 1h; the next may start at")
    assert (await mine.messages("b"))[-1] == f"run skipped: {row.reason}"


async def test_the_last_start_goes_to_an_arrival_or_to_the_queue_but_not_to_both(door: Doors):
    throttle = {"limit": 2, "per": "1h", "key": "${ trigger.payload.round }"}
    mine = await door("queue", key="${ trigger.payload.n }", throttle=throttle)
    for turn in range(12):
        await mine.arrives(f"a{turn}", n=turn, round=turn)
        await mine.arrives(f"b{turn}", n=turn, round=turn)
        await mine.ends(f"a{turn}")
    arrivals = [mine.arrives(f"c{turn}", n=-turn - 1, round=turn) for turn in range(12)]
    sweeps = [mine.let_in(limit=3) for _ in range(12)]
    await asyncio.gather(*(one for pair in zip(arrivals, sweeps, strict=True) for one in pair))
    await mine.let_in()
    statuses = await mine.statuses()
    for turn in range(12):
        last = sorted([statuses[f"b{turn}"], statuses[f"c{turn}"]])
        assert last == [RunStatus.QUEUED, RunStatus.SKIPPED]


async def test_a_run_that_waits_for_a_place_does_not_hold_up_the_throttle(door: Doors):
    throttle = {"limit": 3, "per": "1h", "excess": "queue"}
    mine = await door("queue", key="${ trigger.payload.n }", throttle=throttle)
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
