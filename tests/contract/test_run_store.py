"""The RunStore port: a run opens once, its changes are written together, an ended task stays."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from activityctl import wiring
from activityctl.domain.gitops.plan import Plan
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.subscription import Subscription
from activityctl.domain.runs.dead_letter import DeadLetter
from activityctl.domain.runs.run import Run, RunState, RunStatus, TaskInstance, TaskStatus
from activityctl.domain.runs.run_change import RunChange
from activityctl.domain.timing.firing import FiringRequest
from activityctl.domain.values import ids
from activityctl.domain.values.selection import Selection
from activityctl.ports import OpenResult
from support.run_store import ended, log_entry, messages, save, state_of

Apply = Callable[..., Awaitable[Plan]]
Define = Callable[..., ActivityDefinition]
MakeRun = Callable[..., Awaitable[Run]]

HARD = {"text": "a\0b\ud800c", "k\0": ["\udfff", "\U0001f600"], "deep": {"x": 1.5}}
STORED = {"text": "a\ufffdb\ufffdc", "k\ufffd": ["\ufffd", "\U0001f600"], "deep": {"x": 1.5}}
TRIES = 50


# ---- open and load -------------------------------------------------------------------


async def test_a_run_is_read_as_it_was_opened(
    ports: wiring.Ports, make_run: MakeRun, define: Define, now: datetime
):
    run = await make_run(
        "k",
        tasks=2,
        params={"a": 1},
        context={"b": [None]},
        state={"c": {}},
        payload={"d": "ä"},
        reason="why",
        ending=RunStatus.FAILED,
    )
    state = await state_of(ports, run)
    assert state.run == run
    assert state.spec == define("digest").spec
    assert [(task.name, task.index, task.status) for task in state.tasks] == [
        ("note", 0, TaskStatus.PENDING),
        ("note", 1, TaskStatus.PENDING),
    ]
    assert state.tasks[0].created_at == now


async def test_every_field_of_a_task_is_read_as_it_was_written(
    ports: wiring.Ports, make_run: MakeRun, now: datetime
):
    run = await make_run("k", tasks=0)
    task = TaskInstance(
        id=ids.task_id(run.id, "each", 2),
        run_id=run.id,
        name="each",
        index=2,
        phase="onFailure",
        kind="http",
        status=TaskStatus.SKIPPED,
        created_at=now,
        of=3,
        input={"url": "x"},
        output=[False, 0, ""],
        error="error",
        reason="reason",
        attempts=4,
        started_at=now,
        ended_at=now + timedelta(seconds=1),
    )
    await save(ports, RunChange(run, create=(task,)))
    assert (await state_of(ports, run)).tasks == (task,)


async def test_opening_twice_opens_once_and_changes_nothing(
    ports: wiring.Ports, make_run: MakeRun, mine: Subscription, now: datetime
):
    run = await make_run("k")
    (task,) = (await state_of(ports, run)).tasks
    other = RunChange(
        replace(run, status=RunStatus.SKIPPED, reason="late", ended_at=now),
        create=(replace(task, id=ids.task_id(run.id, "note", 1), index=1),),
        entries=(log_entry(run, "again", now),),
        keep_state={"a": 1},
    )
    assert await ports.runs.open("another/workflow", other) is OpenResult.TAKEN
    assert await ports.runs.open(f"run/{mine.id}/manual/k", other) is OpenResult.OURS
    assert await state_of(ports, run) == RunState(run, (await state_of(ports, run)).spec, (task,))
    assert await messages(ports, mine) == []
    assert (await ports.catalog.find_subscription("mine")).state == {}


async def test_of_concurrent_opens_exactly_one_succeeds(
    ports: wiring.Ports, make_run: MakeRun, mine: Subscription, now: datetime
):
    pattern = await make_run("pattern")
    for key in map(str, range(TRIES)):  # any of the unique keys of a run may clash first
        run = replace(pattern, id=ids.run_id(mine.id, "manual", key), firing_key=key)
        change = RunChange(run, entries=(log_entry(run, "opened", now),))
        opened = await asyncio.gather(*(ports.runs.open("w", change) for _ in range(4)))
        assert Counter(opened) == {OpenResult.OPENED: 1, OpenResult.OURS: 3}
    assert await messages(ports, mine) == ["opened"] * TRIES


async def test_an_unknown_run_is_none(ports: wiring.Ports):
    assert await ports.runs.load("nothing") is None
    async with ports.runs.locked("nothing") as locked:
        assert locked.state is None


async def test_a_run_keeps_the_revision_that_it_froze(
    ports: wiring.Ports, apply: Apply, define: Define, make_run: MakeRun
):
    run = await make_run("k")
    await apply(define("digest", description="other"))
    assert (await state_of(ports, run)).spec == define("digest").spec


# ---- locked and save -----------------------------------------------------------------


async def test_a_second_lock_waits_and_sees_what_the_first_saved(
    ports: wiring.Ports, make_run: MakeRun, now: datetime
):
    run = await make_run("k")
    (task,) = (await state_of(ports, run)).tasks
    seen: list[TaskStatus] = []

    async def second() -> None:
        async with ports.runs.locked(run.id) as locked:
            assert locked.state is not None
            seen.append(locked.state.tasks[0].status)

    async with ports.runs.locked(run.id) as locked:
        waiting = asyncio.create_task(second())
        await asyncio.sleep(0.1)
        await locked.save(RunChange(run, update=(ended(task, now),)))
        await asyncio.sleep(0.1)
        assert seen == []
        assert (await state_of(ports, run)).tasks[0].status is TaskStatus.PENDING
    await waiting
    assert seen == [TaskStatus.SUCCEEDED]


async def test_locks_of_two_runs_are_independent(ports: wiring.Ports, make_run: MakeRun):
    first, second = await make_run("a"), await make_run("b")
    async with (
        asyncio.timeout(60),
        ports.runs.locked(first.id),
        ports.runs.locked(second.id) as locked,
    ):
        assert locked.state is not None
        assert locked.state.run == second


async def test_an_exception_rolls_everything_back_and_releases_the_lock(
    ports: wiring.Ports, make_run: MakeRun, mine: Subscription, now: datetime
):
    run = await make_run("k")
    before = await state_of(ports, run)

    async def fail() -> None:
        async with ports.runs.locked(run.id) as locked:
            await locked.save(failure(before, now))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    async with asyncio.timeout(60), ports.runs.locked(run.id) as locked:
        assert locked.state == before
    assert await messages(ports, mine) == []
    assert await ports.run_lists.dead_letters(Selection()) == []
    assert (await ports.catalog.find_subscription("mine")).state == {}


def failure(state: RunState, now: datetime) -> RunChange:
    """Make a change of everything at the same time."""
    (task,) = state.tasks
    run = replace(state.run, status=RunStatus.FAILED, reason="broken", ended_at=now)
    return RunChange(
        run,
        create=(replace(task, id=ids.task_id(run.id, "note", 1), index=1),),
        update=(ended(task, now, status=TaskStatus.FAILED, error="bad", output={"a": 1}),),
        entries=(log_entry(run, "one", now), log_entry(run, "two", now)),
        dead_letter=DeadLetter(ids.dead_letter_id(run.id), run.id, run.subscription_id, "x", now),
        keep_state={"seen": 3},
    )


async def test_save_writes_run_tasks_entries_dead_letter_and_kept_state_together(
    ports: wiring.Ports, make_run: MakeRun, mine: Subscription, now: datetime
):
    run = await make_run("k")
    change = failure(await state_of(ports, run), now)
    await save(ports, change)
    after = await state_of(ports, run)
    assert after.run == change.run
    assert after.tasks == (*change.update, *change.create)
    assert await messages(ports, mine) == ["one", "two"]
    (letter,) = await ports.run_lists.dead_letters(Selection())
    assert change.dead_letter is not None
    assert (letter.id, letter.reason) == (change.dead_letter.id, change.dead_letter.reason)
    facts = await ports.runs.admission_input(FiringRequest(mine.id, "daily", "next", now).ref)
    assert facts is not None
    assert facts.subscription.state == {"seen": 3}


async def test_a_change_without_state_does_not_change_the_state(
    ports: wiring.Ports, make_run: MakeRun, mine: Subscription
):
    first, second, third = await make_run("a"), await make_run("b"), await make_run("c")
    await save(ports, RunChange(first, keep_state={"a": 1}))
    await save(ports, RunChange(second))
    assert (await ports.catalog.find_subscription(mine.id)).state == {"a": 1}
    await save(ports, RunChange(third, keep_state={}))
    assert (await ports.catalog.find_subscription(mine.id)).state == {}


async def test_a_task_that_has_ended_never_changes_again(
    ports: wiring.Ports, make_run: MakeRun, now: datetime
):
    run = await make_run("k")
    (task,) = (await state_of(ports, run)).tasks
    first = ended(task, now, output=1)
    await save(ports, RunChange(run, update=(first,)))
    late = ended(task, now + timedelta(1), status=TaskStatus.CANCELLED, output=2, reason="late")
    await save(ports, RunChange(run, create=(task,), update=(late,)))
    assert (await state_of(ports, run)).tasks == (first,)


# ---- cancel --------------------------------------------------------------------------


async def test_a_cancel_request_is_listed_until_the_run_ends(
    ports: wiring.Ports, make_run: MakeRun, mine: Subscription, now: datetime
):
    run, other = await make_run("k"), await make_run("other")
    assert await ports.runs.cancel_requests() == []
    assert await ports.runs.request_cancel(run.id, now)
    assert await ports.runs.request_cancel(run.id, now + timedelta(minutes=1))
    assert await ports.runs.cancel_requests() == [(run.id, f"run/{mine.id}/manual/k")]
    await save(ports, RunChange(replace(run, status=RunStatus.CANCELLED, ended_at=now)))
    assert await ports.runs.cancel_requests() == []
    assert not await ports.runs.request_cancel(run.id, now)
    assert not await ports.runs.request_cancel("nothing", now)
    assert (await state_of(ports, other)).run == other


async def test_the_first_reason_of_a_cancellation_is_kept(
    ports: wiring.Ports, make_run: MakeRun, now: datetime
):
    run = await make_run("k")
    assert await ports.runs.request_cancel(run.id, now)
    assert (await state_of(ports, run)).run.cancel_reason is None
    for reason in ("first", "second"):
        assert await ports.runs.request_cancel(run.id, now, reason)
    assert (await state_of(ports, run)).run.cancel_reason == "first"


async def test_a_cancel_request_waits_for_the_locked_run(
    ports: wiring.Ports, make_run: MakeRun, now: datetime
):
    run = await make_run("k")
    async with ports.runs.locked(run.id) as locked:
        asking = asyncio.create_task(ports.runs.request_cancel(run.id, now))
        await asyncio.sleep(0.1)
        assert not asking.done()
        await locked.save(RunChange(replace(run, status=RunStatus.SUCCEEDED, ended_at=now)))
    assert not await asking


# ---- text that Postgres cannot store -------------------------------------------------


async def test_nul_and_lone_surrogates_become_replacement_characters(
    ports: wiring.Ports, make_run: MakeRun, now: datetime
):
    run = await make_run("k", tasks=2, payload=HARD, context=HARD)
    first, second = (await state_of(ports, run)).tasks
    await ports.runs.fail_attempt(first.id, "e\0\udc80", log_entry(run, "failed", now))
    change = RunChange(
        replace(run, reason="r\0\ud800"),
        update=(ended(second, now, output=HARD, error="x\0", reason="\udfff"),),
        dead_letter=DeadLetter("id", run.id, run.subscription_id, "d\0\ud800", now),
        keep_state=HARD,
    )
    await save(ports, change)
    state = await state_of(ports, run)
    first, second = state.tasks
    assert (state.run.payload, state.run.context) == (STORED, STORED)
    assert (state.run.reason, first.error) == ("r\ufffd\ufffd", "e\ufffd\ufffd")
    assert (second.output, second.error, second.reason) == (STORED, "x\ufffd", "\ufffd")
    (letter,) = await ports.run_lists.dead_letters(Selection())
    assert letter.reason == "d\ufffd\ufffd"
    assert (await ports.catalog.find_subscription("mine")).state == STORED
