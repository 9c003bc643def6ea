"""The Lateness port: late runs and firings are found, and each deadline is noted once."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest_asyncio

from activityctl import wiring
from activityctl.daemon.worker.late_runs import LateRunWatch
from activityctl.domain.gitops.plan import Plan
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.subscription import Subscription, SubscriptionManifest
from activityctl.domain.runs.run import Run, RunStatus
from activityctl.domain.timing.firing import FiringRequest
from activityctl.domain.values import ids
from activityctl.domain.values.selection import Selection

NOW = datetime.now(UTC)
MINUTE = timedelta(minutes=1)
MakeRun = Callable[..., Awaitable[Run]]


@pytest_asyncio.fixture(loop_scope="session")
async def mine(
    ports: wiring.Ports,
    apply: Callable[..., Awaitable[Plan]],
    define: Callable[..., ActivityDefinition],
    subscribe: Callable[..., SubscriptionManifest],
) -> Subscription:
    """A subscription whose runs should start within a minute and end within an hour."""
    slo = {"startWithin": "1m", "endWithin": "1h"}
    await apply(define("digest", slo=slo), subscribe("mine"))
    return await ports.catalog.find_subscription("mine")


async def noted(ports: wiring.Ports) -> list[tuple[str, str]]:
    """Look twice, as two workers do; return the subjects of the events, and the deadlines."""
    watch = LateRunWatch(ports.lateness, ports.events)
    await watch.look()
    await watch.look()
    events = await ports.events.events(Selection(limit=None))
    assert {event.document["type"] for event in events} <= {"activityctl.run.late"}
    return sorted(
        (event.document["data"]["run"], event.document["data"]["deadline"]) for event in events
    )


async def test_late_runs_and_firings_are_noted_once(
    ports: wiring.Ports, make_run: MakeRun, mine: Subscription
):
    long = await make_run("long", at=NOW - 90 * MINUTE)
    await make_run("on time", at=NOW - MINUTE / 2)
    await make_run("quick", at=NOW - 5 * MINUTE, status=RunStatus.SUCCEEDED)
    await make_run("retry", at=NOW - 90 * MINUTE, replay_of=long.id)
    firing = FiringRequest(mine.id, "manual", "waits", NOW - 2 * MINUTE)
    backfilled = FiringRequest(mine.id, "manual", "backfill-2026", NOW - 90 * MINUTE)
    await ports.outbox.add([firing], NOW - 2 * MINUTE)
    await make_run(backfilled.firing_key, at=backfilled.due_at)
    expected = sorted([(long.id, "end"), (firing.ref.run_id, "start")])
    assert await noted(ports) == expected
    (late,) = await ports.lateness.of_runs([firing.ref.run_id])
    assert late.by == firing.due_at + MINUTE
    assert (await ports.metrics.snapshot()).late_runs == {"mine": 2}
    assert ids.run_id(mine.id, "manual", "on time") not in {run for run, _ in expected}


async def test_without_an_slo_nothing_is_late(
    ports: wiring.Ports,
    make_run: MakeRun,
    apply: Callable[..., Awaitable[Plan]],
    define: Callable[..., ActivityDefinition],
):
    await apply(define("digest"))
    await make_run("long", at=NOW - 90 * MINUTE)
    assert await noted(ports) == []
