"""The outbox in memory."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime

from activityctl.adapters.memory.state import FiringRow, MemoryState, kept_json
from activityctl.domain import ids
from activityctl.domain.firing_ref import FiringRef, ManualFiring
from activityctl.ports import WORK_CHANNEL


class MemoryClaim:
    """Firings that this claim alone may dispatch."""

    def __init__(self, firings: list[FiringRef]) -> None:
        self.firings = firings
        self.started: dict[str, datetime] = {}

    async def dispatched(self, firings: list[FiringRef], now: datetime) -> None:
        """Mark them as started; kept when the claim ends well."""
        self.started |= {_key(firing): now for firing in firings}


class MemoryOutbox:
    """The Outbox port."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    async def add(self, firings: list[ManualFiring], now: datetime) -> int:
        """Store the firings and wake the dispatcher; return how many keys were new."""
        before = len(self._state.firings)
        for firing in firings:
            kept = replace(firing, payload=kept_json(dict(firing.payload)))
            self._state.firings.setdefault(_key(firing), FiringRow(kept, now))
        self._state.notify(WORK_CHANNEL, "firing")
        return len(self._state.firings) - before

    @asynccontextmanager
    async def claimed(self, limit: int) -> AsyncIterator[MemoryClaim]:
        """Claim the oldest waiting firings, passing over those that others hold."""
        rows = {key: row for key, row in self._waiting().items() if key not in self._state.claimed}
        oldest = sorted(rows, key=lambda key: rows[key].created_at)[:limit]
        claim = MemoryClaim([rows[key].firing.ref for key in oldest])
        self._state.claimed.update(oldest)
        try:
            yield claim
        finally:
            self._state.claimed.difference_update(oldest)
        for key, now in claim.started.items():
            self._state.firings[key] = replace(self._state.firings[key], dispatched_at=now)

    async def waiting(self) -> int:
        """Return how many firings wait to be dispatched."""
        return len(self._waiting())

    def _waiting(self) -> dict[str, FiringRow]:
        return {key: row for key, row in self._state.firings.items() if row.dispatched_at is None}


def _key(firing: FiringRef | ManualFiring) -> str:
    return ids.firing_id(firing.subscription_id, firing.trigger, firing.firing_key)
