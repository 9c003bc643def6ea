"""The gatherer: what a routing's events, and the time, make of triggers that wait for several."""

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
"""Gatherings that time changes and that are in memory at once."""


async def route_gatherings(
    routing: Routing, matches: Sequence[EventMatches], standing: GatheringListeners, until: datetime
) -> Routed:
    """Return what the matches led to beside plain firings, and what time did.

    All events that arrived up to `until` are routed before, or among the matches.
    """
    if matches:
        arrivals, verdicts = await asyncio.to_thread(gathering_inputs, matches, routing.now)
    else:
        arrivals, verdicts = [], []
    keys = {one.key for one in arrivals}
    present = await routing.gatherings(keys, until, DUE_AT_ONCE)
    if not arrivals and not present:
        return Routed(events=(), replaced_verdicts=tuple(verdicts))
    circumstances = await _routing_state(routing, arrivals, present, standing)
    found = GatheringRound(present, standing, circumstances)
    await asyncio.to_thread(_move, found, arrivals, until)
    wanted = {event.id for due in found.due if due.needs_documents for event in due.events}
    documents = await routing.stored_events(wanted) if wanted else {}
    return Routed(events=(), replaced_verdicts=tuple(verdicts)) + found.routed(documents)


def _move(found: GatheringRound, arrivals: Sequence[GatheringInput], until: datetime) -> None:
    for arrival in arrivals:
        found.take(arrival)
    found.advance_time(until)


async def _routing_state(
    routing: Routing,
    arrivals: Sequence[GatheringInput],
    present: Sequence[Gathering],
    standing: GatheringListeners,
) -> RoutingState:
    keys = [*(one.key for one in arrivals), *(one.key for one in present)]
    owners = {(key.subscription_id, key.trigger) for key in keys}
    exclusions = [standing[one].event.exclude for one in owners if one in standing]
    names = {name for one in exclusions if one is not None for name in one.calendars}
    return RoutingState(
        routing.now,
        await routing.paused({subscription for subscription, _ in owners}),
        await routing.calendars(names) if names else {},
    )
