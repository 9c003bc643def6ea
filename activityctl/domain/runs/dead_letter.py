"""DeadLetter: the entry for a run that failed and that a person has to look at."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A run that failed or timed out and that a person has to look at."""

    id: str
    run_id: str
    subscription_id: str
    reason: str
    created_at: datetime
