"""Find what a replay of events would start, without storing anything."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from activityctl.domain.events.query import EventQuery
from activityctl.domain.events.stored_event import ArrivedEvent, VerdictOutcome
from activityctl.domain.routing.index import Listener
from activityctl.domain.routing.listeners import live_listeners
from activityctl.domain.routing.replay import EventReplay, ReplayedPage
from activityctl.domain.timing.window import DaysByCalendar
from activityctl.domain.values.json_form import View, format_timestamp
from activityctl.errors import ConflictError, NotFoundError, UsageError
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.ports import Catalog, EventArchive, EventStore

SHOWN_EVENTS: Final = 5
_PAGE: Final = 500

OnProgress = Callable[[int, int], None]
"""Called with the number of events read and the number to read."""


@frozen_dataclass
class ReplayRequest:
    """What the user asks for."""

    replay: str
    """The replay's name: under one name, an event starts a run of a trigger only once."""
    query: EventQuery
    subscription: str | None
    """None for all subscriptions."""
    trigger: str | None
    """None for all event triggers."""


@frozen_dataclass
class ReplayTargets:
    """The listeners that a replay routes to, as they were when it began."""

    listeners: tuple[Listener, ...]
    calendars: DaysByCalendar
    names: dict[str, str]
    """Names of the subscriptions, by id."""
    paused: frozenset[str]
    """Ids of the paused subscriptions."""


@dataclass(slots=True)
class TriggerPreview:
    """What a replay would start for one trigger."""

    subscription: str
    trigger: str
    is_paused: bool
    firings: int = 0
    new: int = 0
    """Firings that this replay has not started before."""
    refused: int = 0
    """Firings that may not start, for example excluded days: each becomes a run that has ended."""
    left: dict[str, int] = field(default_factory=dict)
    """The number of events that matched, or could not be evaluated, and start no run, by reason."""
    events: list[ArrivedEvent] = field(default_factory=list)
    """The first events that start new runs, at most SHOWN_EVENTS."""


@frozen_dataclass
class ReplayPreview:
    """What a replay would start now; nothing is stored yet."""

    request: ReplayRequest
    targets: ReplayTargets
    events: int
    """The number of archived events that the request selects."""
    triggers: tuple[TriggerPreview, ...]

    @property
    def new(self) -> int:
        """The number of runs that it would start."""
        return sum(trigger.new for trigger in self.triggers)


async def replay_targets(catalog: Catalog, request: ReplayRequest) -> ReplayTargets:
    """Return the listeners that the request selects.

    NotFoundError for an unknown subscription or trigger, ConflictError for a deleted
    subscription, UsageError when there is no event trigger.
    """
    present = await catalog.present()
    if request.subscription is None:
        owners = [live for name in sorted(present.subscriptions) if (live := present.live(name))]
    else:
        named = await catalog.find_subscription(request.subscription)
        live = present.live(named.name)
        if live is None:
            raise ConflictError(
                f'subscription "{named.name}" was deleted', hint="apply its manifest again"
            )
        owners = [live]
    live_triggers = live_listeners(present.specs, owners, present.revisions)
    listeners = [listener for _, listener in live_triggers]
    return ReplayTargets(
        tuple(_with_trigger(listeners, request)),
        {name: calendar.days for name, calendar in present.calendars.items()},
        {owner.id: owner.name for owner in owners},
        frozenset(owner.id for owner in owners if owner.status == "paused"),
    )


def _with_trigger(listeners: Sequence[Listener], request: ReplayRequest) -> Sequence[Listener]:
    """Return the listeners of the requested trigger, or all when no trigger is named."""
    if not listeners:
        named = f'subscription "{request.subscription}"' if request.subscription else None
        text = f"{named} has no event trigger" if named else "no subscription has an event trigger"
        raise UsageError(text, hint="activityctl get subscriptions")
    chosen = [listener for listener in listeners if request.trigger in (None, listener.trigger)]
    if not chosen:
        listed = ", ".join(sorted({listener.trigger for listener in listeners}))
        raise NotFoundError("trigger", str(request.trigger), hint=f"event triggers: {listed}")
    return chosen


