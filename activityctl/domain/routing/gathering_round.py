"""Applies a batch of events, and the passing of time, to the gatherings that they concern.

The rules of a single gathering are in `events/gathering.py`; firings are made in `routing.py`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
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
from activityctl.domain.routing.index import Listener, match_listener
from activityctl.domain.routing.routing import (
    EventFiring,
    EventMatches,
    RefusedFiring,
    Routed,
    RoutingState,
    make_event_firing,
)
from activityctl.domain.routing.trigger_match import (
    TriggerKey,
    match_result,
    match_trigger,
    match_triggers,
)
from activityctl.domain.values.ids import EventId, canonical_json, content_hash
from activityctl.domain.values.model import canonical
from activityctl.frozen_dataclass import frozen_dataclass

GatheringListeners = Mapping[TriggerKey, Listener]
"""The present triggers that gather events, by subscription id and trigger name."""

_PAUSED = "the subscription is paused"
_CHANGED = "the subscription or its definition was changed while the event waited"


@frozen_dataclass
class GatheringInput:
    """An event that a trigger gathers."""

    event: ArrivedEvent
    key: GatheringKey
    parts: tuple[str, ...]
    """The names of the trigger's parts that the event matches."""


@frozen_dataclass
class DueGathering:
    """A gathering whose events are complete, so that its trigger is due."""

    listener: Listener
    events: WaitingEvents
    at: datetime

    @property
    def firing_key(self) -> EventId:
        """The first event's id. It is unique: for one trigger an event is in one gathering only."""
        return self.events[0].id

    @property
    def needs_documents(self) -> bool:
        """Whether the order of its run depends on the content of the events."""
        return self.listener.event.ordered and self.listener.concurrency_key is not None


def gathering_listeners(listeners: Iterable[Listener]) -> GatheringListeners:
    """Return the listeners that gather events, and those that cannot be read and may gather."""
    return {
        (listener.subscription, listener.trigger): listener
        for listener in listeners
        if listener.event.form or listener.fault
    }


def gathering_inputs(
    matches: Iterable[EventMatches], now: datetime
) -> tuple[list[GatheringInput], list[Verdict]]:
    """Return the events that triggers gather, in order, and an error verdict for each failure.

    An event is given to a trigger once, even when it matches several of its parts.
    """
    arrivals: list[GatheringInput] = []
    verdicts: list[Verdict] = []
    for match in matches:
        results = [result for result in match.results if result.listener.event.form is not None]
        for decision in match_triggers(results, match.event.document):
            owner = (decision.listener.subscription, decision.listener.trigger)
            if decision.error is None:
                key = GatheringKey(*owner, decision.key_text)
                arrivals.append(GatheringInput(match.event, key, decision.parts))
            else:
                outcome = VerdictOutcome.ERROR
                verdicts.append(Verdict(match.event.id, *owner, outcome, now, decision.error))
    return arrivals, verdicts


