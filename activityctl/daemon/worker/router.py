"""The router: matches stored events with triggers, and stores the firings and verdicts."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Final

from activityctl.daemon.worker.gathering_routing import GatheringSet, route_gatherings
from activityctl.daemon.worker.wait_routing import WaitRouter
from activityctl.domain.cel.evaluator import Evaluator, evaluating_with
from activityctl.domain.cel.messages import one_line
from activityctl.domain.events.stored_event import ArrivedEvent, Verdict, VerdictOutcome
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
from activityctl.domain.timing.window import DaysByCalendar
from activityctl.domain.values.failure_kind import is_outage
from activityctl.ports import EventStore, Routing

_LOG = logging.getLogger(__name__)
BATCH: Final = 250
"""The most events of one transaction; fewer when they are large or match many triggers."""
MOST_FOUND: Final = 2_000
"""After this many matches and filter errors, no further event joins the transaction."""
_TRY_AGAIN_AFTER: Final = 0.25
"""Seconds to wait while another process routes; that process may be killed meanwhile."""
_LONGEST_BATCH: Final = 1.0
"""After so many seconds, no further event joins the transaction."""
_TRIES: Final = 3
"""After so many failures of an event that is routed alone, it gets them as its verdict."""
_MOST_WARNINGS: Final = 10
_NOTHING: Final = Routed(events=())


class Router:
    """Routes events; of several routers one works at a time, and another continues its work.

    Filters are compiled and events matched in a thread: with thousands of subscriptions that
    takes seconds, and the event loop of the process must not be blocked for so long.
    """

    def __init__(
        self,
        events: EventStore,
        wake_dispatcher: Callable[[], None],
        evaluator: Callable[[], Evaluator | None] = lambda: None,
    ) -> None:
        """Remember `evaluator`, which returns the evaluator for the filters of one event."""
        self._events = events
        self._wake_dispatcher = wake_dispatcher
        self._evaluator = evaluator
        self._limit = BATCH
        """The most events of the next transaction; after a failure it begins at one again."""
        self._failures = 0
        self._last_failure: Exception | None = None
        self._index = EventIndex(())
        self._gathering_listeners: GatheringListeners = {}
        self._calendars: DaysByCalendar = {}
        self._version: int | None = None
        self._waits = WaitRouter(evaluator)

    async def route(self) -> float | None:
        """Route until no event waits; return the seconds until the next call is needed, or None.

        The next call is needed when a gathering is due, or soon if another process routes now.
        """
        while True:
            try:
                async with self._events.routing(self._limit) as routing:
                    if routing is None:
                        return _TRY_AGAIN_AFTER
                    index = await self._index_of(routing)
                    with self._counting_failures():
                        routed = await self._route_or_give_up(routing, index)
            except Exception as error:  # any fault of one event, ours too, would stop all others
                if self._limit == 1 or is_outage(error):
                    raise
                _LOG.warning("events are routed one by one, because one fails: %s", error)
                self._limit = 1
                continue
            self._failures, self._last_failure = 0, None
            self._limit = min(2 * self._limit, BATCH)
            if routed.firings:
                self._wake_dispatcher()
            if any(place is not None for _, place in routed.looked):
                continue  # a wait has older events left to look at
            if routing.is_last and len(routed.events) == len(routing.events):
                return await self._events.seconds_to_due()

    @contextmanager
    def _counting_failures(self) -> Iterator[None]:
        """Count the failures of one event alone, but not those of servers that do not answer."""
        try:
            yield
        except Exception as error:  # counted, and raised again
            if self._limit == 1 and not is_outage(error):
                self._failures += 1
                self._last_failure = error
            raise

    async def _route_or_give_up(self, routing: Routing, index: EventIndex) -> Routed:
        """Decide and save; after some failures of one event, save them as its verdicts."""
        failure = self._last_failure
        if failure is None or len(routing.events) != 1 or self._failures < _TRIES:
            routed = await self._decide(routing, index)
        else:
            event = routing.events[0]
            _LOG.error("event cannot be routed", extra={"event": event.id}, exc_info=failure)
            routed = _give_up(index, event, failure, routing.now)
        if routed != _NOTHING:
            await routing.save(routed, routing.now)
        return routed

    async def _decide(self, routing: Routing, index: EventIndex) -> Routed:
        matches = (
            await asyncio.to_thread(_match, index, routing.events, self._evaluator)
            if routing.events
            else []
        )
        woken = {listener.subscription for match in matches for listener in match.listeners}
        paused = await routing.paused(woken) if woken else frozenset[str]()
        state = RoutingState(routing.now, paused, self._calendars)
        with evaluating_with(self._evaluator()):
            routed = await asyncio.to_thread(route_matches, matches, state) if matches else _NOTHING
            answers, looked = await self._waits.answers(routing, [each.event for each in matches])
            routed += Routed((), answers=tuple(answers), looked=tuple(looked.items()))
            return routed + await route_gatherings(
                routing,
                matches,
                GatheringSet(self._gathering_listeners, self._calendars),
                _until(routing, matches),
                self._evaluator,
            )

    async def _index_of(self, routing: Routing) -> EventIndex:
        """Return the index of the current listeners; it is built again after each change.

        Listeners and calendars are those of one apply; so a firing is wholly of one set.
        """
        while self._version != routing.catalog_version:
            listeners = await routing.listeners()
            version = routing.catalog_version
            names = calendar_names(listeners)
            self._calendars = await routing.calendars(names) if names else {}
            self._index, self._gathering_listeners = await asyncio.to_thread(_indexed, listeners)
            self._version = version
            _log_listeners(listeners)
        return self._index


def _indexed(listeners: Sequence[Listener]) -> tuple[EventIndex, GatheringListeners]:
    index = EventIndex(part for listener in listeners for part in listener.each_part())
    return index, gathering_listeners(listeners)


def _match(
    index: EventIndex,
    events: Iterable[ArrivedEvent],
    evaluator: Callable[[], Evaluator | None],
) -> list[EventMatches]:
    """Match the events in order; stop after MOST_FOUND matches and errors or after some time.

    So events that took long are recorded soon, and a crash does not make them take long again.
    """
    matches, found = [], 0
    started = time.monotonic()
    for event in events:
        if found >= MOST_FOUND or time.monotonic() - started > _LONGEST_BATCH:
            break
        with evaluating_with(evaluator()):
            matches.append(EventMatches(event, index.matches(event.document)))
        found += len(matches[-1].results)
    return matches


def _give_up(index: EventIndex, event: ArrivedEvent, error: Exception, now: datetime) -> Routed:
    """Return the event as routed, with the error as the verdict of every trigger it concerns."""
    reason = f"the event cannot be routed: {type(error).__name__}: {one_line(str(error))}"
    verdicts = [
        Verdict(event.id, *owner, VerdictOutcome.ERROR, now, reason)
        for owner in dict.fromkeys(
            (listener.subscription, listener.trigger) for listener in index.of_type(event.document)
        )
    ]
    return Routed(events=(event.id,), verdicts=tuple(verdicts))


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
