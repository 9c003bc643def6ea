"""The RunStore port: the input of admission, and the runs before a run."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta

from activityctl import wiring
from activityctl.domain.gitops.history import UNKNOWN_ORIGIN
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.subscription import Subscription, SubscriptionStatus
from activityctl.domain.runs.admission import FiringRecord
from activityctl.domain.runs.backfill import Backfill
from activityctl.domain.runs.run import Run, RunStatus
from activityctl.domain.timing.firing import FiringRequest
from activityctl.domain.values import ids
from activityctl.operations.gitops.history import delete

Define = Callable[..., ActivityDefinition]
MakeRun = Callable[..., Awaitable[Run]]


async def test_the_admission_input_of_a_scheduled_firing_has_no_payload(
    ports: wiring.Ports, mine: Subscription, define: Define, now: datetime
):
    facts = await ports.runs.admission_input(FiringRequest(mine.id, "daily", "k", now).ref)
    assert facts is not None
    assert facts.subscription == mine
    assert facts.spec == define("digest").spec
    assert (facts.revision.definition, facts.revision.number) == ("digest", 1)
    assert facts.payload == {}


async def test_the_admission_input_has_the_payload_even_after_dispatch(
    ports: wiring.Ports, mine: Subscription, now: datetime
):
    firing = FiringRequest(mine.id, "manual", "k", now, {"a": [1]})
    await ports.outbox.add([firing], now)
    async with ports.outbox.claimed(1) as claim:
        await claim.dispatched(claim.firings, now)
    facts = await ports.runs.admission_input(firing.ref)
    assert facts is not None
    assert facts.payload == {"a": [1]}
    other = await ports.runs.admission_input(replace(firing, firing_key="other").ref)
    assert other is not None
    assert other.payload == {}


async def test_an_unknown_subscription_has_no_admission_input(ports: wiring.Ports, now: datetime):
    stranger = ids.subscription_id("stranger")
    assert await ports.runs.admission_input(FiringRequest(stranger, "daily", "k", now).ref) is None


async def test_specs_are_those_of_the_revisions(
    ports: wiring.Ports, mine: Subscription, define: Define, now: datetime
):
    facts = await ports.runs.admission_input(FiringRequest(mine.id, "daily", "k", now).ref)
    assert facts is not None
    for _ in range(2):  # from the database, then from the cache
        found = await ports.runs.specs_of([facts.revision.id, "stranger"])
        assert found == {facts.revision.id: define("digest").spec}
    assert await ports.runs.specs_of([]) == {}


async def test_the_admission_input_of_a_deleted_subscription_says_so(
    ports: wiring.Ports, mine: Subscription, now: datetime
):
    await delete(ports.catalog, "Subscription", "mine", lambda: now, UNKNOWN_ORIGIN)
    await delete(ports.catalog, "ActivityDefinition", "digest", lambda: now, UNKNOWN_ORIGIN)
    facts = await ports.runs.admission_input(FiringRequest(mine.id, "daily", "k", now).ref)
    assert facts is not None
    assert facts.subscription.status is SubscriptionStatus.DELETED


async def test_recent_returns_the_latest_ended_runs_with_their_tasks(
    ports: wiring.Ports, make_run: MakeRun, mine: Subscription, now: datetime
):
    minutes = [now + timedelta(minutes=count) for count in range(5)]
    await make_run("b", at=minutes[1], status=RunStatus.FAILED)
    await make_run("a", at=minutes[0], status=RunStatus.SUCCEEDED, tasks=2)
    await make_run("d", at=minutes[3])
    latest = await make_run("e", at=minutes[4], status=RunStatus.SUCCEEDED)
    await make_run("c", at=minutes[2], status=RunStatus.SUCCEEDED, tasks=0)

    async def keys(limit: int, status: RunStatus | None, excluding: str = "") -> list[str]:
        found = await ports.runs.recent(mine.id, limit=limit, status=status, excluding=excluding)
        return [run.firing_key for run, _ in found]

    assert await keys(10, None) == ["e", "c", "b", "a"]
    assert await keys(2, None) == ["e", "c"]
    assert await keys(10, RunStatus.SUCCEEDED) == ["e", "c", "a"]
    assert await keys(10, RunStatus.TIMED_OUT) == []
    assert await keys(2, None, latest.id) == ["c", "b"]
    found = await ports.runs.recent(mine.id, limit=10, status=None, excluding="")
    assert [[task.index for task in tasks] for _, tasks in found] == [[0], [], [0], [0, 1]]
    assert all(task.run_id == run.id for run, tasks in found for task in tasks)
    assert await ports.runs.recent("other", limit=10, status=None, excluding="") == []


async def test_the_admission_input_says_what_is_recorded_of_the_firing(
    ports: wiring.Ports, mine: Subscription, make_run: MakeRun, now: datetime
):
    async def record(firing: FiringRequest, **parts: str) -> FiringRecord | None:
        facts = await ports.runs.admission_input(replace(firing.ref, **parts))
        assert facts is not None
        return facts.record

    firing = FiringRequest(mine.id, "manual", "k", now)
    assert await record(firing) is None
    await ports.outbox.add([firing], now)
    assert await record(firing) == FiringRecord(now, may_start=True)
    assert await record(firing, due_at=(now + timedelta(days=1)).isoformat()) is not None
    assert await record(firing, trigger="other") is None
    assert await record(firing, firing_key="other") is None
    run = await make_run("open")
    opened = await record(FiringRequest(mine.id, "manual", "open", now))
    assert opened == FiringRecord(run.due_at, False, RunStatus.RUNNING)


async def test_a_held_firing_may_not_start(ports: wiring.Ports, mine: Subscription, now: datetime):
    due = now - timedelta(days=1)
    backfill = Backfill(mine.id, "daily", due, now, 1)
    async with ports.backfills.locked(mine.id, "daily", due, now) as locked:
        await locked.hold(backfill, [due])
    facts = await ports.runs.admission_input(backfill.firing(due).ref)
    assert facts is not None
    assert facts.record == FiringRecord(due, may_start=False)


async def test_a_run_knows_the_workflow_that_carries_it(ports: wiring.Ports, make_run: MakeRun):
    run = await make_run("k")
    assert await ports.run_lists.workflow_of(run.id) == f"run/{run.subscription_id}/manual/k"
    assert await ports.run_lists.workflow_of("none") is None
