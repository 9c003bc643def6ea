"""Route events to triggers that gather several events, and fire gatherings that are due."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final

from activityctl.domain.cel.evaluator import Evaluator, evaluating_with
from activityctl.domain.events.gathering import Gathering
from activityctl.domain.events.stored_event import ArrivedEvent
from activityctl.domain.routing.gathering_round import (
    GatheringInput,
    GatheringListeners,
    GatheringRound,
    gathering_inputs,
)
from activityctl.domain.routing.routing import EventMatches, Routed, RoutingState
from activityctl.domain.timing.window import DaysByCalendar
from activityctl.domain.values.ids import EventId
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.ports import Routing

DUE_AT_ONCE: Final = 100
"""The most gatherings, due by time alone, that are in memory at once."""
_JUDGED_BYTES: Final = 8 << 20
"""About how many bytes of waiting events are in memory at once to be judged again."""


@frozen_dataclass
class GatheringSet:
    """The triggers that gather events and the days that they exclude, from one apply."""

    listeners: GatheringListeners
    calendars: DaysByCalendar


async def route_gatherings(
    routing: Routing,
    matches: Sequence[EventMatches],
    triggers: GatheringSet,
    until: datetime,
    evaluator: Callable[[], Evaluator | None],
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
    keys |= {gathering.key for gathering in present}
    paused = await routing.paused({key.subscription_id for key in keys})
    state = RoutingState(routing.now, paused, triggers.calendars)
    gathering_round = GatheringRound(present, triggers.listeners, state)
    for group in _in_groups(gathering_round.unjudged):
        stored = await routing.stored_events(
            [event.id for gathering in group for event in gathering.events]
        )
        await asyncio.to_thread(_judge_again, gathering_round, group, stored, evaluator)
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


def _judge_again(
    gathering_round: GatheringRound,
    gatherings: Sequence[Gathering],
    stored: Mapping[EventId, ArrivedEvent],
    evaluator: Callable[[], Evaluator | None],
) -> None:
    for gathering in gatherings:
        with evaluating_with(evaluator()):
            gathering_round.judge_again(gathering, stored)


def _in_groups(gatherings: Sequence[Gathering]) -> Iterator[list[Gathering]]:
    """Yield the gatherings in groups whose events have a limited size together."""
    group: list[Gathering] = []
    size = 0
    for gathering in gatherings:
        group.append(gathering)
        size += sum(event.size for event in gathering.events)
        if size > _JUDGED_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group
