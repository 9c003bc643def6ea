"""The Facts port: figures, the newest runs, what waits, what failed, who paused it."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

import pytest_asyncio

from activityctl import wiring
from activityctl.domain.manifests.subscription import Subscription, SubscriptionStatus
from activityctl.domain.runs.lateness import Deadline, LateRun, RunTimes, late_entry
from activityctl.domain.runs.run import Run, RunStatus
from activityctl.domain.runs.subscription_facts import RunFigures
from activityctl.domain.timing.firing import FiringRequest
from activityctl.domain.values.log import LogEntry
from activityctl.domain.values.selection import Selection
from activityctl.operations.runs.actions import change_status, log_status_change

MakeRun = Callable[..., Awaitable[Run]]
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)


@pytest_asyncio.fixture(loop_scope="session")
async def now(ports: wiring.Ports):
    """The facts of firings are told by the clock of the store."""
    return (await ports.workers.server_time()).replace(microsecond=0)


async def test_a_subscription_without_runs_has_no_figures(
    ports: wiring.Ports, mine: Subscription, now
):
    found = await ports.facts.of_subscription(mine.id, now)
    assert (found.latest, found.periods, found.open_runs) == ((), {}, {})
    assert (found.last_failure, found.letters, found.paused_by) == (None, (), None)


async def test_figures_are_of_the_last_day_and_week(
    ports: wiring.Ports, make_run: MakeRun, mine: Subscription, now
):
    long_ago = await make_run("old", at=now - 8 * DAY, status=RunStatus.SUCCEEDED)
    await make_run("week", at=now - 3 * DAY, status=RunStatus.TIMED_OUT)
    failed = await make_run("bad", at=now - 5 * MINUTE, status=RunStatus.FAILED, reason="no")
    for number in range(3):
        await make_run(f"good {number}", at=now - 4 * MINUTE, status=RunStatus.SUCCEEDED)
    await make_run("skipped", at=now - 3 * MINUTE, status=RunStatus.SKIPPED)
    running = await make_run("open", at=now - 2 * MINUTE)
    found = await ports.facts.of_subscription(mine.id, now)
    day, week = found.periods["lastDay"], found.periods["lastWeek"]
    assert day.counts == {"succeeded": 3, "failed": 1, "skipped": 1, "running": 1}
    assert day.success_rate == 3 / 4
    assert week.counts == {**day.counts, "timed_out": 1}
    assert (day.p50, day.longest, day.is_cut) == (timedelta(0), timedelta(0), False)
    assert (found.latest[0].id, found.latest[-1].id) == (running.id, long_ago.id)
    assert found.open_runs == {"running": 1}
    assert found.last_failure is not None
    assert (found.last_failure.id, found.last_failure.reason) == (failed.id, "no")


async def test_the_facts_of_a_definition_are_of_all_its_subscriptions(
    ports: wiring.Ports, make_run: MakeRun, mine: Subscription, now
):
    owners = {mine.id: mine.name}
    nothing = await ports.facts.of_definition(mine.definition, owners, now)
    assert (nothing.latest, nothing.periods, nothing.last_failure) == ((), {}, None)
    await make_run("week", at=now - 3 * DAY, status=RunStatus.SUCCEEDED)
    failed = await make_run("bad", at=now - 5 * MINUTE, status=RunStatus.FAILED, reason="no")
    good = await make_run("good", at=now - 4 * MINUTE, status=RunStatus.SUCCEEDED)
    found = await ports.facts.of_definition(mine.definition, owners, now)
    of_mine = await ports.facts.of_subscription(mine.id, now)
    assert found.periods == of_mine.periods
    assert tuple(owned.run for owned in found.latest) == of_mine.latest
    assert {owned.subscription for owned in found.latest} == {"mine"}
    assert found.last_failure is not None
    assert (found.last_failure.subscription, found.last_failure.run.id) == ("mine", failed.id)
    assert {failed.id, good.id} < {owned.run.id for owned in found.latest}
    assert (await ports.facts.of_definition("another", owners, now)).latest == ()
    selected = await ports.catalog.subscriptions(Selection(definition=mine.definition))
    assert [owner.id for owner in selected] == [mine.id]
    assert await ports.catalog.subscriptions(Selection(definition="another")) == []


async def test_what_waits_to_start_is_counted(ports: wiring.Ports, mine: Subscription, now):
    due = FiringRequest(mine.id, "manual", "due", now)
    await ports.outbox.add([due], now - MINUTE)
    found = await ports.facts.of_subscription(mine.id, now + MINUTE)
    assert found.firings == {"due": 1}
    assert found.due_since is not None
    assert found.due_since <= now + MINUTE


async def test_late_runs_are_counted_by_deadline(
    ports: wiring.Ports, make_run: MakeRun, mine: Subscription, now
):
    run = await make_run("late", at=now - 2 * DAY, status=RunStatus.SUCCEEDED)
    times = RunTimes(
        run.id, mine.id, mine.name, run.definition, run.trigger, run.due_at, run.status
    )
    start = LateRun(times, Deadline.START, MINUTE)
    for late, at in ((start, now - 2 * DAY), (replace(start, deadline=Deadline.END), now - MINUTE)):
        await ports.lateness.note(late, late_entry(late, at))
    found = await ports.facts.of_subscription(mine.id, now)
    assert found.late == {"lastDay": {"end": 1}, "lastWeek": {"start": 1, "end": 1}}
    assert [noted.deadline for noted in found.latest_late] == [Deadline.END, Deadline.START]


async def test_who_paused_it_is_known(ports: wiring.Ports, mine: Subscription, now):
    paused = SubscriptionStatus.PAUSED
    await change_status(ports.catalog, mine, paused, now, reason="works")
    before = LogEntry(
        mine.id, None, "subscription paused by old", "info", now - DAY, {"actor": "x"}
    )
    await ports.logbook.append([before])
    await log_status_change(ports.logbook, mine, paused, now, actor="ana", reason="works")
    found = await ports.facts.of_subscription(mine.id, now, now)
    assert found.paused_by == "ana"


async def test_what_is_at_work_is_told(
    ports: wiring.Ports, make_run: MakeRun, mine: Subscription, now
):
    running = await make_run("open", at=now - MINUTE)
    stuck = await make_run("stuck", at=now - 2 * MINUTE, tasks=0)
    failed = await make_run("bad", at=now - 3 * MINUTE, status=RunStatus.FAILED, reason="no")
    await make_run("long ago", at=now - timedelta(hours=5), status=RunStatus.TIMED_OUT)
    await make_run("good", at=now - MINUTE, status=RunStatus.SUCCEEDED)
    await ports.outbox.add([FiringRequest(mine.id, "manual", "due", now)], now - MINUTE)
    found = await ports.facts.at_work()
    assert [run.id for run in found.runs] == [stuck.id, running.id, failed.id]
    assert [run.task for run in found.runs] == [None, "note", None]
    assert (found.runs[0].subscription, found.runs[2].reason) == (mine.name, "no")
    assert (found.open_runs, found.failed_hour, found.failed_day) == ({"running": 2}, 1, 2)
    assert (found.firings, found.unrouted_events, found.held_tasks) == ({"due": 1}, 0, 0)
    assert [run.id for run in (await ports.facts.at_work(failed.id[:20])).runs] == [failed.id]
    assert (await ports.facts.at_work("MINE")).runs == found.runs
    assert (await ports.facts.at_work("nothing")).runs == []


def test_the_rate_counts_only_what_was_tried():
    figures = RunFigures({"succeeded": 9, "timed_out": 1, "skipped": 50, "cancelled": 3})
    assert figures.success_rate == 0.9
    assert RunFigures({"skipped": 1}).success_rate is None
