"""The RunStore port writes an end without reading the run again, if nothing was decided since."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime

from activityctl import wiring
from activityctl.domain.manifests.subscription import Subscription
from activityctl.domain.runs.run import Run, RunStatus
from activityctl.domain.runs.run_change import RunChange
from activityctl.ports import BegunAttempt, KnownRun
from support.run_store import ended, log_entry, messages, save, state_of

MakeRun = Callable[..., Awaitable[Run]]


async def begin(ports: wiring.Ports, run: Run, now: datetime) -> BegunAttempt:
    (task,) = (await state_of(ports, run)).tasks
    begun = await ports.runs.begin_attempt(task.id, now, "here", reads_run=True)
    assert begun is not None
    return begun


async def known_of(ports: wiring.Ports, run: Run, now: datetime) -> KnownRun:
    known = (await begin(ports, run, now)).known
    assert known is not None
    return known


def end_of(known: KnownRun, run: Run, now: datetime) -> RunChange:
    (task,) = known.state.tasks
    over = replace(known.state.run, status=RunStatus.SUCCEEDED, ended_at=now)
    entry = log_entry(run, "ended", now)
    return RunChange(over, update=(ended(task, now, output=7),), entries=(entry,))


async def test_the_run_that_an_attempt_reads_is_the_stored_one(
    ports: wiring.Ports, make_run: MakeRun, now: datetime
):
    run = await make_run("k")
    begun = await begin(ports, run, now)
    assert begun.known is not None
    assert begun.known.state == await state_of(ports, run)
    assert begun.known.state.tasks == (begun.task,)
    assert not begun.known.has_other_open_tasks
    other = await ports.runs.begin_attempt(begun.task.id, now, "here")
    assert other is not None
    assert other.known is None


async def test_a_change_of_an_unchanged_run_is_written(
    ports: wiring.Ports, make_run: MakeRun, mine: Subscription, now: datetime
):
    run = await make_run("k")
    known = await known_of(ports, run, now)
    assert await ports.runs.save_unchanged(known, end_of(known, run, now))
    state = await state_of(ports, run)
    assert (state.run.status, state.tasks[0].output) == (RunStatus.SUCCEEDED, 7)
    assert await messages(ports, mine) == ["ended"]
    assert not await ports.runs.save_unchanged(known, end_of(known, run, now))
    assert await messages(ports, mine) == ["ended"]


async def test_nothing_is_written_if_something_was_decided_since(
    ports: wiring.Ports, make_run: MakeRun, mine: Subscription, now: datetime
):
    run = await make_run("k")
    known = await known_of(ports, run, now)
    await save(ports, RunChange(replace(run, status=RunStatus.CANCELLING)))
    assert not await ports.runs.save_unchanged(known, end_of(known, run, now))
    cancelling = await state_of(ports, run)
    assert (cancelling.run.status, cancelling.tasks) == (RunStatus.CANCELLING, known.state.tasks)
    assert await messages(ports, mine) == []


async def test_a_request_to_cancel_counts_as_a_decision(
    ports: wiring.Ports, make_run: MakeRun, now: datetime
):
    run = await make_run("k")
    known = await known_of(ports, run, now)
    assert await ports.runs.request_cancel(run.id, now)
    assert not await ports.runs.save_unchanged(known, end_of(known, run, now))


async def test_another_attempt_of_the_task_is_no_decision(
    ports: wiring.Ports, make_run: MakeRun, now: datetime
):
    run = await make_run("k")
    known = await known_of(ports, run, now)
    (task,) = known.state.tasks
    await ports.runs.begin_attempt(task.id, now, "there")
    assert await ports.runs.save_unchanged(known, end_of(known, run, now))


async def test_a_large_run_is_not_kept(ports: wiring.Ports, make_run: MakeRun, now: datetime):
    run = await make_run("k", tasks=30)
    (first, *_) = (await state_of(ports, run)).tasks
    begun = await ports.runs.begin_attempt(first.id, now, "here", reads_run=True)
    assert begun is not None
    assert begun.known is None or begun.known.has_other_open_tasks
