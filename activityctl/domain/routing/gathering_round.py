"""A round of gatherings: what a batch of events, and the time, make of all that they concern.

What becomes of one gathering is decided in `gathering`, where a firing is placed in `routing`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from activityctl.domain.events.arrival import ArrivedEvent, Verdict, VerdictOutcome
from activityctl.domain.events.gathering import (
    Fires,
    Gathered,
    Gathering,
    GatheringKey,
    Rule,
    Step,
    Waiting,
    form_of,
    rule_of,
    take,
)
from activityctl.domain.routing.decision import Owner, decisions
from activityctl.domain.routing.index import Listener
from activityctl.domain.routing.routing import (
    Circumstances,
    EventFiring,
    Matches,
    RefusedFiring,
    Routed,
    placed_firing,
)
from activityctl.domain.values.ids import EventId, canonical_json

Standing = Mapping[Owner, Listener]
"""Every trigger that gathers events, as it stands."""

_PAUSED = "the subscription is paused"


@dataclass(frozen=True, slots=True)
class Arrival:
    """An event that a trigger gathers."""

    event: ArrivedEvent
    key: GatheringKey
    parts: tuple[str, ...]
    """The names of those that it counts for."""


@dataclass(frozen=True, slots=True)
class Due:
    """A trigger that its events have made due."""

    listener: Listener
    events: Waiting
    at: datetime

    @property
    def firing_key(self) -> EventId:
        """The first event's id: of one trigger, an event is in one gathering only."""
        return self.events[0].id

    @property
    def needs_documents(self) -> bool:
        """Whether what it is in order with depends on what the events say."""
        return self.listener.event.ordered and self.listener.concurrency_key is not None


def standing_of(listeners: Iterable[Listener]) -> Standing:
    """Return those of the listeners that gather events, or may: those that cannot be read."""
    return {
        (one.subscription, one.trigger): one for one in listeners if one.event.form or one.fault
    }


def arrivals_of(matches: Iterable[Matches], now: datetime) -> tuple[list[Arrival], list[Verdict]]:
    """Return the events that triggers gather, in order, and verdicts on those that cannot be.

    An event comes once to a trigger, however many of its parts it matches.
    """
    arrivals: list[Arrival] = []
    verdicts: list[Verdict] = []
    for one in matches:
        gathering = [found for found in one.found if found.entry.event.form is not None]
        for decision in decisions(gathering, one.event.document):
            owner = (decision.listener.subscription, decision.listener.trigger)
            if decision.error is None:
                key = GatheringKey(*owner, decision.key_text)
                arrivals.append(Arrival(one.event, key, decision.parts))
            else:
                outcome = VerdictOutcome.ERROR
                verdicts.append(Verdict(one.event.id, *owner, outcome, now, decision.error))
    return arrivals, verdicts


class Round:
    """Moves the gatherings that were there before; every event is taken once, in order."""

    def __init__(
        self, present: Iterable[Gathering], standing: Standing, circumstances: Circumstances
    ) -> None:
        self.due: list[Due] = []
        """In the order of their times, once time has gone on."""
        self._present = {one.key: one for one in present}
        self._standing = standing
        self._circumstances = circumstances
        self._waiting = {one.key: one.events for one in self._present.values()}
        self._verdicts: dict[tuple[EventId, Owner], Verdict] = {}
        for one in self._present.values():
            self._drop_what_was_changed(one)

    def take(self, arrival: Arrival) -> None:
        """Take an event, all whose gatherings were among the present ones."""
        event, key = arrival.event, arrival.key
        if key.subscription_id in self._circumstances.paused:
            self._tell(key, (event.id,), VerdictOutcome.PAUSED, _PAUSED)
            return
        size = len(canonical_json(event.document).encode())
        gathered = Gathered(event.id, event.arrived_at, arrival.parts, size)
        self._tell(key, (event.id,), VerdictOutcome.GATHERED)
        waiting, steps = take(self._rule(key), self._waiting.get(key, ()), gathered)
        self._apply(key, waiting, steps)

    def elapse(self, until: datetime) -> None:
        """Let time go on, when every event that arrived before has been taken."""
        for key, before in self._waiting.items():
            if before:
                self._apply(key, *self._rule(key).elapse(before, until))
        self.due.sort(key=lambda one: one.at)

    def routed(self, documents: Mapping[EventId, ArrivedEvent]) -> Routed:
        """Return what it led to; `documents` has the events of what needs them."""
        placed = [self._place(one, documents) for one in self.due]
        kept = tuple(self._kept())
        return Routed(
            events=(),
            firings=tuple(one for one in placed if isinstance(one, EventFiring)),
            refused=tuple(one for one in placed if isinstance(one, RefusedFiring)),
            settled=tuple(self._verdicts.values()),
            gatherings=tuple(one for one in kept if one != self._present.get(one.key)),
            gone=tuple(self._present.keys() - {one.key for one in kept}),
        )

    def _drop_what_was_changed(self, gathering: Gathering) -> None:
        key = gathering.key
        listener = self._standing.get((key.subscription_id, key.trigger))
        is_read = listener is not None and listener.fault is None
        if listener is not None and is_read and form_of(listener.event) == gathering.form:
            return
        reason = "the trigger is gone while it waited"
        if listener is not None:
            reason = listener.fault or "the trigger was changed while it waited"
        self._waiting[key] = ()
        ids = [event.id for event in gathering.events]
        self._tell(key, ids, VerdictOutcome.DROPPED, reason)

    def _listener(self, key: GatheringKey) -> Listener:
        return self._standing[key.subscription_id, key.trigger]

    def _rule(self, key: GatheringKey) -> Rule:
        rule = rule_of(self._listener(key).event)
        if rule is None:
            raise ValueError(key)
        return rule

    def _apply(self, key: GatheringKey, waiting: Waiting, steps: Sequence[Step]) -> None:
        self._waiting[key] = waiting
        for step in steps:
            if isinstance(step, Fires):
                self.due.append(Due(self._listener(key), step.events, step.at))
            else:
                ids = [event.id for event in step.events]
                self._tell(key, ids, VerdictOutcome.DROPPED, step.reason)

    def _place(
        self, due: Due, documents: Mapping[EventId, ArrivedEvent]
    ) -> EventFiring | RefusedFiring | None:
        listener, ids = due.listener, [event.id for event in due.events]
        key = GatheringKey(listener.subscription, listener.trigger, "")
        if listener.subscription in self._circumstances.paused:
            self._tell(key, ids, VerdictOutcome.PAUSED, _PAUSED)
            return None
        events = [
            documents.get(event.id, ArrivedEvent(event.id, 0, {}, event.arrived_at))
            for event in due.events
        ]
        firing, reason = placed_firing(
            listener, events, due.firing_key, due.at, self._circumstances
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
        owner, now = (key.subscription_id, key.trigger), self._circumstances.now
        for one in event_ids:
            self._verdicts[one, owner] = Verdict(one, *owner, outcome, now, reason, firing_key)

    def _kept(self) -> Iterator[Gathering]:
        for key, waiting in self._waiting.items():
            due_at = self._rule(key).due_at(waiting) if waiting else None
            if due_at is not None:
                yield Gathering(key, form_of(self._listener(key).event), waiting, due_at)
