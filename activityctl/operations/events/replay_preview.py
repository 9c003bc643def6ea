"""What a replay of events would come to: whom it feeds, and who would run; nothing is written."""

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from activityctl.domain.events.query import EventQuery
from activityctl.domain.events.stored_event import ArrivedEvent, Verdict, VerdictOutcome
from activityctl.domain.routing.index import Listener
from activityctl.domain.routing.listeners import live_listeners
from activityctl.domain.routing.replay import EventReplay, ReplayedPage
from activityctl.domain.timing.window import DaysByCalendar
from activityctl.domain.values.json_form import View, format_timestamp
from activityctl.errors import ConflictError, NotFoundError, UsageError
from activityctl.ports import Catalog, EventArchive, EventStore

SHOWN_EVENTS: Final = 5
_PAGE: Final = 500

OnProgress = Callable[[int, int], None]
"""Told how many of how many events have been read."""


@dataclass(frozen=True, slots=True)
class ReplayRequest:
    """What a person asks for."""

    replay: str
    """The replay's name: by one name, an event starts a run of a trigger once."""
    stretch: EventQuery
    subscription: str | None
    """None: all."""
    trigger: str | None


@dataclass(frozen=True, slots=True)
class ReplayTargets:
    """Whom a replay feeds, as it stood when it began."""

    listeners: tuple[Listener, ...]
    calendars: DaysByCalendar
    names: dict[str, str]
    """Of the subscriptions, by id."""
    paused: frozenset[str]


@dataclass(slots=True)
class TriggerPreview:
    """What a replay means to one trigger."""

    subscription: str
    trigger: str
    is_paused: bool
    firings: int = 0
    new: int = 0
    """Those that this replay has not started before."""
    refused: int = 0
    """Firings that may not start, as by an exclusion: each becomes a run that has ended."""
    left: dict[str, int] = field(default_factory=dict)
    """Events that matched, or might have, and lead to no run, by the reason."""
    events: list[ArrivedEvent] = field(default_factory=list)
    """The first that lead to new runs, at most SHOWN_EVENTS."""


@dataclass(frozen=True, slots=True)
class ReplayPreview:
    """What a replay comes to as things stand; nothing is written yet."""

    order: ReplayRequest
    audience: ReplayTargets
    events: int
    tallies: tuple[TriggerPreview, ...]

    @property
    def new(self) -> int:
        """How many runs it would start."""
        return sum(one.new for one in self.tallies)


async def replay_targets(catalog: Catalog, order: ReplayRequest) -> ReplayTargets:
    """Return whom the order feeds.

    NotFoundError for an unknown subscription or trigger, ConflictError for a deleted
    subscription, UsageError for one that waits for no event.
    """
    present = await catalog.present()
    if order.subscription is None:
        owners = [one for name in sorted(present.subscriptions) if (one := present.live(name))]
    else:
        named = await catalog.find_subscription(order.subscription)
        live = present.live(named.name)
        if live is None:
            raise ConflictError(
                f'subscription "{named.name}" was deleted', hint="apply its manifest again"
            )
        owners = [live]
    found = [listener for _, listener in live_listeners(present.specs, owners)]
    return ReplayTargets(
        tuple(_named(found, order)),
        await catalog.calendars(),
        {one.id: one.name for one in owners},
        frozenset(one.id for one in owners if one.status == "paused"),
    )


def _named(listeners: Sequence[Listener], order: ReplayRequest) -> Sequence[Listener]:
    if not listeners:
        whose = f'subscription "{order.subscription}"' if order.subscription else "nobody here"
        verb = "has no event trigger" if order.subscription else "waits for events"
        raise UsageError(f"{whose} {verb}", hint="activityctl get subscriptions")
    chosen = [one for one in listeners if order.trigger in (None, one.trigger)]
    if not chosen:
        listed = ", ".join(sorted({one.trigger for one in listeners}))
        raise NotFoundError("trigger", str(order.trigger), hint=f"event triggers: {listed}")
    return chosen


