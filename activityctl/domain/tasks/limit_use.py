"""LimitUse: what a limit lets through now, and the JSON view of a limit for people."""

from collections.abc import Sequence
from datetime import datetime

from activityctl.domain.tasks.limit import Limit
from activityctl.domain.values.duration import format_duration
from activityctl.domain.values.json_form import View, format_timestamp
from activityctl.frozen_dataclass import frozen_dataclass


@frozen_dataclass
class LimitUse:
    """How many attempts of a limit are at work, and how many tasks wait for it."""

    name: str
    at_work: int = 0
    waiting: int = 0
    next_at: datetime | None = None
    """When the first of those that wait asks again."""


def limit_view(limit: Limit, users: Sequence[str], use: LimitUse) -> View:
    """Return the JSON view of a limit; `users` are the definitions whose tasks name it."""
    return {
        "name": limit.name,
        "rate": limit.rate,
        "per": None if limit.rate is None else format_duration(limit.per),
        "burst": None if limit.rate is None else limit.burst,
        "concurrency": limit.concurrency,
        "usedBy": list(users),
        "atWork": use.at_work,
        "waiting": use.waiting,
        "nextAt": format_timestamp(use.next_at),
    }
