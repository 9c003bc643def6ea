"""The router: finds out whom the events that have come wake, and decides on their firings."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Final

from activityctl.daemon.worker.gathering_routing import route_gatherings
from activityctl.domain.events.stored_event import ArrivedEvent
from activityctl.domain.routing.gathering_round import GatheringListeners, gathering_listeners
from activityctl.domain.routing.index import EventIndex, Listener
from activityctl.domain.routing.listeners import faults_of
from activityctl.domain.routing.routing import (
    EventMatches,
    Routed,
    RoutingState,
    calendar_names,
    route_matches,
)
from activityctl.ports import EventStore, Routing

_LOG = logging.getLogger(__name__)
BATCH: Final = 250
"""Events that are routed in one transaction; fewer when they are large or wake many."""
MOST_FOUND: Final = 2_000
"""Triggers that the events of one transaction wake or fail, after which no further is taken."""
_TRY_AGAIN_AFTER: Final = 0.25
"""Seconds to wait while another process routes, which may be killed at it."""
_TOLD: Final = 10
_NOTHING: Final = Routed(events=())


class Router:
    """Any number of them may work, one at a time; what one leaves the next finds unrouted.

    Filters are compiled and events matched in a thread: with thousands of subscriptions that
    takes seconds, during which the rest of the process has its turn every few milliseconds.
    """

    def __init__(self, events: EventStore, wake_dispatcher: Callable[[], None]) -> None:
        self._events = events
        self._wake_dispatcher = wake_dispatcher
        self._index = EventIndex(())
        self._gathering_listeners: GatheringListeners = {}
        self._version: int | None = None

    async def route(self) -> float | None:
        """Route until no event waits; return the seconds until it is worth trying again."""
        while True:
            async with self._events.routing(BATCH) as routing:
                if routing is None:
                    return _TRY_AGAIN_AFTER
                routed = await self._decide(routing)
                if routed != _NOTHING:
                    await routing.save(routed, routing.now)
            if routed.firings:
                self._wake_dispatcher()
            if routing.is_last and len(routed.events) == len(routing.events):
                return await self._events.seconds_to_due()

    async def _decide(self, routing: Routing) -> Routed:
        index = await self._index_of(routing)
        matches = await asyncio.to_thread(_match, index, routing.events) if routing.events else []
        woken = {listener.subscription for one in matches for listener in one.listeners}
        names = calendar_names(matches)
        circumstances = RoutingState(
            routing.now,
            await routing.paused(woken) if woken else frozenset(),
            await routing.calendars(names) if names else {},
        )
        routed = (
            await asyncio.to_thread(route_matches, matches, circumstances) if matches else _NOTHING
        )
        return routed + await route_gatherings(
            routing, matches, self._gathering_listeners, _until(routing, matches)
        )

    async def _index_of(self, routing: Routing) -> EventIndex:
        """Return the index of who listens as of the routing's moment, built once a change."""
        if self._version != routing.catalog_version:
            listeners = await routing.listeners()
            self._index, self._gathering_listeners = await asyncio.to_thread(_indexed, listeners)
            self._version = routing.catalog_version
            _tell(listeners)
        return self._index


def _indexed(listeners: Sequence[Listener]) -> tuple[EventIndex, GatheringListeners]:
    return EventIndex(part for one in listeners for part in one.each_part()), gathering_listeners(
        listeners
    )


def _match(index: EventIndex, events: Iterable[ArrivedEvent]) -> list[EventMatches]:
    """Match the events up to the one with which they come to MOST_FOUND."""
    matches, found = [], 0
    for event in events:
        if found >= MOST_FOUND:
            break
        matches.append(EventMatches(event, index.matches(event.document)))
        found += len(matches[-1].results)
    return matches


def _until(routing: Routing, matches: Sequence[EventMatches]) -> datetime:
    """Return up to when all that came is routed once these are."""
    is_last = routing.is_last and len(matches) == len(routing.events)
    return routing.now if is_last else matches[-1].event.arrived_at


def _tell(listeners: Sequence[Listener]) -> None:
    faults = faults_of(listeners)
    told = {"triggers": len(listeners), "unreadable": len(faults)}
    _LOG.info("listeners read", extra=told)
    for one in faults[:_TOLD]:
        owner = {"subscription": one.subscription, "trigger": one.trigger}
        _LOG.warning("no event wakes it: %s", one.fault, extra=owner)
