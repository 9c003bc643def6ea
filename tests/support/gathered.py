"""Feeds events to a gathering at given seconds, and shows the outcomes."""

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
"""The second at which an event arrives, and the parts that it matches."""


def seconds(count: float) -> timedelta:
    return timedelta(seconds=count)


def at(second: int) -> datetime:
    return START + seconds(second)


def event(number: int, given: Given, size: int = 0) -> GatheredEvent:
    return GatheredEvent(EventId(str(number)), at(given[0]), given[1], size)


def run(
    rule: GatheringPolicy, history: Sequence[Given], until: int
) -> tuple[WaitingEvents, list[GatheringOutcome]]:
    """Add the events, numbered from 0, and advance the time to the second `until`."""
    waiting: WaitingEvents = ()
    outcomes: list[GatheringOutcome] = []
    for number, arrival in enumerate(history):
        waiting, more = add_event(rule, waiting, event(number, arrival))
        outcomes += more
    waiting, more = rule.advance_time(waiting, at(until))
    return waiting, outcomes + more


def formatted(outcomes: Sequence[GatheringOutcome]) -> list[str]:
    """Return each outcome as `second: events` or as `events: reason`."""
    shown = []
    for outcome in outcomes:
        ids = " ".join(event.id for event in outcome.events)
        if isinstance(outcome, GatheringFired):
            shown.append(f"{(outcome.at - START).total_seconds():.0f}: {ids}")
        else:
            shown.append(f"{ids}: {outcome.reason}")
    return shown


def plain(*times: int) -> list[Given]:
    return [(time, ()) for time in times]


def named(text: str) -> list[Given]:
    """Read `0a 5ab` as events at these seconds that match these parts."""
    return [
        (int(word.rstrip("abc")), tuple(letter for letter in word if letter.isalpha()))
        for word in text.split()
    ]
