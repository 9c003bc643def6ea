"""The RunStore port counts attempts, and knows which of them were lost."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from activityctl import wiring
from activityctl.domain.manifests.subscription import Subscription
from activityctl.domain.runs.run import Run, RunStatus, TaskStatus
from activityctl.domain.runs.run_change import RunChange
from activityctl.domain.tasks.attempt import Attempt, AttemptOutcome
from activityctl.domain.values.selection import Selection
from activityctl.ports import BegunAttempt
from support.run_store import ended, log_entry, messages, save, state_of

FAILED = AttemptOutcome.FAILED
MakeRun = Callable[..., Awaitable[Run]]


async def test_saving_a_task_keeps_the_attempts_counted_meanwhile(
    ports: wiring.Ports, make_run: MakeRun, now: datetime
):
    run = await make_run("k")
    async with ports.runs.locked(run.id) as locked:
        assert locked.state is not None
        (task,) = locked.state.tasks
        await ports.runs.begin_attempt(task.id, now, "here")
        await locked.save(RunChange(run, update=(ended(task, now),)))
    (found,) = (await state_of(ports, run)).tasks
    assert (found.attempts, found.started_at) == (1, now)


async def test_a_call_that_takes_a_task_begins_it_only_once(
    ports: wiring.Ports, make_run: MakeRun, now: datetime
):
    run = await make_run("k")
    (task,) = (await state_of(ports, run)).tasks
    taken = await ports.runs.begin_attempt(task.id, now, "here", lane="first")
    assert taken is not None
    assert (taken.task.lane, taken.task.attempts) == ("first", 1)
    assert await ports.runs.begin_attempt(task.id, now, "there", lane="other") is None
    again = await ports.runs.begin_attempt("first", now, "there")
    assert again is not None
    assert (again.task.id, again.task.lane, again.task.attempts) == (task.id, "first", 2)
    assert again.lost_worker == "here"
    (lost, _) = await ports.run_lists.attempts([task.id])
    assert str(lost.outcome) == "lost"


async def test_each_begun_attempt_is_counted(ports: wiring.Ports, make_run: MakeRun, now: datetime):
    run = await make_run("k")
    (task,) = (await state_of(ports, run)).tasks
    first = await ports.runs.begin_attempt(task.id, now, "here")
    running = {"status": TaskStatus.RUNNING, "started_at": now, "worker": "here"}
    assert first == BegunAttempt(replace(task, attempts=1, attempt_at=now, **running))
    later = now + timedelta(minutes=1)
    second = await ports.runs.begin_attempt(task.id, later, "here")
    assert second is not None
    assert second.task == replace(task, attempts=2, attempt_at=later, **running)
    assert (await state_of(ports, run)).tasks == (second.task,)


async def test_a_task_that_has_ended_begins_no_attempt(
    ports: wiring.Ports, make_run: MakeRun, now: datetime
):
    run = await make_run("k")
    (task,) = (await state_of(ports, run)).tasks
    await save(ports, RunChange(run, update=(ended(task, now),)))
    assert await ports.runs.begin_attempt(task.id, now, "here") is None
    assert (await state_of(ports, run)).tasks[0].attempts == 0
    assert await ports.runs.begin_attempt("nothing", now, "here") is None


async def test_failed_attempts_are_counted_and_logged(
    ports: wiring.Ports, make_run: MakeRun, mine: Subscription, now: datetime
):
    run = await make_run("k")
    (task,) = (await state_of(ports, run)).tasks
    for count in (1, 2, 3):
        await ports.runs.begin_attempt(task.id, now, "here")
        entry = log_entry(run, f"failed {count}", now)
        assert await ports.runs.fail_attempt(task.id, f"error {count}", entry) == count
    (found,) = (await state_of(ports, run)).tasks
    assert (found.error, found.status, found.attempts) == ("error 3", TaskStatus.RUNNING, 3)
    assert await messages(ports, mine) == ["failed 1", "failed 2", "failed 3"]


async def test_an_attempt_lost_without_a_failure_is_no_failure(
    ports: wiring.Ports, make_run: MakeRun, now: datetime
):
    run = await make_run("k")
    (task,) = (await state_of(ports, run)).tasks
    for _ in range(3):
        await ports.runs.begin_attempt(task.id, now, "here")
    assert await ports.runs.fail_attempt(task.id, "error", log_entry(run, "failed", now)) == 1


async def test_an_attempt_that_fails_after_the_end_leaves_the_task_as_it_ended(
    ports: wiring.Ports, make_run: MakeRun, now: datetime
):
    run = await make_run("k")
    (task,) = (await state_of(ports, run)).tasks
    done = ended(task, now, output=1)
    await save(ports, RunChange(run, update=(done,)))
    await ports.runs.fail_attempt(task.id, "late", log_entry(run, "late", now))
    assert (await state_of(ports, run)).tasks == (done,)


async def test_an_attempt_without_an_end_is_lost_when_the_next_begins(
    ports: wiring.Ports, make_run: MakeRun, mine: Subscription, now: datetime
):
    run = await make_run("k")
    (task,) = (await state_of(ports, run)).tasks
    later = now + timedelta(minutes=1)
    await ports.runs.begin_attempt(task.id, now, "first")
    begun = await ports.runs.begin_attempt(task.id, later, "second")
    assert begun is not None
    assert (begun.lost_worker, begun.lost_since, begun.task.worker) == ("first", now, "second")
    await ports.runs.fail_attempt(task.id, "error", log_entry(run, "failed", now))
    begun = await ports.runs.begin_attempt(task.id, later, "third")
    assert begun is not None
    assert (begun.lost_worker, begun.lost_since) == (None, None)
    await ports.runs.release_attempt(task.id, log_entry(run, "released", now))
    begun = await ports.runs.begin_attempt(task.id, later, "fourth")
    assert begun is not None
    assert (begun.lost_worker, begun.task.attempts) == (None, 4)
    assert await messages(ports, mine) == ["failed", "released"]


@pytest.mark.parametrize("status", [RunStatus.CANCELLING, RunStatus.CANCELLED])
async def test_no_attempt_begins_in_a_run_that_is_stopped(
    ports: wiring.Ports, make_run: MakeRun, now: datetime, status: RunStatus
):
    run = await make_run("k")
    (task,) = (await state_of(ports, run)).tasks
    await save(ports, RunChange(replace(run, status=status)))
    assert await ports.runs.begin_attempt(task.id, now, "here") is None
    assert (await state_of(ports, run)).tasks == (task,)


async def test_each_attempt_is_on_record_with_its_end(
    ports: wiring.Ports, make_run: MakeRun, now: datetime
):
    run = await make_run("k", tasks=2)
    task, other = (await state_of(ports, run)).tasks
    moments = [now + timedelta(seconds=second) for second in range(8)]
    await ports.runs.begin_attempt(other.id, now, "here")
    await ports.runs.begin_attempt(task.id, moments[0], "here")
    await ports.runs.fail_attempt(
        task.id, "no\0", log_entry(run, "failed", moments[1]), "unreachable"
    )
    await ports.runs.begin_attempt(task.id, moments[2], "lost")
    await ports.runs.begin_attempt(task.id, moments[3], "there")
    await ports.runs.release_attempt(task.id, log_entry(run, "released", moments[4]))
    await ports.runs.begin_attempt(task.id, moments[5], "there")
    failed = ended(task, moments[6], status=TaskStatus.FAILED, error="late", code="timeout")
    await save(ports, RunChange(run, update=(failed,)))
    assert await ports.run_lists.attempts([task.id]) == [
        Attempt(
            task.id,
            1,
            "here",
            moments[0],
            FAILED,
            moments[1],
            "no\N{REPLACEMENT CHARACTER}",
            "unreachable",
        ),
        Attempt(task.id, 2, "lost", moments[2], AttemptOutcome.LOST, moments[3]),
        Attempt(task.id, 3, "there", moments[3], AttemptOutcome.INTERRUPTED, moments[4]),
        Attempt(task.id, 4, "there", moments[5], FAILED, moments[6], "late", "timeout"),
    ]
    (stored,) = await ports.run_lists.tasks(Selection(name=task.id))
    assert (stored.error, stored.code) == ("late", "timeout")
    (open_attempt,) = await ports.run_lists.attempts([other.id])
    assert open_attempt.outcome is AttemptOutcome.RUNNING
    await ports.runs.abandon(run.id, RunStatus.FAILED, "gone", moments[7])
    (stopped,) = await ports.run_lists.attempts([other.id])
    assert (stopped.outcome, stopped.ended_at) == (AttemptOutcome.STOPPED, moments[7])
