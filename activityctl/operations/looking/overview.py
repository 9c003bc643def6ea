"""Overview: the figures of this moment, and which subscriptions their own failures have paused."""

from dataclasses import dataclass
from typing import Final

from activityctl.domain.manifests.subscription import Subscription, SubscriptionStatus
from activityctl.domain.runs.metrics_snapshot import MetricsSnapshot
from activityctl.domain.values.selection import Selection
from activityctl.ports import Catalog, EventStore, MetricsSource

_MOST: Final = 10_000


@dataclass(frozen=True, slots=True)
class UnreadableTrigger:
    """An event trigger that as stored cannot be read."""

    subscription: str
    """Its name."""
    trigger: str
    reason: str


@dataclass(frozen=True, slots=True)
class Overview:
    """How things stand at one moment."""

    figures: MetricsSnapshot
    auto_paused: tuple[Subscription, ...]
    """By name: those that `pauseAfter` paused and nobody has resumed."""
    unreadable: tuple[UnreadableTrigger, ...] = ()
    """Event triggers that no event wakes, since as stored they cannot be read."""


async def overview(catalog: Catalog, census: MetricsSource, events: EventStore) -> Overview:
    """Look at how things stand."""
    figures = await census.snapshot()
    unreadable = [
        UnreadableTrigger(owner.name, one.trigger, one.fault or "")
        for one in await events.unreadable()
        for owner in [await catalog.find_subscription(one.subscription)]
    ]
    return Overview(figures, await _auto_paused(catalog, figures), tuple(unreadable))


async def _auto_paused(catalog: Catalog, figures: MetricsSnapshot) -> tuple[Subscription, ...]:
    if not figures.subscriptions.get(SubscriptionStatus.PAUSED):
        return ()
    paused = await catalog.subscriptions(
        Selection(status=SubscriptionStatus.PAUSED.value, limit=_MOST)
    )
    return tuple(one for one in paused if one.paused_by_run is not None)
