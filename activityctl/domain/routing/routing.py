"""Makes firings and verdicts from the matches of events.

Which triggers an event matches is decided in `index.py`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field, replace
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Final, Literal

from activityctl.domain.events.gathering import Gathering, GatheringKey
from activityctl.domain.events.stored_event import ArrivedEvent, Verdict, VerdictOutcome
from activityctl.domain.routing.event_waits import EventAnswer
from activityctl.domain.routing.index import FilterFailed, Listener, Matched
from activityctl.domain.runs.concurrency import render_key
from activityctl.domain.runs.run import Run, RunStatus
from activityctl.domain.timing import window
from activityctl.domain.timing.misfires import MISFIRE_GRACE
from activityctl.domain.timing.window import DaysByCalendar
from activityctl.domain.values import ids
from activityctl.domain.values.duration import format_duration
from activityctl.domain.values.ids import EventId, RevisionId, SubscriptionId, TaskId
from activityctl.domain.values.log import Level, LogEntry
from activityctl.domain.values.model import JsonValue
from activityctl.errors import ExpressionError
from activityctl.frozen_dataclass import frozen_dataclass

ZONE: Final = "UTC"
"""The time zone of an event trigger's days and hours, unless it names another."""
_PAUSED: Final = "the subscription is paused"
_MOST_ENTRIES: Final = 10
_SECOND: Final = timedelta(seconds=1)


@frozen_dataclass
class EventFiring:
    """A firing of an event trigger; it starts at `fires_at`."""

    subscription_id: str
    trigger: str
    firing_key: str
    due_at: datetime
    event_ids: tuple[EventId, ...]
    fires_at: datetime
    order_key: str | None = None
    """Firings of one order key start one after the other, in the order of their decisions."""
    priority: int = 0
    """Of firings that are due, the one with the higher priority starts first."""
    revision_id: RevisionId | None = None
    """The revision whose trigger matched; its run has this revision and these params.

    None for a firing that was stored without them: its run has those of its admission.
    """
    params: Mapping[str, JsonValue] = field(default_factory=dict)


@frozen_dataclass
class RefusedFiring:
    """A firing of an event trigger that may not start; it becomes a run that has ended."""

    subscription_id: str
    trigger: str
    firing_key: str
    due_at: datetime
    event_ids: tuple[EventId, ...]
    status: Literal[RunStatus.SKIPPED, RunStatus.MISSED]
    reason: str
    revision_id: RevisionId | None = None
    params: Mapping[str, JsonValue] = field(default_factory=dict)

    @property
    def run_id(self) -> ids.RunId:
        """The id of that run."""
        return ids.run_id(self.subscription_id, self.trigger, self.firing_key)


