"""The log in memory."""

from collections.abc import Sequence
from datetime import datetime

from activityctl.adapters.memory.state import MemoryState
from activityctl.domain.values.log import Cursor, LogEntry


class MemoryLogbook:
    """The Logbook port."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    async def append(self, entries: Sequence[LogEntry]) -> None:
        """Add entries and wake those who follow."""
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
        """Return the next entries and the cursor after them."""
        found = [
            (place, entry)
            for place, entry in self._state.log
            if entry.subscription_id == subscription_id
            and place > after
            and (since is None or entry.created_at >= since)
            and run_id in (None, entry.run_id)
        ][:limit]
        return [entry for _, entry in found], found[-1][0] if found else after

    async def tail(self, subscription_id: str, count: int) -> Cursor:
        """Return the cursor before the last `count` entries."""
        places = [
            place for place, entry in self._state.log if entry.subscription_id == subscription_id
        ]
        return places[-count - 1] if len(places) > count else Cursor()
