"""Events that come to a gathering, in seconds, and what it does with them."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from activityctl.domain.events.gathering import (
    GatheredEvent,
    GatheringFired,
    GatheringOutcome,
    GatheringPolicy,
    WaitingEvents,
    add_event,
)
from activityctl.domain.values.ids import EventId

START = datetime(2026, 5, 1, 12, tzinfo=UTC)
Given = tuple[int, tuple[str, ...]]
"""When an event comes, in seconds, and for which parts it counts."""


def seconds(count: float) -> timedelta:
    return timedelta(seconds=count)


def at(second: int) -> datetime:
    return START + seconds(second)


def event(number: int, given: Given, size: int = 0) -> GatheredEvent:
    return GatheredEvent(EventId(str(number)), at(given[0]), given[1], size)


def run(
    rule: GatheringPolicy, history: Sequence[Given], until: int
) -> tuple[WaitingEvents, list[GatheringOutcome]]:
    """Take the events, numbered from 0, and let time go on."""
    waiting: WaitingEvents = ()
    steps: list[GatheringOutcome] = []
    for number, given_one in enumerate(history):
        waiting, more = add_event(rule, waiting, event(number, given_one))
        steps += more
    waiting, more = rule.advance_time(waiting, at(until))
    return waiting, steps + more


def told(steps: Sequence[GatheringOutcome]) -> list[str]:
    """Each step as `second: events` or `events: reason`."""
    shown = []
    for step in steps:
        ids = " ".join(one.id for one in step.events)
        if isinstance(step, GatheringFired):
            shown.append(f"{(step.at - START).total_seconds():.0f}: {ids}")
        else:
            shown.append(f"{ids}: {step.reason}")
    return shown


def plain(*times: int) -> list[Given]:
    return [(time, ()) for time in times]


def named(text: str) -> list[Given]:
    """Read `0a 5ab` as events at those seconds that count for those parts."""
    return [
        (int(word.rstrip("abc")), tuple(letter for letter in word if letter.isalpha()))
        for word in text.split()
    ]
