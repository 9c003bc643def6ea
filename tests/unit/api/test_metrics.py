"""The metrics that Prometheus reads."""

from datetime import UTC, datetime, timedelta

from prometheus_client.parser import text_string_to_metric_families

from activityctl.api.metrics import exposition
from activityctl.domain.runs.metrics_snapshot import MetricsSnapshot

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
FIGURES = MetricsSnapshot(
    counted_at=NOW,
    runs={"succeeded": 5, "running": 1},
    firings={"due": 2, "held": 7},
    oldest_due_at=NOW - timedelta(seconds=90),
    schedules={"active": 3, "error": 1},
    overdue_schedules=1,
    restarts=4,
    restarted_at=NOW,
    subscriptions={"active": 2, "paused": 1},
    workers=2,
    dead_letters={"a": 4, "b": 2},
    unrouted_events=8,
    oldest_unrouted_at=NOW - timedelta(seconds=3),
    filter_errors=9,
    breakers={"closed": 2, "open": 1},
    breaker_openings=10,
    held_tasks=11,
    late_runs={"c": 3},
)
BY_SUBSCRIPTION = {"activityctl_dead_letters_open", "activityctl_runs_late"}
NOTHING = MetricsSnapshot(NOW, {}, {}, None, {}, 0, 0, None, {}, 0, {})
BY_STATUS = {
    "activityctl_runs": {
        "queued": 0,
        "running": 1,
        "cancelling": 0,
        "succeeded": 5,
        "failed": 0,
        "skipped": 0,
        "missed": 0,
        "cancelled": 0,
        "timed_out": 0,
    },
    "activityctl_schedules": {"active": 3, "paused": 0, "pending": 0, "error": 1},
    "activityctl_subscriptions": {"active": 2, "paused": 1},
    "activityctl_breakers": {"closed": 2, "open": 1, "half_open": 0},
}
SINGLE = {
    "activityctl_firing_oldest_due_age_seconds": 90,
    "activityctl_events_unrouted": 8,
    "activityctl_event_lag_seconds": 3,
    "activityctl_event_filter_errors": 9,
    "activityctl_schedules_overdue": 1,
    "activityctl_schedule_restarts_total": 4,
    "activityctl_workers_alive": 2,
    "activityctl_dead_letters": 6,
    "activityctl_breaker_openings_total": 10,
    "activityctl_tasks_held": 11,
}


def samples(figures: MetricsSnapshot) -> dict[tuple[str, str], float]:
    families = text_string_to_metric_families(exposition(figures).decode())
    return {
        (sample.name, "".join(sample.labels.values())): sample.value
        for family in families
        for sample in family.samples
    }


def test_every_figure_has_its_metric():
    expected = {(name, ""): value for name, value in SINGLE.items()}
    for name, counts in BY_STATUS.items():
        expected |= {(name, status): count for status, count in counts.items()}
    waiting = {"due": 2, "later": 0, "held": 7}
    expected |= {("activityctl_firings_waiting", state): count for state, count in waiting.items()}
    letters = {"a": 4, "b": 2}
    expected |= {("activityctl_dead_letters_open", name): n for name, n in letters.items()}
    expected[("activityctl_runs_late", "c")] = 3
    assert samples(FIGURES) == expected


def test_a_figure_without_rows_is_zero_and_not_absent():
    named = {key for key in samples(FIGURES) if key[0] not in BY_SUBSCRIPTION}
    assert set(samples(NOTHING)) == named
    assert set(samples(NOTHING).values()) == {0}


def test_each_metric_has_its_type_and_help():
    families = list(text_string_to_metric_families(exposition(FIGURES).decode()))
    assert all(family.documentation.endswith(".") for family in families)
    counters = [family.name for family in families if family.type == "counter"]
    assert counters == ["activityctl_schedule_restarts", "activityctl_breaker_openings"]
    assert {family.type for family in families} == {"counter", "gauge"}
