"""The problems that `validate` finds in the jitter of a cron trigger."""

from typing import Any

import pytest

from activityctl.domain.timing.jitter_check import check_jitter

BERLIN = {"timezone": "Europe/Berlin"}


def found(**body: Any) -> list[tuple[tuple[str | int, ...], str]]:
    return [(finding.path, finding.reason) for finding in check_jitter("cron", body)]


def test_a_jitter_as_long_as_the_time_between_two_firings_is_found():
    ((path, reason),) = found(schedule="*/5 * * * *", jitter="5m")
    assert path == ("jitter",)
    assert reason == (
        "5m is not shorter than 5m, the shortest time between two firings "
        "(2026-01-01T00:00:00Z and 2026-01-01T00:05:00Z): the first could start after the second"
    )


@pytest.mark.parametrize(
    ("schedule", "fits", "too_long"),
    [
        ("* * * * *", "59999ms", "1m"),
        ("0,50 * * * *", "9m", "10m"),  # around the hour
        ("30 0,22 * * *", "119m", "2h"),  # around midnight
        ("0 8 1,31 * *", "23h", "1d"),  # around the end of a month with 31 days
        ("0 8 31 12 *", "364d", "365d"),
    ],
)
def test_the_shortest_time_between_two_firings_counts(schedule: str, fits: str, too_long: str):
    assert found(schedule=schedule, jitter=fits) == []
    assert len(found(schedule=schedule, jitter=too_long)) == 1


def test_a_night_that_is_an_hour_shorter_counts():
    body = {"schedule": "30 1,3 * * *", "jitter": "90m"}
    assert found(**body) == []
    ((_, reason),) = found(**body, **BERLIN)
    assert "1h, the shortest time between two firings (2026-03-29T00:30:00Z" in reason


def test_a_trigger_that_fires_at_most_once_may_have_any_jitter():
    once = {"startAt": "2026-05-01T00:00:00Z", "endAt": "2026-05-02T00:00:00Z"}
    assert found(schedule="0 8 * * *", jitter="3d", **once) == []
    assert found(schedule="0 0 31 2 *", allowNever=True, jitter="3d") == []
    assert found(schedule="* * * * *", endAt="2020-01-01T00:00:00Z", jitter="3d") == []


def test_intervals_and_events_are_not_checked_here():
    assert list(check_jitter("interval", {"every": "1m"})) == []
    assert list(check_jitter("event", {"type": "order.paid"})) == []
