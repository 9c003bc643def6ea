"""The StuckRuns port: the open runs of a workflow are marked once, and unmarked."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from activityctl import wiring
from activityctl.adapters.memory.runs.stuck import MemoryStuckRuns
from activityctl.daemon.worker.stuck_runs import GOOD_AFTER, StuckRunWatch
from activityctl.domain.manifests.subscription import Subscription
from activityctl.domain.runs.admission import new_run
from activityctl.domain.runs.run import Decision, Run, RunStatus
from activityctl.domain.runs.run_change import RunChange, run_change
from activityctl.domain.timing.firing import FiringRequest
from activityctl.domain.values import ids
from activityctl.domain.values.log import Cursor, LogFilter
from activityctl.ports import BegunAttempt, QuietWorkflow, StuckSummary, StuckWorkflow
from support.guarded import Bench, behind
from support.run_store import ended, save


async def open_run(ports: wiring.Ports, mine: Subscription, key: str, now: datetime) -> ids.RunId:
    """Open a run in the workflow `w`."""
    firing = FiringRequest(mine.id, "manual", key, now).ref
    facts = await ports.runs.admission_input(firing)
    assert facts is not None
    run = replace(new_run(firing, facts, now), status=RunStatus.RUNNING, started_at=now)
    await ports.runs.open("w", run_change(run, Decision(), now))
    return run.id


async def test_the_open_runs_of_a_workflow_are_marked_once_and_unmarked(
    ports: wiring.Ports, mine: Subscription, now: datetime
):
    runs = {await open_run(ports, mine, key, now) for key in ("a", "b")}
    later = now + timedelta(minutes=1)
    marked = await ports.stuck_runs.mark_stuck("w", "it does not fit", now)
    assert {run_id for run_id, _ in marked} == runs
    assert await ports.stuck_runs.mark_stuck("w", "still not", later) == []
    assert await ports.stuck_runs.stuck_workflows() == ["w"]
    assert await ports.stuck_runs.summary() == StuckSummary(2, now, "still not")
    assert (await ports.metrics.snapshot()).stuck_runs == 2
    run = await ports.run_lists.find_run(next(iter(runs)))
    assert (run.is_stuck, run.stuck_since, run.stuck_reason) == (True, now, "still not")
    assert {run_id for run_id, _ in await ports.stuck_runs.clear_stuck("w")} == runs
    assert await ports.stuck_runs.clear_stuck("w") == []
    assert await ports.stuck_runs.summary() is None
    assert (await ports.metrics.snapshot()).stuck_runs == 0


async def test_the_watch_tells_a_run_once_and_waits_before_it_says_that_it_goes_on(
    ports: wiring.Ports, mine: Subscription, now: datetime
):
    run_id = await open_run(ports, mine, "a", now)
    seconds = 0.0
    watch = StuckRunWatch(ports.stuck_runs, ports.logbook, lambda: now, lambda: seconds)
    for _ in range(3):
        watch.failed("w", "it does not fit")
        await watch.record()
    watch.worked("w")
    seconds += GOOD_AFTER - 1
    watch.failed("w", "and again")  # what worked was only the first half of a task
    watch.worked("w")
    await watch.record()
    assert await ports.stuck_runs.stuck_workflows() == ["w"]
    seconds += GOOD_AFTER
    await watch.record()
    assert await ports.stuck_runs.stuck_workflows() == []
    page, _ = await ports.logbook.page(LogFilter((mine.id,), run_id), Cursor(), limit=50)
    texts = [entry.message.partition(":")[0] for entry in page]
    assert texts == ["the run is stuck", "the run is no longer stuck"]


async def test_a_stuck_workflow_is_idle_while_no_attempt_of_its_runs_is_at_work(
    ports: wiring.Ports, make_run: Callable[..., Awaitable[Run]], now: datetime
):
    run = await make_run("k")
    bench = Bench(ports, run)
    task, _ = await bench.add(2, behind())
    workflow = (await ports.unfinished.open_runs(timedelta(0), 10))[0].workflow_id
    assert await ports.stuck_runs.idle() == []
    await ports.stuck_runs.mark_stuck(workflow, "it does not fit", now)
    (idle,) = await ports.stuck_runs.idle()
    assert (idle.id, idle.since, idle.began_at) == (workflow, now, run.created_at)
    assert isinstance(await bench.begin(task), BegunAttempt)
    assert await ports.stuck_runs.idle() == []
    await save(ports, RunChange(run, update=(ended(task, now),)))
    assert [found.id for found in await ports.stuck_runs.idle()] == [workflow]


async def test_a_workflow_is_forsaken_while_all_its_attempts_are_lost_with_their_workers(
    ports: wiring.Ports, make_run: Callable[..., Awaitable[Run]]
):
    run = await make_run("k")
    bench = Bench(ports, run)
    first, second = await bench.add(2, behind())
    bench.ahead = -timedelta(minutes=2)
    assert isinstance(await bench.begin(first, "worker gone pid 1"), BegunAttempt)
    workflow = (await ports.unfinished.open_runs(timedelta(0), 10))[0].workflow_id
    found = QuietWorkflow(workflow, run.id, run.created_at)
    no_worker_is_lost = isinstance(ports.stuck_runs, MemoryStuckRuns)
    assert await ports.stuck_runs.forsaken() == ([] if no_worker_is_lost else [found])
    bench.ahead = timedelta(0)
    assert isinstance(await bench.begin(second, "worker new pid 2"), BegunAttempt)
    assert await ports.stuck_runs.forsaken() == []


async def test_a_workflow_without_an_open_run_is_marked_itself(
    ports: wiring.Ports, mine: Subscription, now: datetime
):
    stuck, later = ports.stuck_runs, now + timedelta(minutes=1)
    for at, reason in ((now, "it does not fit"), (later, "still not")):
        assert await stuck.mark_stuck("w", reason, at) == []
    assert await stuck.stuck_workflows() == ["w"]
    assert await stuck.idle() == [StuckWorkflow("w", now, now)]
    assert await stuck.summary() == StuckSummary(1, now, "still not")
    assert await stuck.clear_stuck("w", is_replaced=True) == []
    assert (await stuck.idle(), await stuck.summary()) == ([], None)
    await stuck.mark_stuck("w", "the new one neither", later)
    assert await stuck.idle() == [StuckWorkflow("w", later, now)]  # so it is replaced less often
    await open_run(ports, mine, "a", now)  # it went on after all
    assert (await stuck.idle(), await stuck.summary()) == ([], None)
    await stuck.clear_stuck("w")
    assert await stuck.stuck_workflows() == []


async def test_a_workflow_is_quiet_when_nothing_of_it_is_at_work_but_was_lately(
    ports: wiring.Ports, make_run: Callable[..., Awaitable[Run]]
):
    async def quiet(within: timedelta = timedelta(minutes=10), limit: int = 5) -> list[str]:
        return [found.id for found in await ports.stuck_runs.quiet(within, limit)]

    now = datetime.now(UTC)
    run = await make_run("k", at=now)
    bench = Bench(ports, run)
    task, _ = await bench.add(2, behind())
    workflow = (await ports.unfinished.open_runs(timedelta(0), 10))[0].workflow_id
    found = QuietWorkflow(workflow, run.id, run.created_at)
    assert await ports.stuck_runs.quiet(timedelta(minutes=10), 5) == [found]
    assert isinstance(await bench.begin(task), BegunAttempt)
    assert await quiet() == []
    await save(ports, RunChange(run, update=(ended(task, now),)))
    assert await quiet() == [workflow]
    assert await quiet(timedelta(0)) == await quiet(limit=0) == []
    await make_run("q", at=now, status=RunStatus.QUEUED)
    other = await make_run("l", at=now)
    assert len(await quiet()) == 2
    await ports.stuck_runs.mark_stuck(workflow, "it does not fit", now)
    assert [each.run_id for each in await ports.stuck_runs.quiet(timedelta(hours=1), 5)] == [
        other.id
    ]
