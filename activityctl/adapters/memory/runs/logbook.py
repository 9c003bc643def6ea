"""The log in memory."""

from collections.abc import Sequence
from datetime import datetime

from activityctl.adapters.memory.state import MemoryState
from activityctl.domain.values.log import Cursor, LogEntry


class MemoryLogbook:
    """Implements the Logbook port."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    async def append(self, entries: Sequence[LogEntry]) -> None:
        """Add the entries and wake the readers that follow the log."""
        self._state.write_log_entries(entries)

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
        found = [
            (cursor, entry)
            for cursor, entry in self._state.log
            if entry.subscription_id == subscription_id
            and cursor > after
            and (since is None or entry.created_at >= since)
            and run_id in (None, entry.run_id)
        ][:limit]
        return [entry for _, entry in found], found[-1][0] if found else after

    async def tail(self, subscription_id: str, count: int, run_id: str | None = None) -> Cursor:
        """Return the cursor before the last `count` entries, of one run or of all."""
        cursors = [
            cursor
            for cursor, entry in self._state.log
            if entry.subscription_id == subscription_id and run_id in (None, entry.run_id)
        ]
        return cursors[-count - 1] if len(cursors) > count else Cursor()
