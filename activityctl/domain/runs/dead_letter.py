"""DeadLetter: a run that failed for good and waits for a person."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A run that failed for good and waits for a person."""

    id: str
    run_id: str
    subscription_id: str
    reason: str
    created_at: datetime
