"""LogEntry: what a run or subscription said. Cursor: a position in the log."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from activityctl.domain.values.model import JsonValue

Level = Literal["debug", "info", "warning", "error"]


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One line of a subscription's log; `id` is 0 until Postgres gave it one."""

    subscription_id: str
    run_id: str | None
    message: str
    level: Level
    created_at: datetime
    metadata: Mapping[str, JsonValue] = field(default_factory=dict)
    id: int = 0


@dataclass(frozen=True, slots=True, order=True)
class Cursor:
    """A place in a log: the entries of transactions up to it, in commit-safe order.

    Ids alone do not do: a row with a smaller id may commit after a larger one was read.
    """

    transaction: int = 0
    id: int = 0
