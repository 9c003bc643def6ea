"""A round of gatherings: what a batch of events, and the time, make of all that they concern.

What becomes of one gathering is decided in `gathering`, where a firing is placed in `routing`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from activityctl.domain.events.gathering import (
    GatheredEvent,
    Gathering,
    GatheringFired,
    GatheringKey,
    GatheringOutcome,
    GatheringPolicy,
    WaitingEvents,
    add_event,
    gathering_policy_of,
    pattern_hash,
)
from activityctl.domain.events.stored_event import ArrivedEvent, Verdict, VerdictOutcome
from activityctl.domain.routing.index import Listener
from activityctl.domain.routing.routing import (
    EventFiring,
    EventMatches,
    RefusedFiring,
    Routed,
    RoutingState,
    make_event_firing,
)
from activityctl.domain.routing.trigger_match import TriggerKey, match_triggers
from activityctl.domain.values.ids import EventId, canonical_json

GatheringListeners = Mapping[TriggerKey, Listener]
"""Every trigger that gathers events, as it stands."""

_PAUSED = "the subscription is paused"


@dataclass(frozen=True, slots=True)
class GatheringInput:
    """An event that a trigger gathers."""

    event: ArrivedEvent
    key: GatheringKey
    parts: tuple[str, ...]
    """The names of those that it counts for."""


@dataclass(frozen=True, slots=True)
class DueGathering:
    """A trigger that its events have made due."""

    listener: Listener
    events: WaitingEvents
    at: datetime

    @property
    def firing_key(self) -> EventId:
        """The first event's id: of one trigger, an event is in one gathering only."""
        return self.events[0].id

    @property
    def needs_documents(self) -> bool:
        """Whether what it is in order with depends on what the events say."""
        return self.listener.event.ordered and self.listener.concurrency_key is not None


def gathering_listeners(listeners: Iterable[Listener]) -> GatheringListeners:
    """Return those of the listeners that gather events, or may: those that cannot be read."""
    return {
        (one.subscription, one.trigger): one for one in listeners if one.event.form or one.fault
    }


def gathering_inputs(
    matches: Iterable[EventMatches], now: datetime
) -> tuple[list[GatheringInput], list[Verdict]]:
    """Return the events that triggers gather, in order, and verdicts on those that cannot be.

    An event comes once to a trigger, however many of its parts it matches.
    """
    arrivals: list[GatheringInput] = []
    verdicts: list[Verdict] = []
    for one in matches:
        gathering = [found for found in one.results if found.listener.event.form is not None]
        for decision in match_triggers(gathering, one.event.document):
            owner = (decision.listener.subscription, decision.listener.trigger)
            if decision.error is None:
                key = GatheringKey(*owner, decision.key_text)
                arrivals.append(GatheringInput(one.event, key, decision.parts))
            else:
                outcome = VerdictOutcome.ERROR
                verdicts.append(Verdict(one.event.id, *owner, outcome, now, decision.error))
    return arrivals, verdicts


