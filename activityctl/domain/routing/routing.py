"""Routing: what the events that have come mean to those who listen, as firings and verdicts.

Which triggers an event matches is `match_index`'s; here is what follows from it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Final, Literal

from activityctl.domain.events.gathering import Gathering, GatheringKey
from activityctl.domain.events.stored_event import ArrivedEvent, Verdict, VerdictOutcome
from activityctl.domain.routing.index import FilterFailed, Listener, Matched
from activityctl.domain.runs.concurrency import render_key
from activityctl.domain.runs.run import Run, RunStatus
from activityctl.domain.timing import window
from activityctl.domain.timing.misfires import MISFIRE_GRACE
from activityctl.domain.timing.window import DaysByCalendar
from activityctl.domain.values import ids
from activityctl.domain.values.duration import format_duration
from activityctl.domain.values.ids import EventId, RevisionId, SubscriptionId
from activityctl.domain.values.log import Level, LogEntry
from activityctl.domain.values.model import JsonValue
from activityctl.errors import ExpressionError

ZONE: Final = "UTC"
"""The zone of an event trigger's days and hours, unless it says another."""
_PAUSED: Final = "the subscription is paused"
_TOLD_ONE_BY_ONE: Final = 10
_SECOND: Final = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class EventFiring:
    """A firing that events led to; it starts at `fires_at`."""

    subscription_id: str
    trigger: str
    firing_key: str
    due_at: datetime
    event_ids: tuple[EventId, ...]
    fires_at: datetime
    order_key: str | None = None
    """Firings of one order key start one after the other, as they were decided on."""
    priority: int = 0
    """Among firings that are due, the higher starts first."""


@dataclass(frozen=True, slots=True)
class RefusedFiring:
    """A firing that events led to and that may not start: it becomes a run that has ended."""

    subscription_id: str
    trigger: str
    firing_key: str
    due_at: datetime
    event_ids: tuple[EventId, ...]
    status: Literal[RunStatus.SKIPPED, RunStatus.MISSED]
    reason: str
    params: Mapping[str, JsonValue] = field(default_factory=dict)

    @property
    def run_id(self) -> ids.RunId:
        """The id of the run that says so."""
        return ids.run_id(self.subscription_id, self.trigger, self.firing_key)


