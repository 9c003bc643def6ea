"""The problems that `validate` finds in startAt and endAt."""

from typing import Any

import pytest

from activityctl.domain.timing.bounds_check import check_bounds

NEW_YEAR = {"schedule": "0 2 1 1 *"}
SUMMER = {"startAt": "2027-02-01T00:00:00Z", "endAt": "2027-11-01T00:00:00Z"}


def found(kind: str, **body: Any) -> list[tuple[tuple[str | int, ...], str]]:
    return [(finding.path, finding.reason) for finding in check_bounds(kind, body)]


def test_bounds_that_exclude_all_times_of_a_schedule_are_found():
    ((path, reason),) = found("cron", **NEW_YEAR, **SUMMER)
    assert path == ("endAt",)
    assert "would never fire" in reason
    assert "startAt and endAt" in reason
    assert "allowNever: true" in reason


def test_a_start_after_the_last_time_is_found():
    ((path, _),) = found("cron", **NEW_YEAR, startAt="2101-01-01T00:00:00Z")
    assert path == ("startAt",)


def test_an_interval_that_is_too_long_for_its_bounds_is_found():
    ((path, reason),) = found(
        "interval", every="365d", **SUMMER | {"endAt": "2027-02-02T00:00:00Z"}
    )
    assert path == ("endAt",)
    assert "allowNever" not in reason


@pytest.mark.parametrize(
    "body",
    [
        NEW_YEAR,
        {**NEW_YEAR, **SUMMER, "allowNever": True},
        {**NEW_YEAR, "startAt": "2027-01-01T02:00:00Z", "endAt": "2027-01-01T02:00:00Z"},
        {**NEW_YEAR, "endAt": "2020-01-01T00:00:00Z"},
        {"schedule": "0 0 31 2 *", "allowNever": True},
    ],
)
def test_no_bounds_valid_bounds_and_an_end_in_the_past_are_allowed(body: dict[str, Any]):
    assert found("cron", **body) == []


def test_triggers_that_do_not_follow_the_clock_are_not_checked():
    assert found("event", type="order.paid") == []
