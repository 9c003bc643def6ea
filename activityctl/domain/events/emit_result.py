"""The result of emitting each event of an input.

Reading the input and storing events happen elsewhere.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from activityctl.domain.events.envelope import EventEnvelope
from activityctl.domain.events.input import InvalidEvent, RawEvent
from activityctl.domain.events.stored_event import EmitOutcome
from activityctl.domain.values.ids import EventId
from activityctl.errors import Problem


class ValidEvent(NamedTuple):
    """An event of an input that is valid, so it can be stored."""

    origin: RawEvent
    envelope: EventEnvelope


class Emitted(NamedTuple):
    """The result of one event of an input; an invalid event has no attributes."""

    number: int
    """The event's number in the input, from 1."""
    outcome: EmitOutcome
    id: str | None = None
    """The id that the sender gave."""
    source: str | None = None
    type: str | None = None
    filled: tuple[str, ...] = ()
    """Names of the attributes that the sender left out and `fill` added."""
    problem: Problem | None = None
    """Why the event is invalid or in conflict, with its position in the input."""
    uid: EventId | None = None
    """Our id of the event; None if it is invalid."""


def stored_result(item: ValidEvent, outcome: EmitOutcome) -> Emitted:
    """Return the result of a valid event."""
    event, origin = item.envelope, item.origin
    problem = None
    if outcome is EmitOutcome.CONFLICT:
        reason = (
            f"an event with id {event.id} and source {event.source} is already stored "
            "with other content; the stored event is kept"
        )
        problem = Problem(origin.file, origin.line, origin.column, "", reason)
    return emitted_of(origin.number, event, outcome, problem)


def emitted_of(
    number: int, event: EventEnvelope, outcome: EmitOutcome, problem: Problem | None = None
) -> Emitted:
    """Return the result of an event that was stored, now or before, or is in conflict."""
    named = event.document
    return Emitted(
        number,
        outcome,
        named["id"],
        named["source"],
        named["type"],
        event.filled,
        problem,
        event.event_id,
    )


def invalid_result(item: InvalidEvent) -> Emitted:
    """Return the result of an invalid event."""
    return Emitted(item.number, EmitOutcome.INVALID, problem=item.problem)


def outcomes_of(
    events: Sequence[tuple[EventId, str]], new: Collection[EventId], kept: Mapping[EventId, str]
) -> list[EmitOutcome]:
    """Return the outcome of each event, in order; an event is our id and its digest.

    `new` has the ids that were not stored before. `kept` has the digest that is stored now, by
    id. If several events share a new id, the first of them is accepted.
    """
    not_accepted_yet = set(new)
    outcomes = []
    for uid, digest in events:
        if uid in not_accepted_yet:
            not_accepted_yet.remove(uid)
            outcomes.append(EmitOutcome.ACCEPTED)
        elif kept[uid] == digest:
            outcomes.append(EmitOutcome.DUPLICATE)
        else:
            outcomes.append(EmitOutcome.CONFLICT)
    return outcomes