async def preview_replay(
    catalog: Catalog,
    events: EventStore,
    archive: EventArchive,
    order: ReplayRequest,
    now: datetime,
    *,
    on_progress: OnProgress = lambda _read, _total: None,
) -> ReplayPreview:
    """Find out who would run. Raises what `replay_targets` raises."""
    audience = await replay_targets(catalog, order)
    total = await archive.count(order.stretch)
    tallies = {
        (one.subscription, one.trigger): TriggerPreview(
            audience.names[one.subscription], one.trigger, one.subscription in audience.paused
        )
        for one in audience.listeners
    }
    read = 0
    async for page, fed in replayed_pages(archive, order, audience, now):
        await _count(events, order, tallies, fed, {one.id: one for one in page})
        read += len(page)
        on_progress(read, total)
    return ReplayPreview(order, audience, total, tuple(tallies.values()))


async def _count(
    events: EventStore,
    order: ReplayRequest,
    tallies: dict[tuple[str, str], TriggerPreview],
    fed: ReplayedPage,
    known: dict[str, ArrivedEvent],
) -> None:
    firsts = [one.event_ids[0] for one in fed.firings]
    recorded = await events.verdicts(firsts) if firsts else []
    started = {_key(one) for one in recorded if _has_started(one, order.replay)}
    for firing in fed.firings:
        tally = tallies[firing.subscription_id, firing.trigger]
        tally.firings += 1
        if (firing.subscription_id, firing.trigger, firing.firing_key) in started:
            continue
        tally.new += 1
        event = known.get(firing.event_ids[-1])
        if event is not None and len(tally.events) < SHOWN_EVENTS:
            tally.events.append(event)
    for refused in fed.refused:
        tallies[refused.subscription_id, refused.trigger].refused += 1
    for verdict in fed.verdicts:
        if verdict.outcome not in {VerdictOutcome.WOKEN, VerdictOutcome.GATHERED}:
            left = tallies[verdict.subscription_id, verdict.trigger].left
            reason = f"{verdict.outcome.value}: {verdict.reason}"
            left[reason] = left.get(reason, 0) + 1


def _has_started(verdict: Verdict, replay: str) -> bool:
    return verdict.replay == replay and verdict.outcome is VerdictOutcome.WOKEN


def _key(verdict: Verdict) -> tuple[str, str, str | None]:
    return verdict.subscription_id, verdict.trigger, verdict.firing_key


async def replayed_pages(
    archive: EventArchive, order: ReplayRequest, audience: ReplayTargets, now: datetime
) -> AsyncIterator[tuple[list[ArrivedEvent], ReplayedPage]]:
    """Yield each page of events with what it leads to, and in the end what time leads to."""
    refeed = EventReplay(order.replay, audience.listeners, audience.calendars)
    last: ArrivedEvent | None = None
    while page := await archive.page(order.stretch, last, _PAGE):
        yield page, _latest(refeed.replay_page(page, now))
        last = page[-1]
    yield [], refeed.end(order.stretch.until, now)


def _latest(fed: ReplayedPage) -> ReplayedPage:
    """Return it with one verdict for each event and trigger, the last."""
    last = {(one.event_id, one.subscription_id, one.trigger): one for one in fed.verdicts}
    return replace(fed, verdicts=tuple(last.values()))


def preview_view(found: ReplayPreview) -> View:
    """Return what a replay comes to as JSON."""
    order, stretch = found.order, found.order.stretch
    return {
        "replay": order.replay,
        "since": format_timestamp(stretch.since),
        "until": format_timestamp(stretch.until),
        "events": found.events,
        "triggers": [_tally_view(one) for one in found.tallies],
    }


def _tally_view(one: TriggerPreview) -> View:
    return {
        "subscription": one.subscription,
        "trigger": one.trigger,
        "paused": one.is_paused,
        "firings": one.firings,
        "new": one.new,
        "refused": one.refused,
        "left": [{"reason": reason, "count": count} for reason, count in _left(one.left.items())],
        "first": [
            {
                "uid": event.id,
                "type": event.document["type"],
                "arrivedAt": format_timestamp(event.arrived_at),
            }
            for event in one.events
        ],
    }


def _left(items: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
    return sorted(items, key=lambda item: -item[1])