@frozen_dataclass
class Routed:
    """The results of a batch of events; written in one transaction with `routed_at`."""

    events: tuple[EventId, ...]
    firings: tuple[EventFiring, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    refused: tuple[RefusedFiring, ...] = ()
    replaced_verdicts: tuple[Verdict, ...] = ()
    """Verdicts that replace earlier ones of the same events and triggers."""
    gatherings: tuple[Gathering, ...] = ()
    """Gatherings that are new or whose waiting events have changed."""
    emptied: tuple[GatheringKey, ...] = ()
    """Keys of gatherings that have no waiting events any more."""
    answers: tuple[EventAnswer, ...] = ()
    """The events that end waits of tasks."""
    looked: tuple[tuple[TaskId, int | None], ...] = ()
    """How far waits have looked at older events; None once they have looked at all."""

    def __add__(self, other: "Routed") -> "Routed":
        """Return the results of both, these first."""
        return Routed(
            self.events + other.events,
            self.firings + other.firings,
            self.verdicts + other.verdicts,
            self.refused + other.refused,
            self.replaced_verdicts + other.replaced_verdicts,
            self.gatherings + other.gatherings,
            self.emptied + other.emptied,
            self.answers + other.answers,
            self.looked + other.looked,
        )


@frozen_dataclass
class EventMatches:
    """An event with the listeners that match it and those whose filter failed."""

    event: ArrivedEvent
    results: Sequence[Matched | FilterFailed]

    @property
    def listeners(self) -> Iterator[Listener]:
        """Yield the listeners that match."""
        return (result.listener for result in self.results if isinstance(result, Matched))


@frozen_dataclass
class RoutingState:
    """The facts that decide on a match besides the event, at the time of routing."""

    now: datetime
    paused: frozenset[str] = frozenset()
    """Ids of paused subscriptions."""
    calendars: DaysByCalendar = field(default_factory=dict)


def calendar_names(listeners: Iterable[Listener]) -> frozenset[str]:
    """Return the names of the calendars that exclude days of these triggers."""
    exclusions = (listener.event.exclude for listener in listeners)
    return frozenset(name for exclude in exclusions if exclude for name in exclude.calendars)


def route_matches(matches: Iterable[EventMatches], state: RoutingState) -> Routed:
    """Decide on every match of a trigger that does not gather events, in the order given.

    The firing is due when the event arrived. Its key is the event's id, so the same event starts
    a trigger once. A match of a paused subscription and a filter that failed give a verdict but
    no firing.
    """
    matches = list(matches)
    decided = [
        _decide(match.event, result, state)
        for match in matches
        for result in match.results
        if result.listener.event.form is None
    ]
    return Routed(
        events=tuple(match.event.id for match in matches),
        firings=tuple(firing for firing, _ in decided if isinstance(firing, EventFiring)),
        verdicts=tuple(verdict for _, verdict in decided),
        refused=tuple(firing for firing, _ in decided if isinstance(firing, RefusedFiring)),
    )


def _decide(
    event: ArrivedEvent, result: Matched | FilterFailed, state: RoutingState
) -> tuple[EventFiring | RefusedFiring | None, Verdict]:
    listener = result.listener
    verdict = Verdict(
        event.id,
        listener.subscription,
        listener.trigger,
        VerdictOutcome.WOKEN,
        state.now,
    )
    if isinstance(result, FilterFailed):
        return None, replace(verdict, outcome=VerdictOutcome.ERROR, reason=result.reason)
    if listener.subscription in state.paused:
        return None, replace(verdict, outcome=VerdictOutcome.PAUSED, reason=_PAUSED)
    firing, reason = make_event_firing(listener, (event,), event.id, event.arrived_at, state)
    is_refused = isinstance(firing, RefusedFiring)
    outcome = VerdictOutcome.SKIPPED if is_refused else VerdictOutcome.WOKEN
    return firing, replace(verdict, outcome=outcome, reason=reason, firing_key=firing.firing_key)


def make_event_firing(
    listener: Listener,
    events: Sequence[ArrivedEvent],
    firing_key: str,
    due_at: datetime,
    state: RoutingState,
) -> tuple[EventFiring | RefusedFiring, str | None]:
    """Return the firing of a listener for these events, and why it starts later or not at all.

    The trigger's exclusions and window are checked at `due_at`. If the firing could have started
    more than MISFIRE_GRACE ago, they are checked again at the present time.
    """
    start = _find_start(listener, due_at, state)
    event_ids = tuple(event.id for event in events)
    owner = (listener.subscription, listener.trigger, firing_key, due_at, event_ids)
    if start.starts_at is None:
        status: Literal[RunStatus.SKIPPED, RunStatus.MISSED] = (
            RunStatus.MISSED if start.outcome == "missed" else RunStatus.SKIPPED
        )
        reason = start.reason or ""
        refused = RefusedFiring(*owner, status, reason, listener.revision_id, listener.params)
        return refused, reason
    order_key = order_key_of(listener, events, firing_key, due_at)
    firing = EventFiring(
        *owner,
        start.starts_at,
        order_key,
        listener.event.priority,
        listener.revision_id,
        listener.params,
    )
    return firing, start.reason


def _find_start(listener: Listener, due_at: datetime, state: RoutingState) -> window.StartResult:
    trigger, now, calendars = listener.event, state.now, state.calendars
    if trigger.window is None and trigger.exclude is None:
        return window.StartResult(due_at, "starts", None)
    first = window.find_start(trigger, due_at, ZONE, calendars)
    if first.starts_at is None or now - first.starts_at <= MISFIRE_GRACE:
        return first
    present = window.find_start(trigger, now, ZONE, calendars)
    if present.outcome == "starts":
        return first
    late = now - first.starts_at
    late_text = format_duration(late - late % _SECOND)
    reason = f"routed {late_text} late; a firing now would be {present.reason}"
    return replace(present, reason=reason)


def order_key_of(
    listener: Listener, events: Sequence[ArrivedEvent], firing_key: str, due_at: datetime
) -> str | None:
    """Return the key whose firings start in order; None when the trigger is not `ordered`.

    It consists of subscription and trigger, and the rendered concurrency key if there is one. A
    key that cannot be rendered is left out here; its run fails at admission.
    """
    if not listener.event.ordered:
        return None
    owner = f"{listener.subscription}/{listener.trigger}"
    if listener.concurrency_key is None:
        return owner
    run = _run_before_admission(listener, events, firing_key, due_at)
    try:
        return f"{owner}/{render_key(listener.concurrency_key, run, due_at)}"
    except ExpressionError:
        return owner


def _run_before_admission(
    listener: Listener, events: Sequence[ArrivedEvent], firing_key: str, due_at: datetime
) -> Run:
    """Return the run of a firing with the fields that are known before admission."""
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
    """Return the log entries of firings that may not start.

    There is one entry for each, or one summary for a trigger that has more than ten of them.
    """

    def owner(firing: RefusedFiring) -> tuple[str, str]:
        return firing.subscription_id, firing.trigger

    entries: list[LogEntry] = []
    for _, group in groupby(sorted(refused, key=owner), owner):
        firings = list(group)
        if len(firings) <= _MOST_ENTRIES:
            entries += [_entry(firing, now) for firing in firings]
        else:
            entries.append(_summary(firings, now))
    return entries


def _entry(firing: RefusedFiring, now: datetime) -> LogEntry:
    metadata = {
        "trigger": firing.trigger,
        "firingKey": firing.firing_key,
        "status": firing.status.value,
    }
    level: Level = "warning" if firing.status is RunStatus.MISSED else "info"
    message = f"run {firing.status.value}: {firing.reason}"
    return LogEntry(firing.subscription_id, firing.run_id, message, level, now, metadata)


def _summary(firings: Sequence[RefusedFiring], now: datetime) -> LogEntry:
    last = firings[-1]
    missed = sum(firing.status is RunStatus.MISSED for firing in firings)
    skipped = len(firings) - missed
    message = (
        f"{len(firings)} firings of {last.trigger} up to the one due at "
        f"{last.due_at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ} did not start: "
        f"{missed} missed, {skipped} skipped; last reason: {last.reason}"
    )
    metadata = {"trigger": last.trigger, "missed": missed, "skipped": skipped}
    return LogEntry(last.subscription_id, None, message, "warning", now, metadata)
