"""The metrics that Prometheus reads."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib.resources import files

import yaml
from prometheus_client.parser import text_string_to_metric_families

from activityctl.api.metrics import exposition
from activityctl.domain.runs.metrics_snapshot import (
    BREAKER_STATUSES,
    RUN_STATUSES,
    SUBSCRIPTION_STATUSES,
    MetricsSnapshot,
)

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
FIGURES = MetricsSnapshot(
    counted_at=NOW,
    runs={"succeeded": 5, "running": 1},
    firings={"due": 2, "held": 7},
    oldest_due_at=NOW - timedelta(seconds=90),
    schedules={"active": 3, "error": 1},
    overdue_schedules=1,
    alarms=15,
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
    stuck_runs=14,
    late_runs={"c": 3},
    ended_runs={("a", "succeeded"): 12, ("a", "missed"): 1, ("b", "failed"): 13},
)
BY_SUBSCRIPTION = {
    "activityctl_dead_letters_open",
    "activityctl_runs_late",
    "activityctl_runs_ended",
}
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
    "activityctl_alarms": 15,
    "activityctl_schedule_restarts_total": 4,
    "activityctl_workers_alive": 2,
    "activityctl_dead_letters": 6,
    "activityctl_breaker_openings_total": 10,
    "activityctl_tasks_held": 11,
    "activityctl_runs_stuck": 14,
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
    ended = {"succeededa": 12, "misseda": 1, "failedb": 13}
    expected |= {("activityctl_runs_ended", key): n for key, n in ended.items()}
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


def test_a_metric_by_subscription_names_a_hundred_and_sums_the_others():
    ended = {(f"s{n}", status): n for n in range(300) for status in ("succeeded", "failed")}
    found = samples(replace(NOTHING, ended_runs=ended, late_runs=dict.fromkeys(map(str, ended), 1)))
    of_runs = {key: count for (name, key), count in found.items() if name.endswith("_ended")}
    assert len(of_runs) == 202
    assert of_runs["failed_other"] == sum(range(200))
    assert of_runs["succeededs299"] == 299
    late = [count for (name, _), count in found.items() if name.endswith("_late")]
    assert (len(late), sum(late)) == (101, 600)


def served() -> dict[str, tuple[str, ...]]:
    """The names and the labels of the metrics."""
    families = text_string_to_metric_families(exposition(FIGURES).decode())
    return {
        sample.name: tuple(sorted(sample.labels))
        for family in families
        for sample in family.samples
    }


def test_the_guide_has_a_row_for_each_metric_with_its_labels():
    page = files("activityctl.guide").joinpath("monitoring.md").read_text("utf-8")
    rows = re.findall(r"^\| `(activityctl_\w+)(?:\{([\w,]+)\})?` \|", page, re.MULTILINE)
    assert len(rows) == len(served())
    assert {
        name: tuple(sorted(filter(None, labels.split(",")))) for name, labels in rows
    } == served()
    alerts = yaml.safe_load(template("alerts.yaml"))["groups"][0]["rules"]
    assert re.findall(r"^\| `(Activityctl\w+)`", page, re.MULTILINE) == [
        rule["alert"] for rule in alerts
    ]


def template(name: str) -> str:
    return files("activityctl.cli").joinpath("templates", name).read_text("utf-8")


def queries() -> list[str]:
    """Every PromQL query of the dashboard and of the alerts."""
    dashboard = json.loads(template("dashboard.json"))
    rules = yaml.safe_load(template("alerts.yaml"))["groups"][0]["rules"]
    panels = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    variables = [each["query"] for each in dashboard["templating"]["list"]]
    return [*panels, *variables[1:], *(rule["expr"] for rule in rules)]


def test_the_dashboard_and_the_alerts_name_only_what_is_served():
    used: set[str] = set()
    for query in queries():
        names = re.findall(r"activityctl_\w+", query)
        assert names, query
        assert query.count("(") == query.count(")"), query
        used |= set(names)
        for name, labels in re.findall(r"(activityctl_\w+)\{([^}]*)\}", query):
            asked = set(re.findall(r"(\w+)[=!]", labels))
            assert asked <= set(served()[name]), query
        for labels, name in re.findall(r"by \((\w+)\) \((activityctl_\w+)", query):
            assert labels in served()[name], query
        for status in re.findall(r'status[=!]~?"([^"]+)"', query):
            known = {*RUN_STATUSES, *BREAKER_STATUSES, *SUBSCRIPTION_STATUSES}
            assert set(status.split("|")) <= known, query
    assert used == set(served())


def test_the_dashboard_has_what_an_import_into_grafana_needs():
    """Its own model of a dashboard, of its SDK 10.1, reads and writes it without a loss."""
    dashboard = json.loads(template("dashboard.json"))
    assert "id" not in dashboard, "Grafana gives it"
    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,40}", dashboard["uid"])
    assert dashboard["schemaVersion"] >= 36, "before it a data source had no uid"
    variables = {each["name"]: each for each in dashboard["templating"]["list"]}
    assert (variables["datasource"]["type"], variables["datasource"]["query"]) == (
        "datasource",
        "prometheus",
    )
    source = {"type": "prometheus", "uid": "${datasource}"}
    assert all(each.get("datasource", source) == source for each in variables.values())
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        assert panel["type"] in {"stat", "timeseries"}, "these come with Grafana"
        assert panel["title"]
        assert panel["datasource"] == source
        assert [target["datasource"] for target in panel["targets"]] == [source] * len(
            panel["targets"]
        )
        references = [target["refId"] for target in panel["targets"]]
        assert len(set(references)) == len(references) > 0
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])
        }
        assert cells
        assert not cells & taken, "panels lie on one another"
        taken |= cells
    names = set(re.findall(r"\$\{?(\w+)", " ".join(queries())))
    assert names <= {*variables, "__rate_interval"}
