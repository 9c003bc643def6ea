"""Overview: the figures of this moment, and which subscriptions their own failures have paused."""

from dataclasses import dataclass
from typing import Final

from activityctl.domain.figures import Figures
from activityctl.domain.selection import Selection
from activityctl.domain.subscription import Subscription, SubscriptionStatus
from activityctl.ports import Catalog, Census

_MOST: Final = 10_000


@dataclass(frozen=True, slots=True)
class Overview:
    """How things stand at one moment."""

    figures: Figures
    auto_paused: tuple[Subscription, ...]
    """By name: those that `pauseAfter` paused and nobody has resumed."""


async def overview(catalog: Catalog, census: Census) -> Overview:
    """Look at how things stand."""
    figures = await census.figures()
    if not figures.subscriptions.get(SubscriptionStatus.PAUSED):
        return Overview(figures, ())
    paused = await catalog.subscriptions(
        Selection(status=SubscriptionStatus.PAUSED.value, limit=_MOST)
    )
    return Overview(figures, tuple(one for one in paused if one.paused_by_run is not None))