class GatheringRound:
    """Updates the present gatherings with new events, each taken once and in order."""

    def __init__(
        self,
        present: Iterable[Gathering],
        listeners: GatheringListeners,
        routing_state: RoutingState,
    ) -> None:
        self.due: list[DueGathering] = []
        """Complete gatherings; sorted by their times after `advance_time`."""
        self._present = {gathering.key: gathering for gathering in present}
        self._gathering_listeners = listeners
        self._routing_state = routing_state
        self._waiting = {key: gathering.events for key, gathering in self._present.items()}
        self._verdicts: dict[tuple[EventId, TriggerKey], Verdict] = {}
        self._hashes: dict[TriggerKey, tuple[str, str]] = {}
        for gathering in self._present.values():
            self._drop_if_trigger_changed(gathering)

    @property
    def unjudged(self) -> list[Gathering]:
        """The gatherings whose events were matched by another apply; call `judge_again` first."""
        return [
            gathering
            for gathering in self._present.values()
            if self._waiting[gathering.key]
            and gathering.judged_by != self._hashes_of(gathering.key)[1]
        ]

    def judge_again(self, gathering: Gathering, documents: Mapping[EventId, ArrivedEvent]) -> None:
        """Keep those of the waiting events that the present trigger and params match too.

        So the run of a gathering is wholly of the apply that is live when it fires.
        """
        key, kept = gathering.key, list[GatheredEvent]()
        for event in gathering.events:
            judged = _judge(self._listener(key), key.key, event, documents.get(event.id))
            if isinstance(judged, GatheredEvent):
                kept.append(judged)
            else:
                self._set_verdicts(key, (event.id,), VerdictOutcome.DROPPED, judged)
        if tuple(kept) == gathering.events:
            return
        self._waiting[key] = ()
        for event in kept:
            self._apply(key, *add_event(self._policy(key), self._waiting[key], event))

    def take(self, arrival: GatheringInput) -> None:
        """Add an event to its gathering, which must be among the present ones if it is stored."""
        event, key = arrival.event, arrival.key
        if key.subscription_id in self._routing_state.paused:
            self._set_verdicts(key, (event.id,), VerdictOutcome.PAUSED, _PAUSED)
            return
        size = len(canonical_json(event.document).encode())
        gathered = GatheredEvent(event.id, event.arrived_at, arrival.parts, size)
        self._set_verdicts(key, (event.id,), VerdictOutcome.GATHERED)
        waiting, outcomes = add_event(self._policy(key), self._waiting.get(key, ()), gathered)
        self._apply(key, waiting, outcomes)

    def advance_time(self, until: datetime) -> None:
        """Apply what is due up to `until`. Every event that arrived before must have been taken."""
        for key, before in self._waiting.items():
            if before:
                self._apply(key, *self._policy(key).advance_time(before, until))
        self.due.sort(key=lambda due: due.at)

    def routed(self, documents: Mapping[EventId, ArrivedEvent]) -> Routed:
        """Return the results to write.

        `documents` has the events of each due gathering whose `needs_documents` is true.
        """
        firings = [self._make_firing(due, documents) for due in self.due]
        kept = tuple(self._kept())
        return Routed(
            events=(),
            firings=tuple(firing for firing in firings if isinstance(firing, EventFiring)),
            refused=tuple(firing for firing in firings if isinstance(firing, RefusedFiring)),
            replaced_verdicts=tuple(self._verdicts.values()),
            gatherings=tuple(
                gathering for gathering in kept if gathering != self._present.get(gathering.key)
            ),
            emptied=tuple(self._present.keys() - {gathering.key for gathering in kept}),
        )

    def _drop_if_trigger_changed(self, gathering: Gathering) -> None:
        key = gathering.key
        listener = self._gathering_listeners.get((key.subscription_id, key.trigger))
        is_readable = listener is not None and listener.fault is None
        if listener is not None and is_readable and self._hashes_of(key)[0] == gathering.form:
            return
        reason = "the trigger was removed while the event waited"
        if listener is not None:
            reason = listener.fault or "the trigger was changed while the event waited"
        self._waiting[key] = ()
        ids = [event.id for event in gathering.events]
        self._set_verdicts(key, ids, VerdictOutcome.DROPPED, reason)

    def _listener(self, key: GatheringKey) -> Listener:
        return self._gathering_listeners[key.subscription_id, key.trigger]

    def _hashes_of(self, key: GatheringKey) -> tuple[str, str]:
        """Return the pattern's hash, and the hash of all that decides whether an event matches."""
        owner = (key.subscription_id, key.trigger)
        if owner not in self._hashes:
            listener = self._listener(key)
            whole = {"trigger": canonical(listener.event), "params": dict(listener.params)}
            self._hashes[owner] = (pattern_hash(listener.event), content_hash(whole))
        return self._hashes[owner]

    def _policy(self, key: GatheringKey) -> GatheringPolicy:
        policy = gathering_policy_of(self._listener(key).event)
        if policy is None:
            raise ValueError(key)
        return policy

    def _apply(
        self, key: GatheringKey, waiting: WaitingEvents, outcomes: Sequence[GatheringOutcome]
    ) -> None:
        self._waiting[key] = waiting
        for outcome in outcomes:
            if isinstance(outcome, GatheringFired):
                self.due.append(DueGathering(self._listener(key), outcome.events, outcome.at))
            else:
                ids = [event.id for event in outcome.events]
                self._set_verdicts(key, ids, VerdictOutcome.DROPPED, outcome.reason)

    def _make_firing(
        self, due: DueGathering, documents: Mapping[EventId, ArrivedEvent]
    ) -> EventFiring | RefusedFiring | None:
        listener, ids = due.listener, [event.id for event in due.events]
        key = GatheringKey(listener.subscription, listener.trigger, "")
        if listener.subscription in self._routing_state.paused:
            self._set_verdicts(key, ids, VerdictOutcome.PAUSED, _PAUSED)
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
        self._set_verdicts(key, ids, outcome, reason, due.firing_key)
        return firing

    def _set_verdicts(
        self,
        key: GatheringKey,
        event_ids: Iterable[EventId],
        outcome: VerdictOutcome,
        reason: str | None = None,
        firing_key: str | None = None,
    ) -> None:
        """Set the verdict of each event for the trigger; it replaces an earlier one."""
        owner, now = (key.subscription_id, key.trigger), self._routing_state.now
        for event_id in event_ids:
            verdict = Verdict(event_id, *owner, outcome, now, reason, firing_key)
            self._verdicts[event_id, owner] = verdict

    def _kept(self) -> Iterator[Gathering]:
        for key, waiting in self._waiting.items():
            due_at = self._policy(key).due_at(waiting) if waiting else None
            if due_at is not None:
                form, judged_by = self._hashes_of(key)
                yield Gathering(key, form, waiting, due_at, judged_by)


def _judge(
    listener: Listener, key: str, event: GatheredEvent, stored: ArrivedEvent | None
) -> GatheredEvent | str:
    """Return the event as the trigger gathers it under that key now, or why it does not."""
    if stored is None:
        return f"{_CHANGED}, and it is no longer stored"
    results = (
        match_result(part, match_listener(part, stored.document)) for part in listener.each_part()
    )
    found = [result for result in results if result is not None]
    if not found:
        return f"{_CHANGED}, and it no longer matches"
    decision = match_trigger(found, stored.document)
    if decision.error is not None:
        return f"{_CHANGED}: {decision.error}"
    if decision.key_text != key:
        return f"{_CHANGED}, and its key is another now"
    return replace(event, parts=decision.parts)
