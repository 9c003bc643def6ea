"""Due times of triggers; those at changes of the clocks were listed by the real server."""

from datetime import UTC, datetime, timedelta, timezone
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activityctl.domain.firing import nominal_times, parse_firing_key
from activityctl.domain.firing_ref import firing_key
from activityctl.domain.trigger import CronTrigger, IntervalTrigger


def _local_times(schedule: str, zone: str, start: str, count: int) -> list[str]:
    local = ZoneInfo(zone)
    after = datetime.fromisoformat(start).replace(tzinfo=local)
    found = nominal_times(CronTrigger(schedule=schedule, timezone=zone), after)
    return [one.astimezone(local).strftime("%d %H:%M%z") for one in islice(found, count)]


@pytest.mark.parametrize(
    ("schedule", "zone", "start", "expected"),
    [
        (
            "30 2 * * *",
            "America/New_York",
            "2026-03-07T03:00",
            ["09 02:30-0400", "10 02:30-0400"],
        ),
        ("30 2 * * *", "Europe/Berlin", "2026-03-28T03:00", ["30 02:30+0200", "31 02:30+0200"]),
        (
            "*/30 0-4 * * *",
            "Europe/Berlin",
            "2026-03-29T01:00",
            ["29 01:30+0100", "29 03:00+0200", "29 03:30+0200"],
        ),
        ("0 0 * * *", "America/Havana", "2026-03-07T12:00", ["09 00:00-0400"]),
    ],
)
def test_a_local_time_that_does_not_exist_is_skipped(
    schedule: str, zone: str, start: str, expected: list[str]
):
    assert _local_times(schedule, zone, start, len(expected)) == expected


@pytest.mark.parametrize(
    ("schedule", "zone", "start", "expected"),
    [
        (
            "*/30 1 * * *",
            "America/New_York",
            "2026-11-01T00:00",
            ["01 01:00-0400", "01 01:30-0400", "01 01:00-0500", "01 01:30-0500", "02 01:00-0500"],
        ),
        (
            "10 0 * * *",
            "America/Havana",
            "2026-11-01T00:00",
            ["01 00:10-0400", "01 00:10-0500", "02 00:10-0500"],
        ),
        ("0 2 * * *", "Europe/Berlin", "2026-10-24T12:00", ["25 02:00+0100", "26 02:00+0100"]),
        (
            "10 1 * * *",
            "Europe/Berlin",
            "2026-10-24T12:00",
            ["25 01:10+0200", "25 02:10+0200", "26 01:10+0100"],
        ),
        (
            "*/30 2 * * *",
            "Europe/Berlin",
            "2026-10-24T12:00",
            ["25 02:00+0100", "25 03:30+0100", "26 02:00+0100"],
        ),
        (
            "*/30 * * * *",
            "Europe/London",
            "2026-10-25T00:00",
            ["25 00:30+0100", "25 01:00+0100", "25 01:30+0000", "25 02:00+0000"],
        ),
    ],
)
def test_a_repeated_hour_fires_as_the_server_has_it(
    schedule: str, zone: str, start: str, expected: list[str]
):
    assert _local_times(schedule, zone, start, len(expected)) == expected


def test_due_times_lie_strictly_after_and_ascend_in_utc():
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


def test_rare_dates_are_found_and_the_calendar_ends_with_its_last_year():
    after = datetime(2026, 1, 1, tzinfo=UTC)
    leap = list(nominal_times(CronTrigger(schedule="0 0 29 2 *"), after))
    assert [one.year for one in leap] == list(range(2028, 2100, 4))
    leap_sundays = nominal_times(CronTrigger(schedule="0 0 29 2 */6"), after)
    assert [one.year for one in leap_sundays] == [2032, 2048, 2060, 2076, 2088]


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


@given(st.integers(1, 10**8), st.datetimes(datetime(1971, 1, 1), datetime(2099, 1, 1)))  # noqa: DTZ001
def test_intervals_are_even_and_next_after_any_moment(seconds: int, start: datetime):
    every, after = timedelta(seconds=seconds), start.replace(tzinfo=UTC)
    first, second = islice(nominal_times(IntervalTrigger(every=every), after), 2)
    assert after < first <= after + every
    assert second - first == every


@given(st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1)))  # noqa: DTZ001 made aware below
def test_a_firing_key_names_its_nominal_time(moment: datetime):
    nominal = moment.replace(microsecond=0, tzinfo=UTC)
    assert parse_firing_key(firing_key(nominal)) == nominal


def test_a_firing_key_is_what_the_server_appends():
    assert parse_firing_key("2026-11-21T09:53:26Z") == datetime(2026, 11, 21, 9, 53, 26, tzinfo=UTC)


@pytest.mark.parametrize(
    "key",
    ["", "by-hand", "2026-11-21", "2026-11-21T09:53:26", "2026-11-21T9:53:26Z",
     "2026-11-21T09:53:26.5Z", "2026-02-30T00:00:00Z", "2026-11-21T09:53:26+00:00"],
)  # fmt: skip
def test_other_keys_are_no_nominal_times(key: str):
    with pytest.raises(ValueError, match=r"match|written|range"):
        parse_firing_key(key)
