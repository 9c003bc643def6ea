"""The local times that `dst.gap: skip` skips are those that `shift` would add."""

from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from activityctl.domain.timing.due_times import due_times, nominal_times
from activityctl.domain.timing.trigger import Trigger, trigger_of
from support.examples import examples

ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Cairo"]
SCHEDULES = ["30 2 * * *", "0,15 0-3 * * *", "*/20 1-3 * * 0,1", "5 2 1-9 3,4,10 *", "0 12 * * *"]


def cron(schedule: str, gap: str, **body: Any) -> Trigger:
    return trigger_of("cron", {"schedule": schedule, "dst": {"gap": gap}, **body})


@settings(deadline=None, max_examples=examples(80))
@given(
    zone=st.sampled_from(ZONES),
    schedule=st.sampled_from(SCHEDULES),
    hours=st.integers(0, 24 * 365),
)
def test_skip_yields_the_times_that_shift_would_add(zone: str, schedule: str, hours: int):
    after = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=hours)
    end = after + timedelta(days=40)
    skipping = cron(schedule, "skip", timezone=zone)
    due = list(takewhile(lambda time: time.at <= end, due_times(skipping, after)))
    whole, plain = (
        list(takewhile(lambda time: time <= end, nominal_times(trigger, after)))
        for trigger in (cron(schedule, "shift", timezone=zone), skipping)
    )
    assert [time.at for time in due] == whole
    assert [time.at for time in due if time.missing_local_time is None] == plain


def test_a_friday_that_the_zone_skipped_is_yielded_as_skipped():
    trigger = cron("0 9 * * 5", "skip", timezone="Pacific/Apia")
    days = due_times(trigger, datetime(2011, 12, 22, tzinfo=UTC))
    first, second, third = (next(days) for _ in range(3))
    assert [time.missing_local_time for time in (first, third)] == [None, None]
    assert second.missing_local_time == datetime(2011, 12, 30, 9)  # noqa: DTZ001  # a local time
    assert second.skip_reason == "09:00 does not exist on that day (clocks go forward)"


@pytest.mark.parametrize(
    ("bound", "count"),
    [
        ({"startAt": "2026-03-29T01:30:00Z"}, 1),
        ({"startAt": "2026-03-29T01:30:01Z"}, 0),
        ({"endAt": "2026-03-29T01:30:00Z"}, 1),
        ({"endAt": "2026-03-29T01:29:59Z"}, 0),
    ],
)
def test_start_and_end_bound_the_skipped_times_too(bound: dict[str, str], count: int):
    trigger = cron("30 2 * * *", "skip", timezone="Europe/Berlin", **bound)
    end = datetime(2026, 3, 31, tzinfo=UTC)
    due = takewhile(lambda time: time.at < end, due_times(trigger, end - timedelta(days=5)))
    assert sum(time.missing_local_time is not None for time in due) == count
