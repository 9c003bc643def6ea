"""The UnfinishedWork port: runs that are under way, and started firings without a run."""

from dataclasses import replace
from datetime import datetime, timedelta

from activityctl import wiring
from activityctl.domain.manifests.subscription import Subscription
from activityctl.domain.runs.admission import new_run
from activityctl.domain.runs.run import Decision, RunEnd, RunStatus
from activityctl.domain.runs.run_change import run_change
from activityctl.domain.timing.firing import FiringCause, FiringRef, FiringRequest

NONE = timedelta(0)
HOUR = timedelta(hours=1)


async def store(ports: wiring.Ports, mine: Subscription, key: str, now: datetime) -> FiringRef:
    """Store a firing and mark it as started."""
    await ports.outbox.add([FiringRequest(mine.id, "manual", key, now)], now)
    async with ports.outbox.claimed(10) as claim:
        (firing,) = claim.firings
        await claim.dispatched([firing], now)
    return firing


async def open_run(
    ports: wiring.Ports, firing: FiringRef, now: datetime, decision: Decision | None = None
) -> None:
    facts = await ports.runs.admission_input(firing)
    assert facts is not None
    run = replace(new_run(firing, facts, now), status=RunStatus.RUNNING, started_at=now)
    change = run_change(run, decision or Decision(), now)
    await ports.runs.open(firing.workflow_id, change)


async def test_open_runs_are_listed_in_pages_with_the_workflow_that_carries_them(
    ports: wiring.Ports, mine: Subscription, now: datetime
):
    firings = [await store(ports, mine, key, now) for key in ("a", "b", "c")]
    for firing in firings:
        await open_run(ports, firing, now)
    ended = await store(ports, mine, "ended", now)
    await open_run(ports, ended, now, Decision(end=RunEnd(RunStatus.SUCCEEDED)))
    first = await ports.unfinished.open_runs(NONE, 2)
    rest = await ports.unfinished.open_runs(NONE, 2, after=first[-1].run_id)
    found = [*first, *rest]
    assert [each.run_id for each in found] == sorted(firing.run_id for firing in firings)
    assert {each.workflow_id for each in found} == {firing.workflow_id for firing in firings}
    assert {each.cause for each in found} == {FiringCause.RECOVERY}
    assert {each.due for each in found} == {now}


async def test_a_run_younger_than_asked_is_left_out(
    ports: wiring.Ports, mine: Subscription, now: datetime
):
    firing = await store(ports, mine, "a", now)
    await open_run(ports, firing, now)
    assert len(await ports.unfinished.open_runs(HOUR, 10)) == 1  # it is dated in the past
    present = await ports.workers.server_time()
    await open_run(ports, await store(ports, mine, "b", present), present)
    assert len(await ports.unfinished.open_runs(HOUR, 10)) == 1


async def test_started_firings_without_a_run_come_oldest_first_from_a_time_on(
    ports: wiring.Ports, mine: Subscription, now: datetime
):
    later = now + timedelta(minutes=1)
    old, new = await store(ports, mine, "a", now), await store(ports, mine, "b", later)
    await open_run(ports, await store(ports, mine, "with-run", now), now)
    await ports.outbox.add([FiringRequest(mine.id, "manual", "not-started", now)], now)
    found = await ports.unfinished.firings_without_run(NONE, 10)
    assert [(each.firing, each.started_at) for each in found] == [(old, now), (new, later)]
    assert [each.firing for each in await ports.unfinished.firings_without_run(NONE, 1)] == [old]
    since = await ports.unfinished.firings_without_run(NONE, 10, since=later)
    assert [each.firing for each in since] == [new]
