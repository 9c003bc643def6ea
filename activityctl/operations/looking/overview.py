"""Read the current figures, and the subscriptions and triggers that need attention."""

from typing import Final

from activityctl.domain.manifests.subscription import Subscription, SubscriptionStatus
from activityctl.domain.runs.metrics_snapshot import MetricsSnapshot
from activityctl.domain.runs.worker import LoopTrouble
from activityctl.domain.values.selection import Selection
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.ports import (
    Catalog,
    ChainStore,
    ChainSummary,
    EventStore,
    FailingFirings,
    MetricsSource,
    Outbox,
    StuckRuns,
    StuckSummary,
    Workers,
)

_MOST: Final = 10_000


@frozen_dataclass
class UnreadableTrigger:
    """A stored event trigger that cannot be read."""

    subscription: str
    """The name of the subscription."""
    trigger: str
    reason: str


@frozen_dataclass
class WorkerTrouble:
    """A loop that fails, and its worker: host and pid."""

    worker: str
    trouble: LoopTrouble


@frozen_dataclass
class Overview:
    """The figures of one moment, and what needs attention."""

    figures: MetricsSnapshot
    auto_paused: tuple[Subscription, ...]
    """Subscriptions that `pauseAfter` paused and that are not resumed yet."""
    unreadable: tuple[UnreadableTrigger, ...] = ()
    """Stored event triggers that cannot be read, so no event starts a run of them."""
    failing: FailingFirings | None = None
    """Firings whose start failed and is tried again; None if there are none."""
    troubles: tuple[WorkerTrouble, ...] = ()
    """Loops of living workers that fail."""
    stuck: StuckSummary | None = None
    """Runs whose workflow cannot go on; None if there are none."""
    chains: tuple[ChainSummary, ...] = ()
    """How far the chains with triggers are read."""


async def troubles_of(workers: Workers) -> tuple[WorkerTrouble, ...]:
    """Return the loops of living workers that fail."""
    return tuple(
        WorkerTrouble(f"{worker.host} pid {worker.pid}", trouble)
        for worker in await workers.alive()
        for trouble in worker.troubles
    )


async def overview(
    catalog: Catalog,
    metrics: MetricsSource,
    events: EventStore,
    outbox: Outbox,
    workers: Workers,
    stuck_runs: StuckRuns,
    *,
    chains: ChainStore | None = None,
) -> Overview:
    """Return the figures of this moment, and what needs attention."""
    figures = await metrics.snapshot()
    unreadable = [
        UnreadableTrigger(owner.name, listener.trigger, listener.fault or "")
        for listener in await events.unreadable()
        for owner in [await catalog.find_subscription(listener.subscription)]
    ]
    return Overview(
        figures,
        await auto_paused(catalog, figures),
        tuple(unreadable),
        await outbox.failing(),
        await troubles_of(workers),
        await stuck_runs.summary(),
        () if chains is None else tuple(await chains.summary()),
    )


async def auto_paused(catalog: Catalog, figures: MetricsSnapshot) -> tuple[Subscription, ...]:
    """Return the subscriptions that paused themselves and are not resumed."""
    if not figures.subscriptions.get(SubscriptionStatus.PAUSED):
        return ()
    paused = await catalog.subscriptions(
        Selection(statuses=(SubscriptionStatus.PAUSED,), limit=_MOST)
    )
    return tuple(subscription for subscription in paused if subscription.paused_by_run is not None)
