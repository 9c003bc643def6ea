"""An event store in memory for tests of the router alone."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from activityctl.domain.events.stored_event import ArrivedEvent
from activityctl.domain.routing.index import Listener
from activityctl.domain.routing.routing import Routed
from activityctl.domain.values.ids import EventId
from activityctl.ports import WaitsVersion

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Store:
    """An event store with waiting events and listeners; what is saved is kept in `routed`."""

    def __init__(self, listeners: list[Listener], *events: dict[str, Any]) -> None:
        self.waiting = [
            ArrivedEvent(EventId(str(number)), number, document, NOW)
            for number, document in enumerate(events)
        ]
        self.routed: list[Routed] = []
        self.now = NOW
        self.catalog_version = 1
        self.is_last = True
        self.waits_version = WaitsVersion(0, 0)
        self.events: list[ArrivedEvent] = []
        self._listeners = listeners

    @asynccontextmanager
    async def routing(self, limit: int) -> AsyncIterator["Store"]:
        self.events = self.waiting[:limit]
        yield self

    async def listeners(self) -> list[Listener]:
        return self._listeners

    async def paused(self, _woken: object) -> frozenset[str]:
        return frozenset()

    async def gatherings(self, *_: object) -> list[object]:
        return []

    async def save(self, routed: Routed, _now: datetime) -> None:
        self.routed.append(routed)
        self.waiting = [event for event in self.waiting if event.id not in routed.events]

    async def seconds_to_due(self) -> None:
        return None
