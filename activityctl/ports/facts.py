"""The port of the facts of a subscription that a person who is called asks for first."""

from datetime import datetime
from typing import Protocol

from activityctl.domain.runs.subscription_facts import SubscriptionFacts


class Facts(Protocol):
    """Reads figures in a time that does not depend on how many runs there have been."""

    async def of_subscription(
        self, subscription_id: str, now: datetime, paused_at: datetime | None = None
    ) -> SubscriptionFacts:
        """Return the facts of this moment; `paused_at` is when it was paused, if it is."""
        ...
