"""Which events of the archive are meant; reading and removing them is the adapters'."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from activityctl.domain.events.parts import matches_glob
from activityctl.domain.events.stored_event import ArrivedEvent
from activityctl.errors import ConflictError, NotFoundError

CANDIDATES_TOLD: Final = 5
"""Events that are told when a reference fits several."""


@dataclass(frozen=True, slots=True)
class EventQuery:
    """Events that arrived from `since` on and before `until`."""

    since: datetime
    until: datetime
    types: tuple[str, ...] = ()
    """Patterns of which the type fits one, `*` standing for any characters; empty takes all."""
    sources: tuple[str, ...] = ()
    """Likewise, of the source."""

    def holds(self, event: ArrivedEvent) -> bool:
        """Whether the event is one of them."""
        return (
            self.since <= event.arrived_at < self.until
            and matches_any_glob(event.document["type"], self.types)
            and matches_any_glob(event.document["source"], self.sources)
        )


def sort_events(
    events: Iterable[ArrivedEvent], *, newest_first: bool = False
) -> list[ArrivedEvent]:
    """Return the events as they arrived, or the other way round."""
    return sorted(events, key=archive_order, reverse=newest_first)


def archive_order(event: ArrivedEvent) -> tuple[datetime, int]:
    """Return where the event stands in the archive; no two stand at one place."""
    return event.arrived_at, event.position


def matches_any_glob(text: str, patterns: Sequence[str]) -> bool:
    """Whether the text fits one of the patterns; without any, every text does."""
    return not patterns or any(matches_glob(text, pattern) for pattern in patterns)


def resolve_event(reference: str, found: Sequence[ArrivedEvent]) -> ArrivedEvent:
    """Return the event that the reference means, of those that it fits; ours comes before theirs.

    NotFoundError when there is none, ConflictError, which tells the first, when there are several.
    """
    exact = [one for one in found if one.id == reference]
    if exact or len(found) == 1:
        return (exact or found)[0]
    if not found:
        raise NotFoundError("event", reference, hint="activityctl get events")
    told = [f"{one.document['id']} (uid {one.id[:8]})" for one in found[:CANDIDATES_TOLD]]
    more = " and more" if len(found) > CANDIDATES_TOLD else ""
    raise ConflictError(
        f'"{reference}" fits several events: {", ".join(told)}{more}',
        hint="give more of the id, or of the uid, as activityctl get events -o wide shows it",
    )
