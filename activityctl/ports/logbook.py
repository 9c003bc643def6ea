"""Ports for the log entries of subscriptions and for metrics."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from activityctl.domain.runs.metrics_snapshot import MetricsSnapshot
from activityctl.domain.values.log import Cursor, LogEntry


class Logbook(Protocol):
    """The logs of all subscriptions."""

    async def append(self, entries: Sequence[LogEntry]) -> None:
        """Add entries and wake the readers that follow the log."""
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
        """Return the next entries after the cursor, oldest first, and the cursor after them."""
        ...

    async def tail(self, subscription_id: str, count: int, run_id: str | None = None) -> Cursor:
        """Return the cursor before the last `count` entries, of one run or of all."""
        ...


class MetricsSource(Protocol):
    """The numbers behind the metrics."""

    async def snapshot(self) -> MetricsSnapshot:
        """Return the current numbers, by Postgres' clock."""
        ...
