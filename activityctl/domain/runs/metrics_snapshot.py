"""MetricsSnapshot: counts at one moment, for metrics and `status`."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import field
from datetime import datetime, timedelta
from typing import Final

from activityctl.domain.manifests.subscription import SubscriptionStatus
from activityctl.domain.runs.run import RunStatus
from activityctl.domain.tasks.breaker import BreakerStatus
from activityctl.frozen_dataclass import frozen_dataclass

RUNS_COUNTED_FOR: Final = timedelta(days=1)
"""Ended runs are counted for this long after their creation; open runs always."""
OVERDUE_AFTER: Final = timedelta(seconds=10)
"""A schedule is overdue when its next nominal time passed this long ago without a decision."""

WAITS_TOO_LONG: Final = timedelta(seconds=60)
"""When a due firing waits longer than this, no worker seems to start firings."""

MOST_SUBSCRIPTIONS: Final = 100
"""How many subscriptions a metric names."""
OTHER_SUBSCRIPTIONS: Final = "_other"
"""Stands for all other subscriptions; no name begins like this."""
SCHEDULE_STATUSES: Final = ("active", "paused", "pending", "error")
FIRING_STATES: Final = ("due", "later", "held")
LIVING: Final = (SubscriptionStatus.ACTIVE, SubscriptionStatus.PAUSED)


@frozen_dataclass
class MetricsSnapshot:
    """Counts at one moment. A key that a mapping does not have counts as 0."""

    counted_at: datetime
    runs: Mapping[str, int]
    """By status: all open runs, and the ended ones that were created in the last day."""
    firings: Mapping[str, int]
    """Firings that have not started, by state: `due`, `later`, or `held` by a backfill."""
    oldest_due_at: datetime | None
    """From when the oldest due firing could have started; None when no firing is due."""
    schedules: Mapping[str, int]
    """By status."""
    overdue_schedules: int
    """How many schedules of active subscriptions are overdue."""
    restarts: int
    """How often the watchdog created an alarm again, summed over all alarms."""
    restarted_at: datetime | None
    """When it last did so; None for never."""
    subscriptions: Mapping[str, int]
    """By status, without deleted subscriptions."""
    workers: int
    """How many workers are alive."""
    dead_letters: Mapping[str, int]
    """Open dead letters by the name of their subscription; one without any is absent."""
    alarms: int = 0
    """How many alarms Temporal has; schedules with the same timing share one."""
    breakers: Mapping[str, int] = field(default_factory=dict)
    """Circuit breakers that have ever opened, by status."""
    breaker_openings: int = 0
    """How often breakers have opened, summed over all of them."""
    late_runs: Mapping[str, int] = field(default_factory=dict)
    """Deadlines of an slo that were missed in the last day, by the name of the subscription."""
    ended_runs: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """Ended runs created in the last day, by the name of their subscription and by status."""
    held_tasks: int = 0
    """Tasks that wait for a breaker or a limit."""
    stuck_runs: int = 0
    """Open runs whose workflow no worker can go on with."""
    unrouted_events: int = 0
    """Stored events that are not routed yet."""
    oldest_unrouted_at: datetime | None = None
    """When the oldest of these arrived; None when there are none."""
    filter_errors: int = 0
    """How often a trigger's filter could not be evaluated in the last day."""

    @property
    def due_lag(self) -> timedelta:
        """How long the oldest due firing has waited; 0 when none is due."""
        oldest = self.oldest_due_at
        return timedelta(0) if oldest is None else max(timedelta(0), self.counted_at - oldest)

    @property
    def event_lag(self) -> timedelta:
        """How long the oldest unrouted event has waited; 0 when there is none."""
        oldest = self.oldest_unrouted_at
        return timedelta(0) if oldest is None else max(timedelta(0), self.counted_at - oldest)


def bounded(counts: Mapping[tuple[str, ...], int]) -> dict[tuple[str, ...], int]:
    """Return the counts of the MOST_SUBSCRIPTIONS with the highest ones, and the sums of others.

    The first part of a key is the name of a subscription; the others are OTHER_SUBSCRIPTIONS. So
    a metric has a limited number of series, however many subscriptions there are.
    """
    totals: Counter[str] = Counter()
    for (name, *_), count in counts.items():
        totals[name] += count
    ordered = sorted(totals, key=lambda name: (-totals[name], name))
    shown = frozenset(ordered[:MOST_SUBSCRIPTIONS])
    kept: Counter[tuple[str, ...]] = Counter()
    for (name, *rest), count in sorted(counts.items()):
        kept[(name if name in shown else OTHER_SUBSCRIPTIONS, *rest)] += count
    return dict(kept)


def complete(counts: Mapping[str, int], keys: tuple[str, ...]) -> dict[str, int]:
    """Return the counts of these keys, with 0 for each key that is absent."""
    return {key: counts.get(key, 0) for key in keys}


RUN_STATUSES: Final = tuple(status.value for status in RunStatus)
BREAKER_STATUSES: Final = tuple(status.value for status in BreakerStatus)
SUBSCRIPTION_STATUSES: Final = tuple(status.value for status in LIVING)
