"""The story of a run says whether it stays in the queue because its subscription is paused."""

from collections.abc import Awaitable, Callable
from datetime import datetime

from activityctl import wiring
from activityctl.domain.manifests.subscription import Subscription, SubscriptionStatus
from activityctl.domain.runs.run import Run, RunStatus
from activityctl.domain.timing.firing import FiringRequest
from activityctl.domain.values import ids
from activityctl.operations.looking.describe import describe

MakeRun = Callable[..., Awaitable[Run]]


async def test_a_pause_holds_queued_runs_and_no_others(
    ports: wiring.Ports, mine: Subscription, make_run: MakeRun, now: datetime
):
    running = await make_run("a")
    queued = await make_run("b", status=RunStatus.QUEUED)
    await ports.outbox.add([FiringRequest(mine.id, "manual", "c", now)], now)
    accepted = ids.run_id(mine.id, "manual", "c")

    async def held() -> list[bool]:
        stories = [await describe(ports, "runs", run) for run in (running.id, queued.id, accepted)]
        return [story["heldByPause"] for story in stories]

    assert await held() == [False, False, False]
    await ports.catalog.set_subscription_status(mine.id, SubscriptionStatus.PAUSED, now)
    assert await held() == [False, True, False]
