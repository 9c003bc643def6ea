"""The port of what a person who is called asks first: of a subscription, and of everything."""

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from activityctl.domain.runs.at_work import AtWork
from activityctl.domain.runs.definition_facts import DefinitionFacts
from activityctl.domain.runs.subscription_facts import SubscriptionFacts


class Facts(Protocol):
    """Reads figures in a time that does not depend on how many runs there have been."""

    async def of_subscription(
        self, subscription_id: str, now: datetime, paused_at: datetime | None = None
    ) -> SubscriptionFacts:
        """Return the facts of this moment; `paused_at` is when it was paused, if it is."""
        ...

    async def of_definition(
        self, definition: str, owners: Mapping[str, str], now: datetime
    ) -> DefinitionFacts:
        """Return the facts of the runs that these subscriptions (id, name) had by a definition."""
        ...

    async def at_work(self, text: str | None = None) -> AtWork:
        """Return what is going on, without the workers; only runs that have the text are listed.

        The text is looked for in the id of the run and in the names of its subscription,
        definition and trigger.
        """
        ...
