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
    labels: Mapping[str, str] = field(default_factory=dict)
    limit: int = 100
