"""The Gates port: skipped runs whose definition has onSkip tasks."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from activityctl.domain.runs.admission import RecordedState, recorded_state
from activityctl.domain.runs.run import RunStatus
from activityctl.domain.runs.run_change import RunChange
from activityctl.domain.runs.skipping import to_be_skipped
from activityctl.ports import OpenResult

MakeGated = Callable[..., Awaitable[Any]]
TELL = [{"name": "tell", "command": {"argv": ["echo"]}}]


async def test_a_skipped_run_with_on_skip_tasks_is_let_in_without_a_slot(gated: MakeGated):
    mine = await gated("skip", onSkip=TELL)
    await mine.arrives("a")
    result = await mine.arrives("b")
    assert (result.outcome, result.runs_tasks) == ("skipped", True)
    run = await mine.run("b")
    assert (run.status, run.ending, run.reason) == ("queued", "skipped", result.reason)
    assert (run.concurrency_key, run.throttle_key, run.ended_at) == (None, None, None)
    assert await mine.arrives("b") == result, "asked again, the gate says the same"
    facts = await mine.ports.runs.admission_input(mine.firing("b"))
    assert facts.record.is_skipping
    assert recorded_state(mine.firing("b"), facts.record) is RecordedState.HAS_RUN
    await mine.ends("a")
    assert (await mine.arrives("c")).outcome == "let_in", "its tasks hold nobody up"
    lost = await mine.ports.gates.let_in(again_after=timedelta())
    assert "b" in [firing.firing_key for firing in lost], "a lost workflow is started again"


async def test_of_a_burst_ten_run_their_tasks_and_the_others_say_why_not(gated: MakeGated):
    mine = await gated(throttle={"limit": 1, "per": "1h"}, onSkip=TELL)
    await mine.arrives("first")
    results = [await mine.arrives(f"r{number}") for number in range(14)]
    assert [result.runs_tasks for result in results] == [True] * 10 + [False] * 4
    last = await mine.run("r13")
    assert last.status is RunStatus.SKIPPED
    assert "its onSkip tasks did not run" in last.reason
    assert not await mine.ports.gates.take_skip_turn(mine.subscription.id)


async def test_a_run_that_the_queue_skips_is_let_in_for_its_tasks(gated: MakeGated):
    mine = await gated("skip", throttle={"limit": 1, "per": "1h", "excess": "queue"}, onSkip=TELL)
    assert (await mine.arrives("a")).outcome == "let_in"
    await mine.ends("a")
    assert [(await mine.arrives(key)).outcome for key in ("b", "c")] == ["queued", "queued"]
    await mine.pass_time(timedelta(hours=1))
    assert await mine.let_in() == ["b"]
    await mine.begins("b")
    await mine.pass_time(timedelta(hours=1))
    assert await mine.let_in() == ["c"], "its slot is taken, so it is skipped"
    run = await mine.run("c")
    assert (run.status, run.ending, run.concurrency_key) == ("queued", "skipped", None)
    assert "is still running" in run.reason


async def test_a_run_that_its_rules_skip_leaves_its_slot_when_its_tasks_begin(gated: MakeGated):
    mine = await gated("skip", onSkip=TELL)
    assert (await mine.arrives("a")).outcome == "let_in"
    skipped = to_be_skipped(await mine.run("a"), "customer is not active")
    begun = RunChange(replace(skipped, status=RunStatus.RUNNING, started_at=mine.now))
    workflow_id = mine.firing("a").workflow_id
    assert await mine.ports.runs.open(workflow_id, begun) is OpenResult.OPENED
    run = await mine.run("a")
    assert (run.status, run.ending, run.concurrency_key) == ("running", "skipped", None)
    assert (await mine.arrives("b")).outcome == "let_in"
