"""Runs that were let in and whose context is looked up in a step of its own."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from activityctl.domain.runs.run import RunEnd, RunStatus
from activityctl.domain.runs.run_change import RunChange, log_entry
from activityctl.domain.runs.stopping import Stop, stop
from activityctl.errors import UnreachableError
from activityctl.ports import OpenResult

from .conftest import GatedSubscription

Gated = Callable[..., Awaitable[GatedSubscription]]


async def looks_up(gated: GatedSubscription, key: str, workflow_id: str = "") -> OpenResult:
    run = await gated.run(key)
    looked_up = replace(run, started_at=gated.now, reason="looked up")
    entry = log_entry(run, "info", "begins", gated.now)
    workflow_id = workflow_id or gated.firing(key).workflow_id
    return await gated.ports.runs.begin_lookup(workflow_id, looked_up, entry)


async def test_a_lookup_begins_once_and_only_for_the_workflow_of_the_run(gated: Gated) -> None:
    owner = await gated()
    assert (await owner.arrives("a")).outcome == "let_in"
    assert await looks_up(owner, "a", "somebody/else") is OpenResult.TAKEN
    assert await looks_up(owner, "a") is OpenResult.OPENED
    assert await looks_up(owner, "a") is OpenResult.OURS
    run = await owner.run("a")
    assert (run.status, run.started_at, run.reason) == (RunStatus.QUEUED, owner.now, "looked up")
    assert await owner.messages("a") == ["begins"]


async def test_nobody_else_starts_a_run_while_its_context_is_looked_up(gated: Gated) -> None:
    owner = await gated()
    await owner.arrives("a")
    await owner.arrives("b")
    await owner.pass_time(timedelta(seconds=10))
    await looks_up(owner, "a")
    firings = await owner.ports.gates.let_in(again_after=timedelta(seconds=5))
    assert [firing.firing_key for firing in firings] == ["b"]
    opened = await owner.ports.unfinished.open_runs(timedelta(0), 10)
    assert {firing.firing_key for firing in opened} == {"a", "b"}, "recovery knows both"


async def test_a_run_takes_its_slot_while_its_context_is_looked_up(gated: Gated) -> None:
    owner = await gated("queue", limit=1)
    await owner.arrives("a")
    await looks_up(owner, "a")
    assert (await owner.arrives("b")).outcome == "queued"
    await owner.begins("a")
    await owner.ends("a")
    assert await owner.let_in() == ["b"]


async def test_a_run_can_time_out_while_its_context_is_looked_up(gated: Gated) -> None:
    owner = await gated()
    await owner.arrives("a")
    await looks_up(owner, "a")
    async with owner.ports.runs.locked(owner.id("a")) as locked:
        assert locked.state is not None
        wanted = Stop(RunStatus.TIMED_OUT, "too long")
        decision = stop(locked.state, wanted, owner.now)
        assert decision.end == RunEnd(RunStatus.TIMED_OUT, "too long")
        await locked.save(
            RunChange(replace(locked.state.run, status=RunStatus.TIMED_OUT, ended_at=owner.now))
        )
    assert await looks_up(owner, "a") is OpenResult.TAKEN


async def test_nobody_sees_that_a_run_begins_before_what_its_begin_waits_for(gated: Gated) -> None:
    owner = await gated()
    await owner.arrives("a")
    run, workflow_id = await owner.run("a"), owner.firing("a").workflow_id
    begun = RunChange(replace(run, status=RunStatus.RUNNING, started_at=owner.now))

    async def fail() -> None:
        assert (await owner.run("a")).status is RunStatus.QUEUED
        raise UnreachableError("Temporal is away")

    with pytest.raises(UnreachableError, match="Temporal is away"):
        await owner.ports.runs.open(workflow_id, begun, after=fail())
    assert (await owner.run("a")).status is RunStatus.QUEUED
    await owner.begins("a")
