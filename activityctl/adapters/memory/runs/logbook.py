"""The log in memory."""

import re
from collections.abc import Sequence
from dataclasses import replace

from activityctl.adapters.memory.state import MemoryState
from activityctl.domain.values.log import Cursor, LogEntry, LogFilter, LogNews, end_of


class MemoryLogbook:
    """Implements the Logbook port."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    async def append(self, entries: Sequence[LogEntry]) -> None:
        """Add the entries and wake the readers that follow the log."""
        self._state.write_log_entries(entries, again=True)

    async def page(
        self, wanted: LogFilter, after: Cursor, *, limit: int
    ) -> tuple[list[LogEntry], Cursor]:
        """Return the next entries after the cursor, and the cursor after them."""
        found = [
            (cursor, entry)
            for cursor, entry in self._state.log
            if cursor > after and wanted.admits(self._named(entry))
        ][:limit]
        return [entry for _, entry in found], found[-1][0] if found else after

    async def tail(self, wanted: LogFilter, count: int) -> Cursor:
        """Return the cursor before the last `count` of these entries."""
        cursors = [cursor for cursor, entry in self._state.log if wanted.admits(self._named(entry))]
        return cursors[-count - 1] if len(cursors) > count else Cursor()

    async def last(self, wanted: LogFilter, count: int) -> tuple[list[LogEntry], Cursor]:
        """Return the last `count` of these entries, oldest first, and the cursor after all."""
        entries = [entry for _, entry in self._state.log if wanted.admits(self._named(entry))]
        end = self._state.log[-1][0] if self._state.log else Cursor()
        return entries[-count:] if count else [], end

    async def news(self, subscription_ids: Sequence[str], after: Cursor, *, limit: int) -> LogNews:
        """Return the next entries of these subscriptions after the cursor, oldest first."""
        entries, cursor = await self.page(LogFilter(tuple(subscription_ids)), after, limit=limit)
        end = cursor if len(entries) == limit else end_of(len(self._state.log))
        return LogNews(entries, end, is_held_back=False)

    async def matches(self, patterns: Sequence[str], texts: Sequence[str]) -> list[list[int]]:
        """Return for each regular expression the positions of the texts in which it is found."""
        return [
            [place for place, text in enumerate(texts) if re.search(pattern, text)]
            for pattern in patterns
        ]

    async def is_held_back(self, wanted: LogFilter) -> bool:  # noqa: ARG002  # nothing is, here
        """Return False: a transaction in memory writes its entries when it commits."""
        return False

    def _named(self, entry: LogEntry) -> LogEntry:
        """Return the entry with the name of its task, if it has only the id."""
        row = self._state.tasks.get(str(entry.metadata.get("taskId")))
        if row is None or entry.metadata.get("task") is not None:
            return entry
        facts = {**entry.metadata, "task": row.task.name, "index": row.task.index}
        return replace(entry, metadata=facts)