class GatheringRound:
    """Moves the gatherings that were there before; every event is taken once, in order."""

    def __init__(
        self,
        present: Iterable[Gathering],
        standing: GatheringListeners,
        circumstances: RoutingState,
    ) -> None:
        self.due: list[DueGathering] = []
        """In the order of their times, once time has gone on."""
        self._present = {one.key: one for one in present}
        self._gathering_listeners = standing
        self._routing_state = circumstances
        self._waiting = {one.key: one.events for one in self._present.values()}
        self._verdicts: dict[tuple[EventId, TriggerKey], Verdict] = {}
        for one in self._present.values():
            self._drop_what_was_changed(one)

    def take(self, arrival: GatheringInput) -> None:
        """Take an event, all whose gatherings were among the present ones."""
        event, key = arrival.event, arrival.key
        if key.subscription_id in self._routing_state.paused:
            self._tell(key, (event.id,), VerdictOutcome.PAUSED, _PAUSED)
            return
        size = len(canonical_json(event.document).encode())
        gathered = GatheredEvent(event.id, event.arrived_at, arrival.parts, size)
        self._tell(key, (event.id,), VerdictOutcome.GATHERED)
        waiting, steps = add_event(self._policy(key), self._waiting.get(key, ()), gathered)
        self._apply(key, waiting, steps)

    def advance_time(self, until: datetime) -> None:
        """Let time go on, when every event that arrived before has been taken."""
        for key, before in self._waiting.items():
            if before:
                self._apply(key, *self._policy(key).advance_time(before, until))
        self.due.sort(key=lambda one: one.at)

    def routed(self, documents: Mapping[EventId, ArrivedEvent]) -> Routed:
        """Return what it led to; `documents` has the events of what needs them."""
        placed = [self._make_firing(one, documents) for one in self.due]
        kept = tuple(self._kept())
        return Routed(
            events=(),
            firings=tuple(one for one in placed if isinstance(one, EventFiring)),
            refused=tuple(one for one in placed if isinstance(one, RefusedFiring)),
            replaced_verdicts=tuple(self._verdicts.values()),
            gatherings=tuple(one for one in kept if one != self._present.get(one.key)),
            emptied=tuple(self._present.keys() - {one.key for one in kept}),
        )

    def _drop_what_was_changed(self, gathering: Gathering) -> None:
        key = gathering.key
        listener = self._gathering_listeners.get((key.subscription_id, key.trigger))
        is_read = listener is not None and listener.fault is None
        if listener is not None and is_read and pattern_hash(listener.event) == gathering.form:
            return
        reason = "the trigger is gone while it waited"
        if listener is not None:
            reason = listener.fault or "the trigger was changed while it waited"
        self._waiting[key] = ()
        ids = [event.id for event in gathering.events]
        self._tell(key, ids, VerdictOutcome.DROPPED, reason)

    def _listener(self, key: GatheringKey) -> Listener:
        return self._gathering_listeners[key.subscription_id, key.trigger]

    def _policy(self, key: GatheringKey) -> GatheringPolicy:
        rule = gathering_policy_of(self._listener(key).event)
        if rule is None:
            raise ValueError(key)
        return rule

    def _apply(
        self, key: GatheringKey, waiting: WaitingEvents, steps: Sequence[GatheringOutcome]
    ) -> None:
        self._waiting[key] = waiting
        for step in steps:
            if isinstance(step, GatheringFired):
                self.due.append(DueGathering(self._listener(key), step.events, step.at))
            else:
                ids = [event.id for event in step.events]
                self._tell(key, ids, VerdictOutcome.DROPPED, step.reason)

    def _make_firing(
        self, due: DueGathering, documents: Mapping[EventId, ArrivedEvent]
    ) -> EventFiring | RefusedFiring | None:
        listener, ids = due.listener, [event.id for event in due.events]
        key = GatheringKey(listener.subscription, listener.trigger, "")
        if listener.subscription in self._routing_state.paused:
            self._tell(key, ids, VerdictOutcome.PAUSED, _PAUSED)
            return None
        events = [
            documents.get(event.id, ArrivedEvent(event.id, 0, {}, event.arrived_at))
            for event in due.events
        ]
        firing, reason = make_event_firing(
            listener, events, due.firing_key, due.at, self._routing_state
        )
        is_refused = isinstance(firing, RefusedFiring)
        outcome = VerdictOutcome.SKIPPED if is_refused else VerdictOutcome.WOKEN
        self._tell(key, ids, outcome, reason, due.firing_key)
        return firing

    def _tell(
        self,
        key: GatheringKey,
        event_ids: Iterable[EventId],
        outcome: VerdictOutcome,
        reason: str | None = None,
        firing_key: str | None = None,
    ) -> None:
        """Record what the events mean now; it replaces what they meant before."""
        owner, now = (key.subscription_id, key.trigger), self._routing_state.now
        for one in event_ids:
            self._verdicts[one, owner] = Verdict(one, *owner, outcome, now, reason, firing_key)

    def _kept(self) -> Iterator[Gathering]:
        for key, waiting in self._waiting.items():
            due_at = self._policy(key).due_at(waiting) if waiting else None
            if due_at is not None:
                yield Gathering(key, pattern_hash(self._listener(key).event), waiting, due_at)
