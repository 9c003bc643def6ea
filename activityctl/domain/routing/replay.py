"""EventReplay: routes archived events again, page by page, to the triggers as they are now.

The same rules as on arrival apply, from `routing` and `gathering_round`. Events are read and
results are written elsewhere.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
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
from activityctl.frozen_dataclass import frozen_dataclass

_WithKey = TypeVar("_WithKey", EventFiring, RefusedFiring, Verdict)
_REFUSED: Final = "/refused"
_ENDED: Final = "the replay ended while the event waited for other events"


@frozen_dataclass
class ReplayedPage:
    """The firings and verdicts of a page of events."""

    firings: tuple[EventFiring, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    """One for each event and trigger; it replaces the verdict of an earlier page."""
    refused: tuple[RefusedFiring, ...] = ()
    """Firings that may not start; each becomes a run that has ended."""


class EventReplay:
    """Routes archived events to listeners in the order of their arrival, each page once.

    The key of a firing is made of the replay's id and the first event's id, so that a repeated
    replay makes the same firings. Gatherings of a replay are separate from the present ones and
    use the times of arrival. Paused subscriptions get the events too, because a person asked for
    the replay.
    """

    def __init__(
        self, replay: str, listeners: Iterable[Listener], calendars: DaysByCalendar
    ) -> None:
        triggers = list(listeners)
        self._replay = replay
        self._calendars = calendars
        self._gathering_listeners = gathering_listeners(triggers)
        self._index = EventIndex(part for trigger in triggers for part in trigger.each_part())
        self._gatherings: dict[GatheringKey, Gathering] = {}
        self._kept: dict[EventId, ArrivedEvent] = {}
        """Waiting events whose content decides the order of runs."""

    @property
    def waiting(self) -> int:
        """How many events still wait for others."""
        return sum(len(gathering.events) for gathering in self._gatherings.values())

    def replay_page(self, events: Sequence[ArrivedEvent], now: datetime) -> ReplayedPage:
        """Return the results of these events, which arrived after those of earlier pages."""
        matches = [EventMatches(event, self._index.matches(event.document)) for event in events]
        until = events[-1].arrived_at if events else now
        return self._route(matches, until, now)

    def end(self, until: datetime, now: datetime) -> ReplayedPage:
        """Return the results of the time from the last event up to `until`.

        Events that still wait then are dropped, because no more events follow.
        """
        page = self._route([], until, now)
        dropped = [
            Verdict(event.id, *key[:2], VerdictOutcome.DROPPED, now, _ENDED, replay=self._replay)
            for key, gathering in self._gatherings.items()
            for event in gathering.events
        ]
        return replace(page, verdicts=(*page.verdicts, *dropped))

    def _route(
        self, matches: Sequence[EventMatches], until: datetime, now: datetime
    ) -> ReplayedPage:
        state = RoutingState(now, calendars=self._calendars)
        arrivals, errors = gathering_inputs(matches, now)
        gathering = GatheringRound(self._gatherings.values(), self._gathering_listeners, state)
        for arrival in arrivals:
            gathering.take(arrival)
        gathering.advance_time(until)
        documents = self._kept | {match.event.id: match.event for match in matches}
        gathered = gathering.routed(documents)
        self._keep(gathered, documents)
        routed = route_matches(matches, state)
        verdicts = (*routed.verdicts, *errors, *gathered.replaced_verdicts)
        return ReplayedPage(
            tuple(self._as_replayed(each, now) for each in (*routed.firings, *gathered.firings)),
            tuple(replace(self._with_replay_key(each), replay=self._replay) for each in verdicts),
            tuple(self._with_replay_key(each) for each in (*routed.refused, *gathered.refused)),
        )

    def _keep(self, gathered: Routed, documents: dict[EventId, ArrivedEvent]) -> None:
        for key in gathered.emptied:
            del self._gatherings[key]
        self._gatherings |= {gathering.key: gathering for gathering in gathered.gatherings}
        self._kept = {
            event.id: documents[event.id]
            for key, gathering in self._gatherings.items()
            if self._needs_documents(key)
            for event in gathering.events
        }

    def _needs_documents(self, key: GatheringKey) -> bool:
        listener = self._gathering_listeners[key.subscription_id, key.trigger]
        return listener.event.ordered and listener.concurrency_key is not None

    def _as_replayed(self, firing: EventFiring, now: datetime) -> EventFiring:
        """Return the firing with the replay's key; it does not start before now."""
        return replace(self._with_replay_key(firing), fires_at=max(firing.fires_at, now))

    def _with_replay_key(self, item: _WithKey) -> _WithKey:
        """Return the item with the firing key of this replay.

        A refused firing gets a different key, so that the firing can still start when the replay
        is repeated and it may start then.
        """
        key = item.firing_key
        if key is None:
            return item
        is_refused = isinstance(item, RefusedFiring) or (
            isinstance(item, Verdict) and item.outcome is VerdictOutcome.SKIPPED
        )
        name = f"{key}{_REFUSED}" if is_refused else key
        return replace(item, firing_key=replay_key(self._replay, name))
