"""Route events to triggers that gather several events, and fire gatherings that are due."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from activityctl.domain.events.gathering import Gathering
from activityctl.domain.routing.gathering_round import (
    GatheringInput,
    GatheringListeners,
    GatheringRound,
    gathering_inputs,
)
from activityctl.domain.routing.routing import EventMatches, Routed, RoutingState
from activityctl.ports import Routing

DUE_AT_ONCE: Final = 100
"""The most gatherings, due by time alone, that are in memory at once."""


async def route_gatherings(
    routing: Routing,
    matches: Sequence[EventMatches],
    listeners: GatheringListeners,
    until: datetime,
) -> Routed:
    """Return what the matches and the time up to `until` lead to for triggers that gather.

    All events that arrived up to `until` must be routed already or be among the matches.
    """
    if matches:
        arrivals, verdicts = await asyncio.to_thread(gathering_inputs, matches, routing.now)
    else:
        arrivals, verdicts = [], []
    keys = {arrival.key for arrival in arrivals}
    present = await routing.gatherings(keys, until, DUE_AT_ONCE)
    if not arrivals and not present:
        return Routed(events=(), replaced_verdicts=tuple(verdicts))
    state = await _routing_state(routing, arrivals, present, listeners)
    gathering_round = GatheringRound(present, listeners, state)
    await asyncio.to_thread(_advance, gathering_round, arrivals, until)
    wanted = {
        event.id for due in gathering_round.due if due.needs_documents for event in due.events
    }
    documents = await routing.stored_events(wanted) if wanted else {}
    return Routed(events=(), replaced_verdicts=tuple(verdicts)) + await asyncio.to_thread(
        gathering_round.routed, documents
    )


def _advance(
    gathering_round: GatheringRound, arrivals: Sequence[GatheringInput], until: datetime
) -> None:
    for arrival in arrivals:
        gathering_round.take(arrival)
    gathering_round.advance_time(until)


async def _routing_state(
    routing: Routing,
    arrivals: Sequence[GatheringInput],
    present: Sequence[Gathering],
    listeners: GatheringListeners,
) -> RoutingState:
    """Return which subscriptions are paused, and the calendars that the triggers exclude."""
    keys = [*(arrival.key for arrival in arrivals), *(gathering.key for gathering in present)]
    owners = {(key.subscription_id, key.trigger) for key in keys}
    exclusions = [listeners[owner].event.exclude for owner in owners if owner in listeners]
    names = {name for exclude in exclusions if exclude is not None for name in exclude.calendars}
    return RoutingState(
        routing.now,
        await routing.paused({subscription for subscription, _ in owners}),
        await routing.calendars(names) if names else {},
    )
