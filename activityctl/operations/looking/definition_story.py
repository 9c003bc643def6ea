"""Read what a person asks about a definition: who uses it, how its runs do, who changed it."""

import asyncio
from collections.abc import Awaitable, Sequence
from datetime import datetime
from typing import Final

from activityctl.domain.gitops.history import PastChange
from activityctl.domain.manifests.subscription import Subscription, SubscriptionStatus
from activityctl.domain.runs.definition_facts import definition_facts_view
from activityctl.domain.timing.preview import occurrence_view
from activityctl.domain.values.json_form import View, format_timestamp
from activityctl.domain.values.selection import Selection
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.operations.looking.get import ObjectViews
from activityctl.operations.looking.upcoming import TimeRange, merge_upcoming, upcoming_of
from activityctl.ports import Catalog, Facts, Outbox, ScheduleRegister

MOST_OWNERS: Final = 1_000
"""The figures are of the runs of at most so many subscriptions."""
MOST_SUBSCRIBERS: Final = 20
NEXT_FIRINGS: Final = 5
_CHANGES: Final = 50


@frozen_dataclass
class DefinitionStory:
    """Reads the story of a definition from the ports."""

    views: ObjectViews
    catalog: Catalog
    register: ScheduleRegister
    outbox: Outbox
    facts: Facts

    async def tell(self, name: str, server_time: Awaitable[datetime]) -> View:
        """Return the definition with its subscriptions, figures, next firings and changes."""
        described, owners, changes, now = await asyncio.gather(
            self.views.describe("definitions", name),
            self.catalog.subscriptions(Selection(definition=name, limit=MOST_OWNERS)),
            self.catalog.history("ActivityDefinition", name, limit=_CHANGES),
            server_time,
        )
        names = {str(owner.id): owner.name for owner in owners}
        subscribers, firings, facts = await asyncio.gather(
            self._subscribers(owners),
            self._next_firings(owners, now),
            self.facts.of_definition(name, names, now),
        )
        revisions = [_with_origin(each, changes) for each in described.pop("revisions")]
        return {
            **described,
            "subscribers": subscribers,
            "nextFirings": firings,
            **definition_facts_view(facts),
            "revisions": revisions,
        }

    async def _subscribers(self, owners: Sequence[Subscription]) -> list[View]:
        """Return the subscriptions, those in trouble first."""
        active = SubscriptionStatus.ACTIVE
        urgent = sorted(owners, key=lambda each: each.status is active and not each.failures)
        views = await self.views.subscription_views(urgent[:MOST_SUBSCRIBERS])
        return [{key: view[key] for key in _SUBSCRIBER_KEYS} for view in views]

    async def _next_firings(self, owners: Sequence[Subscription], now: datetime) -> list[View]:
        times = await self.register.next_times([owner.id for owner in owners])
        if not times:
            return []
        soonest = sorted(
            (owner for owner in owners if owner.id in times), key=lambda owner: times[owner.id]
        )[:NEXT_FIRINGS]
        span, calendars = TimeRange(now, None, NEXT_FIRINGS), self.catalog.calendars
        found = await asyncio.gather(
            *(
                upcoming_of(self.register, self.outbox, owner, calendars, span, now)
                for owner in soonest
            )
        )
        firings, _ = merge_upcoming(found, NEXT_FIRINGS)
        return [occurrence_view(subscription, each) for subscription, each in firings]


_SUBSCRIBER_KEYS: Final = (
    "name",
    "status",
    "failures",
    "pauseReason",
    "lastRun",
    "nextDueAt",
    "openDeadLetters",
)


def _with_origin(revision: View, newest_first: Sequence[PastChange]) -> View:
    """Return the view of a revision with who brought it, if that is still on record."""
    of_it = [past for past in newest_first if past.revision_id == revision["id"]]
    first = min(of_it, key=lambda past: past.number, default=None)
    return {
        **revision,
        "actor": None if first is None else first.origin.actor,
        "command": None if first is None else first.origin.command,
        "sourceCommit": None if first is None else first.origin.source_commit,
        "changedAt": None if first is None else format_timestamp(first.at),
    }
