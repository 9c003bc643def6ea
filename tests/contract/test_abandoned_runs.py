"""The RunStore port: a run is ended without its data, for good and only once."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from activityctl import wiring
from activityctl.domain.runs.auto_pause import StreakChange
from activityctl.domain.runs.run import Run, RunStatus, TaskStatus
from activityctl.domain.runs.run_change import RunChange
from activityctl.domain.values.log import Cursor, LogFilter
from activityctl.domain.values.selection import Selection

MakeRun = Callable[..., Awaitable[Run]]


@pytest.mark.parametrize("status", [RunStatus.FAILED, RunStatus.TIMED_OUT])
async def test_an_abandoned_run_ends_with_its_open_tasks(
    ports: wiring.Ports, make_run: MakeRun, now: datetime, status: RunStatus
):
    run = await make_run("k", tasks=2)
    state = await ports.runs.load(run.id)
    assert state is not None
    done = replace(state.tasks[0], status=TaskStatus.SUCCEEDED, output=1, ended_at=now)
    async with ports.runs.locked(run.id) as locked:
        await locked.save(RunChange(run, update=(done,)))
    later = now + timedelta(seconds=5)
    assert await ports.runs.abandon(run.id, status, "it \0 cannot be stored", later)
    assert await ports.runs.abandon(run.id, RunStatus.FAILED, "again", later)
    state = await ports.runs.load(run.id)
    assert state is not None
    assert (state.run.status, state.run.ended_at) == (status, later)
    assert state.run.reason == "it \ufffd cannot be stored"
    first, second = state.tasks
    assert first == done
    assert (second.status, second.input, second.ended_at) == ("cancelled", None, later)
    (letter,) = await ports.run_lists.dead_letters(Selection())
    assert (letter.run_id, letter.reason) == (run.id, state.run.reason)
    entries, _ = await ports.logbook.page(
        LogFilter((run.subscription_id,), run.id), Cursor(), limit=9
    )
    text = f"run {status.replace('_', ' ')}: it \ufffd cannot be stored"
    assert [(entry.level, entry.message) for entry in entries] == [("error", text)]
    other = await make_run("other")
    async with ports.runs.locked(other.id) as locked:
        streak = StreakChange(has_failed=False, decided_at=later)
        await locked.save(RunChange(other, streak=streak))
    failed, recovered = await ports.notices.gather(timedelta(0), timedelta(0), 9)
    told = {"run": run.id, "trigger": "manual", "status": status.value, "reason": letter.reason}
    assert (failed.kind, failed.items) == ("failed", [told])
    assert recovered.items[0]["failed"] == 1


async def test_a_run_is_abandoned_as_cancelled_only_on_request(
    ports: wiring.Ports, make_run: MakeRun, now: datetime
):
    run = await make_run("k")
    assert not await ports.runs.abandon(run.id, RunStatus.CANCELLED, "why", now)
    assert await ports.runs.request_cancel(run.id, now)
    assert await ports.runs.abandon(run.id, RunStatus.CANCELLED, "why", now)
    assert (await ports.run_lists.find_run(run.id)).status is RunStatus.CANCELLED
    assert await ports.run_lists.dead_letters(Selection()) == []


async def test_an_abandoned_run_counts_as_a_failure_and_pauses_at_the_limit(
    ports: wiring.Ports, apply, define, subscribe, make_run: MakeRun, now: datetime
):
    first, second = await make_run("one"), await make_run("two")
    assert await ports.runs.abandon(first.id, RunStatus.FAILED, "no room", now)
    owner = await ports.catalog.find_subscription("mine")
    assert (owner.failures, owner.status) == (1, "active")
    assert await ports.runs.abandon(first.id, RunStatus.FAILED, "again", now)
    assert (await ports.catalog.find_subscription("mine")).failures == 1
    await apply(define("digest", pauseAfter={"failures": 3}), subscribe("mine"))
    assert await ports.runs.abandon(second.id, RunStatus.FAILED, "by the old revision", now)
    third = await make_run("three")
    assert await ports.runs.abandon(third.id, RunStatus.TIMED_OUT, "no room \0", now)
    owner = await ports.catalog.find_subscription("mine")
    assert (owner.failures, owner.status, owner.paused_by_run) == (3, "paused", third.id)
    assert owner.pause_reason is not None
    assert owner.pause_reason.startswith("3 runs in a row failed; last reason: no room")


async def test_a_run_that_does_not_exist_is_over(ports: wiring.Ports, now: datetime):
    assert await ports.runs.abandon("no-such-run", RunStatus.FAILED, "why", now)
