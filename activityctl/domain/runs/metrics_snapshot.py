"""Figures: how many of everything there are at one moment, for metrics and `status`."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from activityctl.domain.manifests.subscription import SubscriptionStatus
from activityctl.domain.runs.run import RunStatus

RUNS_COUNTED_FOR: Final = timedelta(days=1)
"""Ended runs are counted this long after they were created; open ones always."""
OVERDUE_AFTER: Final = timedelta(seconds=10)
"""A schedule whose next firing was due this long ago is overdue: nothing settled it."""

WAITS_TOO_LONG: Final = timedelta(seconds=60)
"""A due firing that waits longer than this is not started by any worker."""

SCHEDULE_STATUSES: Final = ("active", "paused", "pending", "error")
FIRING_STATES: Final = ("due", "later", "held")
LIVING: Final = (SubscriptionStatus.ACTIVE, SubscriptionStatus.PAUSED)


@dataclass(frozen=True, slots=True)
class MetricsSnapshot:
    """Counts at one moment; what is absent from a mapping counts zero."""

    counted_at: datetime
    runs: Mapping[str, int]
    """By status: those of the last day and all open ones."""
    firings: Mapping[str, int]
    """Waiting to be started: `due`, `later`, or `held` back by a backfill."""
    oldest_due_at: datetime | None
    """Since when the oldest due firing could have started."""
    schedules: Mapping[str, int]
    """By status."""
    overdue_schedules: int
    """Of active subscriptions."""
    restarts: int
    """How often the watchdog created a schedule anew, over all schedules."""
    restarted_at: datetime | None
    """When it did so last."""
    subscriptions: Mapping[str, int]
    """By status, deleted ones left out."""
    workers: int
    """Those alive."""
    dead_letters: int
    unrouted_events: int = 0
    """Events of which it is not yet found out whom they wake."""
    oldest_unrouted_at: datetime | None = None
    """When the oldest of these arrived."""
    filter_errors: int = 0
    """How often the filter of a trigger could not be evaluated, within the last day."""

    @property
    def due_lag(self) -> timedelta:
        """How long the oldest due firing has waited; zero when none does."""
        oldest = self.oldest_due_at
        return timedelta(0) if oldest is None else max(timedelta(0), self.counted_at - oldest)

    @property
    def event_lag(self) -> timedelta:
        """How long the oldest unrouted event has waited; zero when none does."""
        oldest = self.oldest_unrouted_at
        return timedelta(0) if oldest is None else max(timedelta(0), self.counted_at - oldest)


def complete(counts: Mapping[str, int], keys: tuple[str, ...]) -> dict[str, int]:
    """Return the counts with a zero for each key that is absent."""
    return {key: counts.get(key, 0) for key in keys}


RUN_STATUSES: Final = tuple(status.value for status in RunStatus)
SUBSCRIPTION_STATUSES: Final = tuple(status.value for status in LIVING)