async def preview_replay(
    catalog: Catalog,
    events: EventStore,
    archive: EventArchive,
    request: ReplayRequest,
    now: datetime,
    *,
    on_progress: OnProgress = lambda _read, _total: None,
) -> ReplayPreview:
    """Return what the replay would start. Raises what `replay_targets` raises."""
    targets = await replay_targets(catalog, request)
    total = await archive.count(request.query)
    previews = {
        (listener.subscription, listener.trigger): TriggerPreview(
            targets.names[listener.subscription],
            listener.trigger,
            listener.subscription in targets.paused,
        )
        for listener in targets.listeners
    }
    read = 0
    async for page, replayed in replayed_pages(archive, request, targets, now):
        await _count(events, request, previews, replayed, {event.id: event for event in page})
        read += len(page)
        on_progress(read, total)
    return ReplayPreview(request, targets, total, tuple(previews.values()))


async def _count(
    events: EventStore,
    request: ReplayRequest,
    previews: dict[tuple[str, str], TriggerPreview],
    replayed: ReplayedPage,
    known: dict[str, ArrivedEvent],
) -> None:
    """Add what a page of events leads to, to the previews; `known` has the page's events by id."""
    firsts = [firing.event_ids[0] for firing in replayed.firings]
    recorded = await events.verdicts(firsts) if firsts else []
    started = {
        (verdict.subscription_id, verdict.trigger, verdict.firing_key)
        for verdict in recorded
        if verdict.replay == request.replay and verdict.outcome is VerdictOutcome.WOKEN
    }
    for firing in replayed.firings:
        preview = previews[firing.subscription_id, firing.trigger]
        preview.firings += 1
        if (firing.subscription_id, firing.trigger, firing.firing_key) in started:
            continue
        preview.new += 1
        event = known.get(firing.event_ids[-1])
        if event is not None and len(preview.events) < SHOWN_EVENTS:
            preview.events.append(event)
    for refused in replayed.refused:
        previews[refused.subscription_id, refused.trigger].refused += 1
    for verdict in replayed.verdicts:
        if verdict.outcome not in {VerdictOutcome.WOKEN, VerdictOutcome.GATHERED}:
            left = previews[verdict.subscription_id, verdict.trigger].left
            reason = f"{verdict.outcome.value}: {verdict.reason}"
            left[reason] = left.get(reason, 0) + 1


async def replayed_pages(
    archive: EventArchive, request: ReplayRequest, targets: ReplayTargets, now: datetime
) -> AsyncIterator[tuple[list[ArrivedEvent], ReplayedPage]]:
    """Yield each page of events with what it leads to.

    At the end, yield no events with what follows from the time between the last event and the
    end of the query.
    """
    replay = EventReplay(request.replay, targets.listeners, targets.calendars)
    last: ArrivedEvent | None = None
    while page := await archive.page(request.query, last, _PAGE):
        yield page, _with_last_verdicts(replay.replay_page(page, now))
        last = page[-1]
    yield [], replay.end(request.query.until, now)


def _with_last_verdicts(replayed: ReplayedPage) -> ReplayedPage:
    """Return the page with only the last verdict for each event and trigger."""
    last = {
        (verdict.event_id, verdict.subscription_id, verdict.trigger): verdict
        for verdict in replayed.verdicts
    }
    return replace(replayed, verdicts=tuple(last.values()))


def preview_view(preview: ReplayPreview) -> View:
    """Return the preview in its JSON form."""
    query = preview.request.query
    return {
        "replay": preview.request.replay,
        "since": format_timestamp(query.since),
        "until": format_timestamp(query.until),
        "events": preview.events,
        "triggers": [_trigger_view(trigger) for trigger in preview.triggers],
    }


def _trigger_view(preview: TriggerPreview) -> View:
    left = sorted(preview.left.items(), key=lambda item: -item[1])
    return {
        "subscription": preview.subscription,
        "trigger": preview.trigger,
        "paused": preview.is_paused,
        "firings": preview.firings,
        "new": preview.new,
        "refused": preview.refused,
        "left": [{"reason": reason, "count": count} for reason, count in left],
        "first": [
            {
                "uid": event.id,
                "type": event.document["type"],
                "arrivedAt": format_timestamp(event.arrived_at),
            }
            for event in preview.events
        ],
    }
