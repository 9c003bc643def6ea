"""Which events of the archive are meant; reading and removing them is the adapters'."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from activityctl.domain.arrival import ArrivedEvent
from activityctl.domain.event_parts import fits


@dataclass(frozen=True, slots=True)
class Stretch:
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
            and _fits_one(event.document["type"], self.types)
            and _fits_one(event.document["source"], self.sources)
        )


def in_order(events: Iterable[ArrivedEvent], *, newest_first: bool = False) -> list[ArrivedEvent]:
    """Return the events as they arrived, or the other way round."""
    return sorted(events, key=position, reverse=newest_first)


def position(event: ArrivedEvent) -> tuple[datetime, int]:
    """Return where the event stands in the archive; no two stand at one place."""
    return event.arrived_at, event.place


def _fits_one(text: str, patterns: Sequence[str]) -> bool:
    return not patterns or any(fits(text, pattern) for pattern in patterns)