@dataclass(frozen=True, slots=True)
class Routed:
    """What a batch of events led to; written in one transaction with `routed_at`."""

    events: tuple[EventId, ...]
    firings: tuple[EventFiring, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    refused: tuple[RefusedFiring, ...] = ()
    replaced_verdicts: tuple[Verdict, ...] = ()
    """Verdicts that replace those which these events had for these triggers."""
    gatherings: tuple[Gathering, ...] = ()
    """What waits now where something else waited before."""
    emptied: tuple[GatheringKey, ...] = ()
    """Of whom nothing waits any more."""

    def __add__(self, other: "Routed") -> "Routed":
        """Return what both led to, this first."""
        return Routed(
            self.events + other.events,
            self.firings + other.firings,
            self.verdicts + other.verdicts,
            self.refused + other.refused,
            self.replaced_verdicts + other.replaced_verdicts,
            self.gatherings + other.gatherings,
            self.emptied + other.emptied,
        )


@dataclass(frozen=True, slots=True)
class EventMatches:
    """An event with what it wakes, and whose filter fails on it."""

    event: ArrivedEvent
    results: Sequence[Matched | FilterFailed]

    @property
    def listeners(self) -> Iterator[Listener]:
        """Yield those that it wakes."""
        return (one.listener for one in self.results if isinstance(one, Matched))


@dataclass(frozen=True, slots=True)
class RoutingState:
    """What else decides on a match, as it stands while the events are routed."""

    now: datetime
    paused: frozenset[str] = frozenset()
    """Ids of paused subscriptions."""
    calendars: DaysByCalendar = field(default_factory=dict)


def calendar_names(matches: Iterable[EventMatches]) -> frozenset[str]:
    """Return the names of the calendars that decide on the matches."""
    listeners = (listener for one in matches for listener in one.listeners)
    exclusions = (one.event.exclude for one in listeners)
    return frozenset(name for one in exclusions if one for name in one.calendars)


def route_matches(matches: Iterable[EventMatches], circumstances: RoutingState) -> Routed:
    """Decide on every match of a trigger that gathers nothing, in the order given.

    The firing of a plain match is due when the event arrived and its key is the event's id, so
    the same event wakes a trigger once. A match of a paused subscription and a filter that
    failed are verdicts alone.
    """
    matches = list(matches)
    decided = [
        _decide(one.event, found, circumstances)
        for one in matches
        for found in one.results
        if found.listener.event.form is None
    ]
    return Routed(
        events=tuple(one.event.id for one in matches),
        firings=tuple(firing for firing, _ in decided if isinstance(firing, EventFiring)),
        verdicts=tuple(verdict for _, verdict in decided),
        refused=tuple(firing for firing, _ in decided if isinstance(firing, RefusedFiring)),
    )


def _decide(
    event: ArrivedEvent, found: Matched | FilterFailed, circumstances: RoutingState
) -> tuple[EventFiring | RefusedFiring | None, Verdict]:
    listener = found.listener
    verdict = Verdict(
        event.id,
        listener.subscription,
        listener.trigger,
        VerdictOutcome.WOKEN,
        circumstances.now,
    )
    if isinstance(found, FilterFailed):
        return None, replace(verdict, outcome=VerdictOutcome.ERROR, reason=found.reason)
    if listener.subscription in circumstances.paused:
        return None, replace(verdict, outcome=VerdictOutcome.PAUSED, reason=_PAUSED)
    firing, reason = make_event_firing(
        listener, (event,), event.id, event.arrived_at, circumstances
    )
    is_refused = isinstance(firing, RefusedFiring)
    outcome = VerdictOutcome.SKIPPED if is_refused else VerdictOutcome.WOKEN
    return firing, replace(verdict, outcome=outcome, reason=reason, firing_key=firing.firing_key)


def make_event_firing(
    listener: Listener,
    events: Sequence[ArrivedEvent],
    firing_key: str,
    due_at: datetime,
    circumstances: RoutingState,
) -> tuple[EventFiring | RefusedFiring, str | None]:
    """Return the firing of a listener that these events are due to wake, and why it is not now.

    Its exclusions and its window decide at `due_at`. They decide once more now for a firing that
    could have started MISFIRE_GRACE ago or earlier.
    """
    place = _find_start(listener, due_at, circumstances)
    event_ids = tuple(event.id for event in events)
    owner = (listener.subscription, listener.trigger, firing_key, due_at, event_ids)
    if place.starts_at is None:
        status: Literal[RunStatus.SKIPPED, RunStatus.MISSED] = (
            RunStatus.MISSED if place.outcome == "missed" else RunStatus.SKIPPED
        )
        reason = place.reason or ""
        return RefusedFiring(*owner, status, reason, listener.params), reason
    order_key = order_key_of(listener, events, firing_key, due_at)
    firing = EventFiring(*owner, place.starts_at, order_key, listener.event.priority)
    return firing, place.reason


def _find_start(
    listener: Listener, due_at: datetime, circumstances: RoutingState
) -> window.StartResult:
    trigger, now, calendars = listener.event, circumstances.now, circumstances.calendars
    if trigger.window is None and trigger.exclude is None:
        return window.StartResult(due_at, "starts", None)
    first = window.find_start(trigger, due_at, ZONE, calendars)
    if first.starts_at is None or now - first.starts_at <= MISFIRE_GRACE:
        return first
    present = window.find_start(trigger, now, ZONE, calendars)
    if present.outcome == "starts":
        return first
    late = now - first.starts_at
    shown = format_duration(late - late % _SECOND)
    return replace(present, reason=f"routed {shown} late; now it is {present.reason}")


def order_key_of(
    listener: Listener, events: Sequence[ArrivedEvent], firing_key: str, due_at: datetime
) -> str | None:
    """Return what the firing shares with those it stays in order with; None when it need not.

    That is its subscription and trigger, and with a concurrency key this key as well. A key that
    cannot be rendered fails the run when it is admitted; here it counts as none.
    """
    if not listener.event.ordered:
        return None
    owner = f"{listener.subscription}/{listener.trigger}"
    if listener.concurrency_key is None:
        return owner
    run = _run_of(listener, events, firing_key, due_at)
    try:
        return f"{owner}/{render_key(listener.concurrency_key, run, due_at)}"
    except ExpressionError:
        return owner


def _run_of(
    listener: Listener, events: Sequence[ArrivedEvent], firing_key: str, due_at: datetime
) -> Run:
    """Return the run as far as it is known before its admission."""
    return Run(
        id=ids.run_id(listener.subscription, listener.trigger, firing_key),
        subscription_id=SubscriptionId(listener.subscription),
        subscription="",
        definition="",
        revision_id=RevisionId(""),
        trigger=listener.trigger,
        firing_key=firing_key,
        due_at=due_at,
        status=RunStatus.QUEUED,
        created_at=due_at,
        params=listener.params,
        events=tuple(event.document for event in events),
    )


def refused_log_entries(refused: Iterable[RefusedFiring], now: datetime) -> list[LogEntry]:
    """Return what the log says of firings that may not start: a line each, or one for many."""

    def owner(one: RefusedFiring) -> tuple[str, str]:
        return one.subscription_id, one.trigger

    entries: list[LogEntry] = []
    for _, group in groupby(sorted(refused, key=owner), owner):
        together = list(group)
        if len(together) <= _TOLD_ONE_BY_ONE:
            entries += [_entry(one, now) for one in together]
        else:
            entries.append(_summary(together, now))
    return entries


def _entry(one: RefusedFiring, now: datetime) -> LogEntry:
    metadata = {"trigger": one.trigger, "firingKey": one.firing_key, "status": one.status.value}
    level: Level = "warning" if one.status is RunStatus.MISSED else "info"
    message = f"run {one.status.value}: {one.reason}"
    return LogEntry(one.subscription_id, one.run_id, message, level, now, metadata)


def _summary(together: Sequence[RefusedFiring], now: datetime) -> LogEntry:
    last = together[-1]
    missed = sum(one.status is RunStatus.MISSED for one in together)
    skipped = len(together) - missed
    message = (
        f"{len(together)} firings of {last.trigger} up to that of "
        f"{last.due_at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ} did not start: "
        f"{missed} missed, {skipped} skipped; the last: {last.reason}"
    )
    metadata = {"trigger": last.trigger, "missed": missed, "skipped": skipped}
    return LogEntry(last.subscription_id, None, message, "warning", now, metadata)
