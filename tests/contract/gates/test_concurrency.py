"""The Gates port: which runs are let in, queued or skipped, by concurrency policy."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from activityctl import wiring
from activityctl.domain.gitops.plan import Plan
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.subscription import SubscriptionManifest, SubscriptionStatus
from activityctl.domain.runs.admission import new_run
from activityctl.domain.runs.concurrency import GateResult
from activityctl.domain.runs.run import RunStatus
from activityctl.domain.values import ids
from activityctl.domain.values.moment import format_moment
from activityctl.domain.values.selection import Selection
from activityctl.errors import ExpressionError

Apply = Callable[..., Awaitable[Plan]]
Define = Callable[..., ActivityDefinition]
Subscribe = Callable[..., SubscriptionManifest]


MakeGated = Callable[..., Awaitable[Any]]


def outcomes(results: list[GateResult]) -> list[str]:
    return [result.outcome for result in results]


# ---- skip ----------------------------------------------------------------------------


async def test_a_run_that_is_let_in_has_a_row_with_its_key_and_takes_the_slot(gated: MakeGated):
    mine = await gated("skip", key="${ trigger.payload.region }")
    assert await mine.arrives("a", region="eu") == GateResult("let_in")
    run = await mine.run("a")
    assert (run.status, run.concurrency_key, run.throttle_key) == (RunStatus.QUEUED, "eu", None)
    assert run.payload == {"region": "eu"}
    skipped = await mine.arrives("b", region="eu")
    reason = f"run {run.id[:8]} is still running (concurrency policy skip, limit 1, key eu)"
    assert skipped == GateResult("skipped", reason)
    row = await mine.run("b")
    assert (row.status, row.reason) == (RunStatus.SKIPPED, reason)
    assert row.ended_at == row.created_at
    assert await mine.messages("b") == [f"run skipped: {reason}"]


async def test_a_slot_is_free_again_when_its_run_has_ended(gated: MakeGated):
    mine = await gated("skip")
    await mine.arrives("a")
    await mine.begins("a")
    assert (await mine.arrives("b")).outcome == "skipped"
    await mine.ends("a", RunStatus.FAILED)
    assert (await mine.arrives("c")).outcome == "let_in"


async def test_each_key_has_its_own_slots(gated: MakeGated):
    mine = await gated("skip", key="${ trigger.payload.n }")
    results = [await mine.arrives(f"r{n}-{turn}", n=n) for turn in range(2) for n in (1, 2, 3)]
    assert outcomes(results) == ["let_in"] * 3 + ["skipped"] * 3


async def test_each_subscription_has_its_own_slots(
    gated: MakeGated, apply: Apply, subscribe: Subscribe, ports: wiring.Ports
):
    mine = await gated("skip")
    await apply(subscribe("other"))
    other = replace(mine, subscription=await ports.catalog.find_subscription("other"))
    assert outcomes([await mine.arrives("a"), await other.arrives("a")]) == ["let_in", "let_in"]


@pytest.mark.parametrize("policy", ["skip", "queue"])
async def test_of_twenty_runs_at_once_exactly_three_take_a_slot(gated: MakeGated, policy: str):
    mine = await gated(policy, limit=3)
    results = await asyncio.gather(*(mine.arrives(f"r{n}") for n in range(20)))
    counted = outcomes(results)
    assert counted.count("let_in") == 3
    assert counted.count("skipped" if policy == "skip" else "queued") == 17
    assert len(await mine.statuses()) == 20


async def test_a_key_that_cannot_be_rendered_leaves_no_row(gated: MakeGated):
    mine = await gated("skip", key="${ trigger.payload.absent }")
    with pytest.raises(ExpressionError):
        await mine.arrives("a", other=1)
    assert await mine.statuses() == {}


# ---- asking again --------------------------------------------------------------------


async def test_a_repeated_question_is_answered_from_the_row(gated: MakeGated):
    mine = await gated("queue")
    assert (await mine.arrives("a")).outcome == "let_in"
    assert (await mine.arrives("b")).outcome == "queued"
    again = [await mine.arrives("a"), await mine.arrives("b")]
    assert outcomes(again) == ["let_in", "queued"]
    await mine.begins("a")
    assert (await mine.arrives("a")).outcome == "let_in"
    await mine.ends("a")
    assert (await mine.arrives("a")).outcome == "skipped"
    assert await mine.messages("b") == [
        "run queued: waiting for 1 run (concurrency policy queue, limit 1)"
    ]


async def test_the_same_firing_at_once_several_times_takes_one_slot(gated: MakeGated):
    mine = await gated("skip", limit=2)
    results = await asyncio.gather(*(mine.arrives("same") for _ in range(8)))
    assert set(outcomes(results)) == {"let_in"}
    assert (await mine.arrives("other")).outcome == "let_in"


async def test_a_firing_with_several_keys_at_once_takes_the_slot_of_one_key(gated: MakeGated):
    mine = await gated("skip", key="${ trigger.payload.n }")
    results = await asyncio.gather(*(mine.arrives("same", n=number) for number in range(6)))
    assert set(outcomes(results)) == {"let_in"}
    others = [await mine.arrives(f"r{number}", n=number) for number in range(6)]
    assert outcomes(others).count("skipped") == 1


async def test_a_run_that_was_let_in_keeps_its_keys_when_a_new_revision_cannot_render_them(
    gated: MakeGated, apply: Apply, define: Define
):
    mine = await gated("queue", key="${ trigger.payload.n }")
    await mine.arrives("a", n=1)
    key = "${ trigger.payload.absent }"
    await apply(define("digest", concurrency={"policy": "queue", "key": key}))
    assert (await mine.arrives("a", n=1)).outcome == "let_in"
    assert (await mine.run("a")).concurrency_key == "1"


async def test_only_the_workflow_that_executes_a_run_is_let_in_again(gated: MakeGated):
    mine = await gated("queue")
    await mine.arrives("a")
    await mine.arrives("b")
    await mine.ends("a")
    (firing,) = await mine.ports.gates.let_in()
    assert firing.workflow_id == ids.let_in_workflow_id(mine.subscription.id, "manual", "b")
    assert (await mine.arrives("b")).outcome == "queued"  # its first workflow no longer executes it
    facts = await mine.ports.runs.admission_input(firing)
    assert facts is not None
    run = new_run(firing, facts, mine.now)
    again = await mine.ports.gates.enter(run, facts.spec, firing.workflow_id)
    assert again.outcome == "let_in"


# ---- queue ---------------------------------------------------------------------------


async def test_queued_runs_are_let_in_one_by_one_in_their_order(gated: MakeGated):
    mine = await gated("queue")
    assert outcomes([await mine.arrives(key) for key in "zayb"]) == ["let_in"] + ["queued"] * 3
    assert await mine.let_in() == []
    seen = []
    for key in "zay":
        await mine.ends(key)
        seen += await mine.let_in()
    assert seen == ["a", "y", "b"]
    assert re.fullmatch(r"run started after \d+s in the queue", (await mine.messages("y"))[-1])


async def test_a_queued_run_has_a_reason_until_it_is_let_in(gated: MakeGated):
    mine = await gated("queue")
    await mine.arrives("a")
    await mine.arrives("b")
    queued = await mine.run("b")
    at = format_moment(queued.created_at)
    assert queued.reason == f"queued at {at}: waiting for 1 run (concurrency policy queue, limit 1)"
    await mine.ends("a")
    assert (await mine.run("a")).reason is None
    assert await mine.let_in() == ["b"]
    assert (await mine.run("b")).reason is None


async def test_a_new_run_does_not_overtake_the_queue_when_a_slot_is_free(gated: MakeGated):
    mine = await gated("queue")
    await mine.arrives("a")
    await mine.arrives("b")
    await mine.ends("a")
    assert (await mine.arrives("c")).outcome == "queued"
    assert await mine.let_in() == ["b"]


async def test_a_run_that_was_let_in_but_did_not_start_is_returned_again(gated: MakeGated):
    mine = await gated("queue")
    for key in "ab":
        await mine.arrives(key)
    gates = mine.ports.gates
    assert await gates.let_in() == []  # the first run was let in only now
    (first,) = await gates.let_in(again_after=timedelta(0))
    assert (first.firing_key, first.workflow_id) == ("a", mine.firing("a").workflow_id)
    await mine.begins("a")
    assert await gates.let_in(again_after=timedelta(0)) == []
    await mine.ends("a")
    assert await mine.let_in() == ["b"]
    assert await mine.let_in() == []
    (again,) = await gates.let_in(again_after=timedelta(0))
    assert again.firing_key == "b"
    assert again.due == mine.now


async def test_simultaneous_calls_let_each_run_in_once_and_keep_the_limit(gated: MakeGated):
    mine = await gated("queue", limit=3)
    for number in range(12):
        await mine.arrives(f"r{number:02}")
    for number in range(3):
        await mine.ends(f"r{number:02}")
    sweeps = await asyncio.gather(*(mine.let_in() for _ in range(4)))
    assert sorted(key for sweep in sweeps for key in sweep) == ["r03", "r04", "r05"]


async def test_a_key_without_a_free_slot_does_not_block_another(gated: MakeGated):
    mine = await gated("queue", key="${ trigger.payload.n }")
    for number in (1, 2):
        for turn in range(3):
            await mine.arrives(f"k{number}-{turn}", n=number)
    await mine.ends("k2-0")
    assert await mine.let_in(limit=1) == ["k2-1"]


async def test_let_in_keeps_to_its_limit_and_the_others_follow(gated: MakeGated):
    mine = await gated("queue", key="${ trigger.payload.n }")
    for turn in range(2):
        for number in range(5):
            await mine.arrives(f"{turn}-{number}", n=number)
    for number in range(5):
        await mine.ends(f"0-{number}")
    assert await mine.let_in(limit=2) == ["1-0", "1-1"]
    assert await mine.let_in(limit=2) == ["1-2", "1-3"]
    assert await mine.let_in(limit=2) == ["1-4"]


async def test_a_queued_run_is_decided_by_the_revision_that_it_froze(
    gated: MakeGated, apply: Apply, define: Define
):
    mine = await gated("queue", limit=2)
    for key in "abcd":
        await mine.arrives(key)
    await apply(define("digest", concurrency={"policy": "queue", "limit": 1}))
    await mine.ends("a")
    assert await mine.let_in() == ["c"]


async def test_a_queued_run_with_a_cancel_request_is_passed_over(gated: MakeGated):
    mine = await gated("queue")
    for key in "abc":
        await mine.arrives(key)
    await mine.ports.runs.request_cancel(mine.id("b"), mine.now)
    await mine.ends("a")
    assert await mine.let_in() == ["c"]


async def test_the_queue_of_a_paused_subscription_waits(gated: MakeGated):
    mine = await gated("queue")
    for key in "ab":
        await mine.arrives(key)
    await mine.ends("a")
    change = mine.ports.catalog.set_subscription_status
    await change(mine.subscription.id, SubscriptionStatus.PAUSED, mine.now)
    assert await mine.let_in() == []
    await change(mine.subscription.id, SubscriptionStatus.ACTIVE, mine.now)
    assert await mine.let_in() == ["b"]


async def test_the_queue_of_a_deleted_subscription_ends(
    gated: MakeGated, remove: Callable[..., Awaitable[Plan]]
):
    mine = await gated("queue")
    for key in "abc":
        await mine.arrives(key)
    await mine.begins("a")
    await remove("mine")
    assert await mine.let_in() == []
    assert await mine.statuses() == {
        "a": RunStatus.RUNNING,
        "b": RunStatus.CANCELLED,
        "c": RunStatus.CANCELLED,
    }
    assert (await mine.run("c")).reason == "the subscription was deleted"
    assert (await mine.messages("c"))[-1] == "run cancelled: the subscription was deleted"


# ---- replace -------------------------------------------------------------------------


async def test_a_newer_run_replaces_the_running_run_and_the_queued_ones(gated: MakeGated):
    mine = await gated("replace")
    await mine.arrives("a")
    await mine.begins("a")
    assert (await mine.arrives("b")).replaces == (mine.id("a"),)
    assert (await mine.arrives("c")).replaces == (mine.id("a"), mine.id("b"))
    replaced = await mine.run("b")
    assert await mine.ports.run_lists.workflow_of(replaced.id) is None
    assert (replaced.status, replaced.reason) == (
        RunStatus.CANCELLED,
        f"replaced by run {mine.id('c')[:8]}",
    )
    assert await mine.ports.runs.cancel_requests() == [(mine.id("a"), mine.firing("a").workflow_id)]
    assert (await mine.run("a")).cancel_reason == f"replaced by run {mine.id('b')[:8]}"
    assert await mine.let_in() == []
    await mine.ends("a", RunStatus.CANCELLED)
    assert await mine.let_in() == ["c"]
    assert await mine.messages("b") == [
        "run queued: waiting for 1 run (concurrency policy replace, limit 1)",
        f"run replaces run {mine.id('a')[:8]}",
        f"run cancelled: replaced by run {mine.id('c')[:8]}",
    ]


async def test_of_many_runs_at_once_replace_keeps_exactly_the_newest(gated: MakeGated):
    mine = await gated("replace", limit=2)
    await asyncio.gather(*(mine.arrives(f"r{number}") for number in range(12)))
    runs = sorted(
        await mine.ports.run_lists.runs(Selection(limit=100)),
        key=lambda run: (run.created_at, run.id),
    )
    for run_id, _ in await mine.ports.runs.cancel_requests():
        (key,) = [run.firing_key for run in runs if run.id == run_id]
        await mine.ends(key, RunStatus.CANCELLED)
    await mine.let_in()
    statuses = await mine.statuses()
    assert [statuses[run.firing_key] for run in runs] == [RunStatus.CANCELLED] * 10 + [
        RunStatus.QUEUED
    ] * 2


async def test_a_run_that_a_person_cancelled_gets_no_other_reason(gated: MakeGated):
    mine = await gated("replace")
    await mine.arrives("a")
    await mine.ports.runs.request_cancel(mine.id("a"), mine.now)
    await mine.arrives("b")
    assert (await mine.run("a")).cancel_reason is None
