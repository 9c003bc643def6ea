"""Nominal times: order, bounds, intervals and keys; test_due_times_table.py has the cron table."""

from datetime import UTC, datetime, timedelta, timezone
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activityctl.domain.timing.due_times import nominal_times
from activityctl.domain.timing.firing import firing_key
from activityctl.domain.timing.trigger import CronTrigger, IntervalTrigger

_DAY = timedelta(days=1)


def test_nominal_times_are_strictly_after_the_start_and_ascend_in_utc():
    noon = datetime(2026, 11, 21, 12, tzinfo=UTC)
    first, second = islice(nominal_times(CronTrigger(schedule="0 * * * *"), noon), 2)
    assert (first, second) == (noon + timedelta(hours=1), noon + timedelta(hours=2))
    assert first.tzinfo is UTC
    before = noon - timedelta(microseconds=1)
    assert next(nominal_times(CronTrigger(schedule="0 * * * *"), before)) == noon


def test_the_zone_of_after_does_not_matter():
    after = datetime(2026, 11, 21, 12, tzinfo=UTC)
    trigger = CronTrigger(schedule="*/7 3 * * *", timezone="Asia/Kathmandu")
    elsewhere = after.astimezone(timezone(timedelta(hours=-9)))
    assert next(nominal_times(trigger, after)) == next(nominal_times(trigger, elsewhere))


@pytest.mark.parametrize(
    "trigger", [CronTrigger(schedule="@daily"), IntervalTrigger(every=timedelta(hours=1))]
)
def test_a_naive_time_is_refused(trigger: CronTrigger | IntervalTrigger):
    with pytest.raises(ValueError, match="no time zone"):
        next(nominal_times(trigger, datetime(2026, 1, 1)))  # noqa: DTZ001 the point


@pytest.mark.parametrize(
    ("trigger", "expected"),
    [
        ({"schedule": "0 * * * *"}, ["10:00", "11:00", "12:00"]),
        ({"schedule": "0,30 * * * *"}, ["10:00", "10:30", "11:00", "11:30", "12:00"]),
    ],
)
def test_startat_and_endat_are_inclusive(trigger: dict[str, str], expected: list[str]):
    bounds = {"startAt": "2026-11-21T10:00:00Z", "endAt": "2026-11-21T13:00:00+01:00"}
    cron = CronTrigger.model_validate({**trigger, **bounds})
    found = nominal_times(cron, datetime(2020, 1, 1, tzinfo=UTC))
    assert [time.strftime("%H:%M") for time in found] == expected


def test_an_interval_is_not_moved_by_startat():
    bounds = {"startAt": "2026-11-21T10:00:01Z", "endAt": "2026-11-21T12:59:59Z"}
    every = IntervalTrigger.model_validate({"every": "1h", "offset": "15m", **bounds})
    found = nominal_times(every, datetime(2020, 1, 1, tzinfo=UTC))
    assert [time.strftime("%H:%M") for time in found] == ["10:15", "11:15", "12:15"]


def test_a_start_in_the_past_does_not_add_past_firings():
    noon = datetime(2026, 11, 21, 12, tzinfo=UTC)
    trigger = CronTrigger.model_validate({"schedule": "@daily", "startAt": "2020-01-01T00:00:00Z"})
    assert next(nominal_times(trigger, noon)) == datetime(2026, 11, 22, tzinfo=UTC)


def test_after_an_end_in_the_past_nothing_is_due():
    noon = datetime(2026, 11, 21, 12, tzinfo=UTC)
    trigger = CronTrigger.model_validate({"schedule": "@daily", "endAt": "2026-11-21T12:00:00Z"})
    assert list(nominal_times(trigger, noon)) == []


def test_a_schedule_that_never_fires_has_no_times():
    trigger = CronTrigger(schedule="0 0 31 2 *", allow_never=True)
    assert list(nominal_times(trigger, datetime(2026, 1, 1, tzinfo=UTC))) == []


@pytest.mark.parametrize("trigger", [CronTrigger(schedule="@daily"), IntervalTrigger(every=_DAY)])
def test_after_the_earliest_datetime_comes_the_first_of_1970(
    trigger: CronTrigger | IntervalTrigger,
):
    earliest = datetime.min.replace(tzinfo=UTC)
    assert next(nominal_times(trigger, earliest)) == datetime(1970, 1, 1, tzinfo=UTC)


def test_after_the_latest_datetime_nothing_is_due():
    latest = datetime(9999, 12, 31, 23, 59, 58, tzinfo=UTC)
    assert list(nominal_times(CronTrigger(schedule="@daily"), latest)) == []


def test_rare_dates_are_found_until_the_last_year():
    after = datetime(2026, 1, 1, tzinfo=UTC)
    leap = list(nominal_times(CronTrigger(schedule="0 0 29 2 *"), after))
    assert [time.year for time in leap] == list(range(2028, 2100, 4))
    leap_sundays = nominal_times(CronTrigger(schedule="0 0 29 2 */6"), after)
    assert [time.year for time in leap_sundays] == [2032, 2048, 2060, 2076, 2088]


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "Etc/GMT+12"])
def test_the_last_day_is_in_local_time(zone: str):
    after = datetime(2100, 12, 29, tzinfo=UTC)
    *_, last = nominal_times(CronTrigger(schedule="@daily", timezone=zone), after)
    assert f"{last.astimezone(ZoneInfo(zone)):%F}" == "2100-12-31"


@pytest.mark.parametrize(
    ("every", "offset", "after", "expected"),
    [
        ("1h", "0s", "2026-11-21T09:53:26", "2026-11-21T10:00:00"),
        ("1h", "0s", "2026-11-21T10:00:00", "2026-11-21T11:00:00"),
        ("1h", "15m", "2026-11-21T10:00:00", "2026-11-21T10:15:00"),
        ("1d", "0s", "2026-11-21T10:00:00", "2026-11-22T00:00:00"),
        ("7d", "0s", "2026-11-21T10:00:00", "2026-11-26T00:00:00"),  # 1970-01-01 was a Thursday
        ("7s", "0s", "1970-01-01T00:00:00", "1970-01-01T00:00:07"),
    ],
)
def test_intervals_count_from_the_epoch_plus_offset(
    every: str, offset: str, after: str, expected: str
):
    trigger = IntervalTrigger.model_validate({"every": every, "offset": offset})
    start = datetime.fromisoformat(after).replace(tzinfo=UTC)
    assert next(nominal_times(trigger, start)).isoformat() == f"{expected}+00:00"


@given(st.integers(1, 10**8), st.datetimes(datetime(1971, 1, 1), datetime(2099, 1, 1)))  # noqa: DTZ001 below
def test_intervals_are_regular_after_any_moment(seconds: int, start: datetime):
    every, after = timedelta(seconds=seconds), start.replace(tzinfo=UTC)
    first, second = islice(nominal_times(IntervalTrigger(every=every), after), 2)
    assert after < first <= after + every
    assert second - first == every


def test_a_firing_key_is_the_text_that_temporal_appends_to_workflow_ids():
    nominal = datetime(2026, 11, 21, 9, 53, 26, tzinfo=UTC)
    assert firing_key(nominal) == "2026-11-21T09:53:26Z"
