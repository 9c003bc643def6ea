"""What was said of every subscription, and the figures of everything."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from activityctl.domain.runs.metrics_snapshot import MetricsSnapshot
from activityctl.domain.values.log import Cursor, LogEntry


class Logbook(Protocol):
    """The log of every subscription."""

    async def append(self, entries: Sequence[LogEntry]) -> None:
        """Add entries and wake those who follow."""
        ...

    async def page(
        self,
        subscription_id: str,
        after: Cursor,
        *,
        limit: int,
        since: datetime | None = None,
        run_id: str | None = None,
    ) -> tuple[list[LogEntry], Cursor]:
        """Return the next entries after the cursor, and the cursor after them."""
        ...

    async def tail(self, subscription_id: str, count: int) -> Cursor:
        """Return the cursor before the last `count` entries."""
        ...


class MetricsSource(Protocol):
    """How many of everything there are."""

    async def snapshot(self) -> MetricsSnapshot:
        """Count everything as it stands now, by Postgres' clock."""
        ...
