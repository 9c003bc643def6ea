"""Events on their way in, and what becomes of each; they are read and stored elsewhere."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from activityctl.domain.events.envelope import EventEnvelope
from activityctl.domain.events.input import InvalidEvent, RawEvent
from activityctl.domain.events.stored_event import EmitOutcome
from activityctl.domain.values.ids import EventId, event_id
from activityctl.errors import Problem


@dataclass(frozen=True, slots=True)
class ValidEvent:
    """An event of an input that can be stored."""

    origin: RawEvent
    envelope: EventEnvelope


@dataclass(frozen=True, slots=True)
class Emitted:
    """What became of one event of an input; one that is invalid has no attributes."""

    number: int
    """Counts the events of the input from 1."""
    outcome: EmitOutcome
    id: str | None = None
    """The sender's."""
    source: str | None = None
    type: str | None = None
    filled: tuple[str, ...] = ()
    """The attributes that the sender left out and that were put in."""
    problem: Problem | None = None
    """Why it is invalid, or where the one stands that is in conflict."""

    @property
    def uid(self) -> EventId | None:
        """Our id of the event."""
        if self.id is None or self.source is None:
            return None
        return event_id(self.source, self.id)


def stored_result(item: ValidEvent, outcome: EmitOutcome) -> Emitted:
    """Return what became of an event that could be stored."""
    event, origin = item.envelope, item.origin
    problem = None
    if outcome is EmitOutcome.CONFLICT:
        reason = f"{event.id} of {event.source} came before with other content, which stays"
        problem = Problem(origin.file, origin.line, origin.column, "", reason)
    return Emitted(
        origin.number,
        outcome,
        event.id,
        event.source,
        event.type,
        event.filled,
        problem,
    )


def invalid_result(item: InvalidEvent) -> Emitted:
    """Return what becomes of an event that is not taken."""
    return Emitted(item.number, EmitOutcome.INVALID, problem=item.problem)


def outcomes_of(
    events: Sequence[tuple[EventId, str]], new: Collection[EventId], kept: Mapping[EventId, str]
) -> list[EmitOutcome]:
    """Return the outcome of each event, given by our id and digest, in order.

    `new` are the ids of which none was kept before; `kept`, the digests that are kept now. Of
    events that share a new id the first is the one that was accepted.
    """
    waiting = set(new)
    outcomes = []
    for uid, digest in events:
        if uid in waiting:
            waiting.remove(uid)
            outcomes.append(EmitOutcome.ACCEPTED)
        elif kept[uid] == digest:
            outcomes.append(EmitOutcome.DUPLICATE)
        else:
            outcomes.append(EmitOutcome.CONFLICT)
    return outcomes
