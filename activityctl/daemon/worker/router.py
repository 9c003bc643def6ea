"""The router: matches stored events with triggers, and stores the firings and verdicts."""

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
"""The most events of one transaction; fewer when they are large or match many triggers."""
MOST_FOUND: Final = 2_000
"""After this many matches and filter errors, no further event joins the transaction."""
_TRY_AGAIN_AFTER: Final = 0.25
"""Seconds to wait while another process routes; that process may be killed meanwhile."""
_MOST_WARNINGS: Final = 10
_NOTHING: Final = Routed(events=())


class Router:
    """Routes events; of several routers one works at a time, and another continues its work.

    Filters are compiled and events matched in a thread: with thousands of subscriptions that
    takes seconds, and the event loop of the process must not be blocked for so long.
    """

    def __init__(self, events: EventStore, wake_dispatcher: Callable[[], None]) -> None:
        self._events = events
        self._wake_dispatcher = wake_dispatcher
        self._index = EventIndex(())
        self._gathering_listeners: GatheringListeners = {}
        self._version: int | None = None

    async def route(self) -> float | None:
        """Route until no event waits; return the seconds until the next call is needed, or None.

        The next call is needed when a gathering is due, or soon if another process routes now.
        """
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
        woken = {listener.subscription for match in matches for listener in match.listeners}
        names = calendar_names(matches)
        state = RoutingState(
            routing.now,
            await routing.paused(woken) if woken else frozenset(),
            await routing.calendars(names) if names else {},
        )
        routed = await asyncio.to_thread(route_matches, matches, state) if matches else _NOTHING
        return routed + await route_gatherings(
            routing, matches, self._gathering_listeners, _until(routing, matches)
        )

    async def _index_of(self, routing: Routing) -> EventIndex:
        """Return the index of the current listeners; it is built again after each change."""
        if self._version != routing.catalog_version:
            listeners = await routing.listeners()
            self._index, self._gathering_listeners = await asyncio.to_thread(_indexed, listeners)
            self._version = routing.catalog_version
            _log_listeners(listeners)
        return self._index


def _indexed(listeners: Sequence[Listener]) -> tuple[EventIndex, GatheringListeners]:
    index = EventIndex(part for listener in listeners for part in listener.each_part())
    return index, gathering_listeners(listeners)


def _match(index: EventIndex, events: Iterable[ArrivedEvent]) -> list[EventMatches]:
    """Match the events in order; stop once they have MOST_FOUND matches and errors."""
    matches, found = [], 0
    for event in events:
        if found >= MOST_FOUND:
            break
        matches.append(EventMatches(event, index.matches(event.document)))
        found += len(matches[-1].results)
    return matches


def _until(routing: Routing, matches: Sequence[EventMatches]) -> datetime:
    """Return the time up to which all stored events are routed once these are."""
    is_last = routing.is_last and len(matches) == len(routing.events)
    return routing.now if is_last else matches[-1].event.arrived_at


def _log_listeners(listeners: Sequence[Listener]) -> None:
    faults = faults_of(listeners)
    counts = {"triggers": len(listeners), "unreadable": len(faults)}
    _LOG.info("listeners read", extra=counts)
    for listener in faults[:_MOST_WARNINGS]:
        owner = {"subscription": listener.subscription, "trigger": listener.trigger}
        _LOG.warning(
            "trigger cannot be read, so no event starts it: %s", listener.fault, extra=owner
        )
