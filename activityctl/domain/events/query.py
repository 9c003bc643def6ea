"""EventQuery: selects stored events; reading and removing them happens in the adapters."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from activityctl.domain.events.parts import matches_glob
from activityctl.domain.events.stored_event import ArrivedEvent
from activityctl.errors import AmbiguousError, NotFoundError
from activityctl.frozen_dataclass import frozen_dataclass


@frozen_dataclass
class EventQuery:
    """Selects events that arrived at or after `since` and before `until`."""

    since: datetime
    until: datetime
    types: tuple[str, ...] = ()
    """Patterns for the type, in which `*` stands for any characters; one must match.

    Empty selects every type.
    """
    sources: tuple[str, ...] = ()
    """The same for the source."""

    def holds(self, event: ArrivedEvent) -> bool:
        """Whether the query selects the event."""
        return (
            self.since <= event.arrived_at < self.until
            and matches_any_glob(event.document["type"], self.types)
            and matches_any_glob(event.document["source"], self.sources)
        )


def sort_events(
    events: Iterable[ArrivedEvent], *, newest_first: bool = False
) -> list[ArrivedEvent]:
    """Return the events in the order of arrival, or in the reverse order."""
    return sorted(events, key=archive_order, reverse=newest_first)


def archive_order(event: ArrivedEvent) -> tuple[datetime, int]:
    """Return the event's sort key in the archive, which is unique."""
    return event.arrived_at, event.position


def matches_any_glob(text: str, patterns: Sequence[str]) -> bool:
    """Whether the text matches one of the patterns; True if there are no patterns."""
    return not patterns or any(matches_glob(text, pattern) for pattern in patterns)


def resolve_event(reference: str, found: Sequence[ArrivedEvent]) -> ArrivedEvent:
    """Return the event that the reference names, out of the events that it matches.

    An event whose uid (our id) is the reference comes before all others. Raises NotFoundError if
    there is no event, AmbiguousError with the first candidates if there are several.
    """
    exact = [event for event in found if event.id == reference]
    if exact or len(found) == 1:
        return (exact or found)[0]
    if not found:
        raise NotFoundError("event", reference, hint="activityctl get events")
    raise AmbiguousError(
        reference,
        "events",
        [f"{event.document['id']} (uid {event.id[:8]})" for event in found],
        hint="give more of the id or of the uid; activityctl get events -o wide shows both",
    )
