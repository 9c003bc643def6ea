"""The Prometheus metrics: names, units and help texts; counting them is done elsewhere."""

from collections.abc import Iterator, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from activityctl.domain.runs.metrics_snapshot import (
    BREAKER_STATUSES,
    FIRING_STATES,
    RUN_STATUSES,
    SCHEDULE_STATUSES,
    SUBSCRIPTION_STATUSES,
    MetricsSnapshot,
    bounded,
    complete,
)
from activityctl.domain.runs.worker import COUNTS_AS_ALIVE

CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4


def exposition(figures: MetricsSnapshot) -> bytes:
    """Return the figures in Prometheus' text format, with a registry of this call only."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_SnapshotCollector(figures))
    return generate_latest(registry)


class _SnapshotCollector(Collector):
    def __init__(self, figures: MetricsSnapshot) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        """Yield every metric."""
        yield from self._runs_and_firings()
        yield from self._events()
        yield from self._schedules()
        yield from self._breakers()
        yield from self._by_subscription()
        figures = self._figures
        yield _labelled(
            "subscriptions",
            "Subscriptions by status.",
            "status",
            complete(figures.subscriptions, SUBSCRIPTION_STATUSES),
        )
        yield _gauge(
            "workers_alive",
            f"Workers that sent a beat within the last {COUNTS_AS_ALIVE.seconds} seconds.",
            figures.workers,
        )
        yield _gauge(
            "dead_letters",
            "Open dead letters: what failed for good; neither retried, replayed nor discarded.",
            sum(figures.dead_letters.values()),
        )

    def _by_subscription(self) -> Iterator[Metric]:
        figures = self._figures
        ended = GaugeMetricFamily(
            "activityctl_runs_ended",
            "Ended runs created within the last 24 hours, by subscription and status.",
            labels=["subscription", "status"],
        )
        for key, count in bounded(
            {(*key,): count for key, count in figures.ended_runs.items()}
        ).items():
            ended.add_metric(key, count)
        yield ended
        yield _of_subscriptions(
            "runs_late",
            "Deadlines of an slo that were missed within the last 24 hours, by subscription.",
            figures.late_runs,
        )
        yield _of_subscriptions(
            "dead_letters_open",
            "Open dead letters by subscription; a subscription without any is absent.",
            figures.dead_letters,
        )

    def _breakers(self) -> Iterator[Metric]:
        figures = self._figures
        yield _labelled(
            "breakers",
            "Circuit breakers that have ever opened, by status.",
            "status",
            complete(figures.breakers, BREAKER_STATUSES),
        )
        yield CounterMetricFamily(
            "activityctl_breaker_openings",
            "How often circuit breakers have opened.",
            value=figures.breaker_openings,
        )
        yield _gauge(
            "tasks_held",
            "Tasks that wait for a circuit breaker or a limit.",
            figures.held_tasks,
        )

    def _runs_and_firings(self) -> Iterator[Metric]:
        figures = self._figures
        yield _labelled(
            "runs",
            "Runs created within the last 24 hours, and all open runs, by status.",
            "status",
            complete(figures.runs, RUN_STATUSES),
        )
        yield _gauge(
            "runs_stuck",
            "Open runs whose workflow no living worker can go on with.",
            figures.stuck_runs,
        )
        yield _labelled(
            "firings_waiting",
            "Firings not yet started, by state: due, later (not due yet), held (by a backfill).",
            "state",
            complete(figures.firings, FIRING_STATES),
        )
        oldest = figures.oldest_due_at
        yield _gauge(
            "firing_oldest_due_age_seconds",
            "Seconds that the oldest due firing has waited to start; 0 if none waits.",
            0.0 if oldest is None else max(0.0, (figures.counted_at - oldest).total_seconds()),
        )

    def _events(self) -> Iterator[Metric]:
        figures = self._figures
        yield _gauge(
            "events_unrouted",
            "Stored events that are not routed yet.",
            figures.unrouted_events,
        )
        yield _gauge(
            "event_lag_seconds",
            "Seconds that the oldest unrouted event has waited; 0 if none waits.",
            figures.event_lag.total_seconds(),
        )
        yield _gauge(
            "event_filter_errors",
            "Filter and key errors within the last 24 hours, one per event and trigger.",
            figures.filter_errors,
        )

    def _schedules(self) -> Iterator[Metric]:
        figures = self._figures
        yield _labelled(
            "schedules",
            "Schedules by status.",
            "status",
            complete(figures.schedules, SCHEDULE_STATUSES),
        )
        yield _gauge(
            "schedules_overdue",
            "Schedules of active subscriptions whose next firing is over 10 seconds late.",
            figures.overdue_schedules,
        )
        yield _gauge(
            "alarms",
            "Alarms that Temporal has; schedules with the same timing share one.",
            figures.alarms,
        )
        yield CounterMetricFamily(
            "activityctl_schedule_restarts",
            "Alarms that stopped waking us and were created again by the watchdog.",
            value=figures.restarts,
        )


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"activityctl_{name}", text, value=value)


def _of_subscriptions(name: str, text: str, counts: Mapping[str, int]) -> Metric:
    few = bounded({(key,): count for key, count in counts.items()})
    return _labelled(name, text, "subscription", {key: count for (key,), count in few.items()})


def _labelled(name: str, text: str, label: str, counts: Mapping[str, int]) -> Metric:
    family = GaugeMetricFamily(f"activityctl_{name}", text, labels=[label])
    for key, count in counts.items():
        family.add_metric([key], count)
    return family
