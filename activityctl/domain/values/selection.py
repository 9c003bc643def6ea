"""Selection: which objects of a kind a list shall show."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Selection:
    """Every field narrows the list; None does not."""

    name: str | None = None
    """A name, or an id or unique prefix of one, as the kind has it."""
    subscription_id: str | None = None
    run_id: str | None = None
    status: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    """Before when; of events."""
    types: tuple[str, ...] = ()
    """Patterns of which an event's type fits one, `*` standing for any characters."""
    sources: tuple[str, ...] = ()
    """Likewise, of its source."""
    labels: Mapping[str, str] = field(default_factory=dict)
    limit: int | None = 100
    """How many at most; None for all."""
