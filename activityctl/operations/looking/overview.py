"""Read the current figures, and the subscriptions and triggers that need attention."""

from dataclasses import dataclass
from typing import Final

from activityctl.domain.manifests.subscription import Subscription, SubscriptionStatus
from activityctl.domain.runs.metrics_snapshot import MetricsSnapshot
from activityctl.domain.values.selection import Selection
from activityctl.ports import Catalog, EventStore, MetricsSource

_MOST: Final = 10_000


@dataclass(frozen=True, slots=True)
class UnreadableTrigger:
    """A stored event trigger that cannot be read."""

    subscription: str
    """The name of the subscription."""
    trigger: str
    reason: str


@dataclass(frozen=True, slots=True)
class Overview:
    """The figures of one moment, and what needs attention."""

    figures: MetricsSnapshot
    auto_paused: tuple[Subscription, ...]
    """Subscriptions that `pauseAfter` paused and that are not resumed yet."""
    unreadable: tuple[UnreadableTrigger, ...] = ()
    """Stored event triggers that cannot be read, so no event starts a run of them."""


async def overview(catalog: Catalog, metrics: MetricsSource, events: EventStore) -> Overview:
    """Return the figures of this moment, and what needs attention."""
    figures = await metrics.snapshot()
    unreadable = [
        UnreadableTrigger(owner.name, listener.trigger, listener.fault or "")
        for listener in await events.unreadable()
        for owner in [await catalog.find_subscription(listener.subscription)]
    ]
    return Overview(figures, await _auto_paused(catalog, figures), tuple(unreadable))


async def _auto_paused(catalog: Catalog, figures: MetricsSnapshot) -> tuple[Subscription, ...]:
    if not figures.subscriptions.get(SubscriptionStatus.PAUSED):
        return ()
    paused = await catalog.subscriptions(
        Selection(status=SubscriptionStatus.PAUSED.value, limit=_MOST)
    )
    return tuple(subscription for subscription in paused if subscription.paused_by_run is not None)
