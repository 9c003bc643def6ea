"""Ports for the log entries of subscriptions and for metrics."""

from collections.abc import Sequence
from typing import Protocol

from activityctl.domain.runs.metrics_snapshot import MetricsSnapshot
from activityctl.domain.values.log import Cursor, LogEntry, LogFilter, LogNews


class Logbook(Protocol):
    """The logs of all subscriptions."""

    async def append(self, entries: Sequence[LogEntry]) -> None:
        """Add entries and wake the readers that follow the log.

        Those that were there before, with the same time, run, level, text and metadata, are not
        added: a call that was given up may have added them, or may still be carried out later.
        """
        ...

    async def page(
        self, wanted: LogFilter, after: Cursor, *, limit: int
    ) -> tuple[list[LogEntry], Cursor]:
        """Return the next entries after the cursor, oldest first, and the cursor after them.

        UsageError if Postgres does not take the filter's regular expression.
        """
        ...

    async def tail(self, wanted: LogFilter, count: int) -> Cursor:
        """Return the cursor before the last `count` of these entries."""
        ...

    async def last(self, wanted: LogFilter, count: int) -> tuple[list[LogEntry], Cursor]:
        """Return the last `count` of these entries, oldest first, and the cursor after all.

        `page` after the cursor does not read again what was not wanted.
        """
        ...

    async def news(self, subscription_ids: Sequence[str], after: Cursor, *, limit: int) -> LogNews:
        """Return the next entries of these subscriptions after the cursor, oldest first.

        The cursor after them goes on as far as possible, also if there was none. So all that is
        read from there on is new, even that of a subscription which was not asked for until then.
        """
        ...

    async def matches(self, patterns: Sequence[str], texts: Sequence[str]) -> list[list[int]]:
        """Return for each regular expression the positions of the texts in which it is found.

        The answer is that of `page`. TooSlowError if it takes longer than half a second.
        """
        ...

    async def is_held_back(self, wanted: LogFilter) -> bool:
        """Return whether there are entries that `page` does not return yet.

        It returns them when every transaction has ended that began before theirs.
        """
        ...


class MetricsSource(Protocol):
    """The numbers behind the metrics."""

    async def snapshot(self) -> MetricsSnapshot:
        """Return the current numbers, by Postgres' clock."""
        ...
