"""The waits of tasks: which runs are to be woken, and what ends a wait."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from activityctl import wiring
from activityctl.domain.runs.run import Run, RunStatus, TaskStatus
from activityctl.domain.runs.run_change import RunChange
from activityctl.domain.runs.waiting import Answer
from activityctl.domain.values.selection import Selection
from support.run_store import save, state_of

MakeRun = Callable[..., Awaitable[Run]]
SOON = timedelta(seconds=5)


async def waiting(ports: wiring.Ports, run: Run, until: datetime | None) -> None:
    """Let the one task of the run wait."""
    (task,) = (await state_of(ports, run)).tasks
    status = {"status": TaskStatus.WAITING, "started_at": run.created_at, "waits_until": until}
    await save(ports, RunChange(run, update=(replace(task, **status),)))


async def test_a_wait_is_on_record_with_its_end(ports: wiring.Ports, make_run: MakeRun):
    run = await make_run("k")
    until = run.created_at + timedelta(days=1)
    await waiting(ports, run, until)
    (task,) = (await state_of(ports, run)).tasks
    assert (task.status, task.waits_until) == (TaskStatus.WAITING, until)
    assert task.started_at == run.created_at


async def test_a_wait_whose_timer_was_lost_is_found(ports: wiring.Ports, make_run: MakeRun):
    now = datetime.now(UTC)
    late, early, open_end = [await make_run(key) for key in ("late", "early", "open")]
    await waiting(ports, late, now - timedelta(minutes=1))
    await waiting(ports, early, now + timedelta(minutes=1))
    await waiting(ports, open_end, None)
    assert [run_id for run_id, _ in await ports.waits.to_settle(SOON)] == [late.id]
    (task,) = (await state_of(ports, late)).tasks
    ended = replace(task, kind="wait", status=TaskStatus.SUCCEEDED, ended_at=now)
    await save(ports, RunChange(late, update=(ended,)))
    assert await ports.waits.to_settle(SOON) == []


async def test_an_abandoned_run_waits_no_more(ports: wiring.Ports, make_run: MakeRun):
    now = datetime.now(UTC)
    run = await make_run("k")
    await waiting(ports, run, now - timedelta(minutes=1))
    assert await ports.runs.abandon(run.id, RunStatus.FAILED, "no", now)
    assert await ports.waits.to_settle(SOON) == []


async def test_of_many_answers_at_once_one_is_on_record(ports: wiring.Ports, make_run: MakeRun):
    run = await make_run("k")
    await waiting(ports, run, None)
    (task,) = (await state_of(ports, run)).tasks
    given = await asyncio.gather(
        *(ports.waits.answer(task.id, Answer({"n": n}, by=f"p{n}")) for n in range(6))
    )
    (winner,) = [each for each in given if each is not None and each.is_new]
    assert all(each is not None and each.answer == winner.answer for each in given)
    assert [run_id for run_id, _ in await ports.waits.to_settle(SOON)] == [run.id]
    async with ports.runs.locked(run.id) as locked:
        assert await locked.answers() == {task.id: winner.answer}


async def test_a_task_that_does_not_wait_takes_no_answer(ports: wiring.Ports, make_run: MakeRun):
    run = await make_run("k")
    (task,) = (await state_of(ports, run)).tasks
    assert await ports.waits.answer(task.id, Answer(1)) is None
    await waiting(ports, run, None)
    await ports.runs.abandon(run.id, RunStatus.FAILED, "no", datetime.now(UTC))
    assert await ports.waits.answer(task.id, Answer(1)) is None


async def test_tasks_are_listed_by_assignee(ports: wiring.Ports, make_run: MakeRun):
    run = await make_run("k")
    found = await ports.run_lists.tasks(Selection(run_id=run.id, assignee="anna"))
    assert found == []
