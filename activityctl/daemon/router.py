"""The router: finds out whom the events that have come wake, and decides on their firings."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

from activityctl.daemon.gatherer import gather
from activityctl.domain.arrival import ArrivedEvent
from activityctl.domain.gathering_round import Standing, standing_of
from activityctl.domain.match_index import Index
from activityctl.domain.routing import Circumstances, Matches, Routed, calendars_of, route
from activityctl.ports import EventStore, Routing

_LOG = logging.getLogger(__name__)
BATCH: Final = 250
"""Events that are routed in one transaction; fewer when they are large."""
_AT_ONCE: Final = 25
"""Events matched before other work of the process has its turn."""
_TRY_AGAIN_AFTER: Final = 0.25
"""Seconds to wait while another process routes, which may be killed at it."""


class Router:
    """Any number of them may work, one at a time; what one leaves the next finds unrouted."""

    def __init__(self, events: EventStore, wake_dispatcher: Callable[[], None]) -> None:
        self._events = events
        self._wake_dispatcher = wake_dispatcher
        self._index = Index(())
        self._standing: Standing = {}
        self._version: int | None = None

    async def route(self) -> float | None:
        """Route until no event waits; return the seconds until it is worth trying again."""
        while True:
            async with self._events.routing(BATCH) as routing:
                if routing is None:
                    return _TRY_AGAIN_AFTER
                routed = await self._decide(routing)
                if routed != Routed(events=()):
                    await routing.save(routed, routing.now)
            if routed.firings:
                self._wake_dispatcher()
            if routing.is_last:
                return await self._events.seconds_to_due()

    async def _decide(self, routing: Routing) -> Routed:
        matches = await self._match(routing.events, await self._index_of(routing))
        woken = {listener.subscription for one in matches for listener in one.listeners}
        names = calendars_of(matches)
        circumstances = Circumstances(
            routing.now,
            await routing.paused(woken) if woken else frozenset(),
            await routing.calendars(names) if names else {},
        )
        routed = route(matches, circumstances)
        return routed + await gather(routing, matches, self._standing, _until(routing))

    async def _index_of(self, routing: Routing) -> Index:
        """Return the index of who listens as of the routing's moment, built once a change."""
        if self._version != routing.catalog_version:
            listeners = await routing.listeners()
            self._index = Index(part for one in listeners for part in one.each_part())
            self._standing = standing_of(listeners)
            self._version = routing.catalog_version
            _LOG.info("listeners read", extra={"triggers": len(self._index)})
        return self._index

    async def _match(self, events: Sequence[ArrivedEvent], index: Index) -> list[Matches]:
        matches = []
        for number, event in enumerate(events, 1):
            matches.append(Matches(event, index.matches(event.document)))
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)
        return matches


def _until(routing: Routing) -> datetime:
    """Return up to when all that came is routed once this batch is."""
    return routing.now if routing.is_last else routing.events[-1].arrived_at
