"""LogEntry: one line in the log of a subscription or run. Cursor: a position in the log."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from activityctl.domain.values.model import JsonValue

Level = Literal["debug", "info", "warning", "error"]


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One line of a subscription's log; `id` is 0 until Postgres has assigned one."""

    subscription_id: str
    run_id: str | None
    message: str
    level: Level
    created_at: datetime
    metadata: Mapping[str, JsonValue] = field(default_factory=dict)
    id: int = 0


@dataclass(frozen=True, slots=True, order=True)
class Cursor:
    """A position in a log: the last entry that was read, by transaction, then by id.

    An id alone is not enough: a row with a smaller id may be committed after a row with a
    larger id was read.
    """

    transaction: int = 0
    id: int = 0
