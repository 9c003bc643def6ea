"""Port for event sources while requests come: the source itself, and what came to it."""

from datetime import timedelta
from typing import Protocol

from activityctl.domain.manifests.event_source import PresentEventSource
from activityctl.domain.sources.traffic import RefusedRequest, SourceTraffic


class SourceLedger(Protocol):
    """The live event sources, and the counts and refusals of their requests."""

    async def find(self, name: str) -> PresentEventSource | None:
        """Return the live event source of that name; None if there is none."""
        ...

    async def note(
        self, name: str, traffic: SourceTraffic, refused: RefusedRequest | None = None
    ) -> None:
        """Add the counts of one request, and keep it if it was refused.

        Only the last refused requests of a source are kept, and none for longer than a month.
        """
        ...

    async def remove(self, age: timedelta, limit: int) -> int:
        """Remove the oldest refused requests over this age, by Postgres' clock; return how many."""
        ...
