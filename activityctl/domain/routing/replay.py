"""Refeed: events of the archive fed again to triggers as they are now, page after page.

What an event means is decided as on arrival, by `routing` and `gathering_round`; reading the
events and writing what they led to is done elsewhere.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, TypeVar

from activityctl.domain.events.gathering import Gathering, GatheringKey
from activityctl.domain.events.stored_event import ArrivedEvent, Verdict, VerdictOutcome
from activityctl.domain.routing.gathering_round import (
    GatheringRound,
    gathering_inputs,
    gathering_listeners,
)
from activityctl.domain.routing.index import EventIndex, Listener
from activityctl.domain.routing.routing import (
    EventFiring,
    EventMatches,
    RefusedFiring,
    Routed,
    RoutingState,
    route_matches,
)
from activityctl.domain.timing.window import DaysByCalendar
from activityctl.domain.values.ids import EventId, replay_key

_Keyed = TypeVar("_Keyed", EventFiring, RefusedFiring, Verdict)
_REFUSED: Final = "/refused"
_ENDED: Final = "the replay's time ended while it waited for others"


@dataclass(frozen=True, slots=True)
class ReplayedPage:
    """What a page of events led to."""

    firings: tuple[EventFiring, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    """One for each event and trigger; it replaces what an earlier page said of them."""
    refused: tuple[RefusedFiring, ...] = ()
    """Firings that may not start: each is a run that has ended."""


class EventReplay:
    """Feeds events to listeners in the order of their arrival, each page once.

    A firing's key is that of the replay and of its first event, so a repeat makes the same one.
    Triggers that gather do so apart from what waits with them now, by the times of arrival.
    Paused subscriptions are fed too: a person asked.
    """

    def __init__(
        self, replay: str, listeners: Iterable[Listener], calendars: DaysByCalendar
    ) -> None:
        whole = list(listeners)
        self._replay = replay
        self._calendars = calendars
        self._gathering_listeners = gathering_listeners(whole)
        self._index = EventIndex(part for one in whole for part in one.each_part())
        self._gatherings: dict[GatheringKey, Gathering] = {}
        self._kept: dict[EventId, ArrivedEvent] = {}
        """Waiting events whose content decides on the order of runs."""

    @property
    def waiting(self) -> int:
        """How many events still wait for others."""
        return sum(len(one.events) for one in self._gatherings.values())

    def replay_page(self, events: Sequence[ArrivedEvent], now: datetime) -> ReplayedPage:
        """Return what these events lead to; they arrived after those of earlier pages."""
        matches = [EventMatches(event, self._index.matches(event.document)) for event in events]
        until = events[-1].arrived_at if events else now
        return self._fed(matches, until, now)

    def end(self, until: datetime, now: datetime) -> ReplayedPage:
        """Return what the time from the last event up to `until` leads to.

        What still waits then is dropped: nothing of it would come after.
        """
        found = self._fed([], until, now)
        left = [
            Verdict(event.id, *key[:2], VerdictOutcome.DROPPED, now, _ENDED, replay=self._replay)
            for key, one in self._gatherings.items()
            for event in one.events
        ]
        return replace(found, verdicts=(*found.verdicts, *left))

    def _fed(self, matches: Sequence[EventMatches], until: datetime, now: datetime) -> ReplayedPage:
        circumstances = RoutingState(now, calendars=self._calendars)
        arrivals, errors = gathering_inputs(matches, now)
        found = GatheringRound(self._gatherings.values(), self._gathering_listeners, circumstances)
        for arrival in arrivals:
            found.take(arrival)
        found.advance_time(until)
        documents = self._kept | {one.event.id: one.event for one in matches}
        gathered = found.routed(documents)
        self._keep(gathered, documents)
        routed = route_matches(matches, circumstances)
        verdicts = (*routed.verdicts, *errors, *gathered.replaced_verdicts)
        return ReplayedPage(
            tuple(self._marked(one, now) for one in (*routed.firings, *gathered.firings)),
            tuple(replace(self._keyed(one), replay=self._replay) for one in verdicts),
            tuple(self._keyed(one) for one in (*routed.refused, *gathered.refused)),
        )

    def _keep(self, gathered: Routed, documents: dict[EventId, ArrivedEvent]) -> None:
        for key in gathered.emptied:
            del self._gatherings[key]
        self._gatherings |= {one.key: one for one in gathered.gatherings}
        self._kept = {
            event.id: documents[event.id]
            for key, one in self._gatherings.items()
            if self._needs_documents(key)
            for event in one.events
        }

    def _needs_documents(self, key: GatheringKey) -> bool:
        listener = self._gathering_listeners[key.subscription_id, key.trigger]
        return listener.event.ordered and listener.concurrency_key is not None

    def _marked(self, firing: EventFiring, now: datetime) -> EventFiring:
        """Return the firing as the replay's, behind those that are due already."""
        return replace(self._keyed(firing), fires_at=max(firing.fires_at, now))

    def _keyed(self, one: _Keyed) -> _Keyed:
        """Return it with the key of this replay.

        That of a refused firing is another, so that the firing can start when a repeat of the
        replay finds that it may.
        """
        key = one.firing_key
        if key is None:
            return one
        is_refused = isinstance(one, RefusedFiring) or (
            isinstance(one, Verdict) and one.outcome is VerdictOutcome.SKIPPED
        )
        name = f"{key}{_REFUSED}" if is_refused else key
        return replace(one, firing_key=replay_key(self._replay, name))
