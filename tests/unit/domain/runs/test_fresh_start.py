"""When a workflow that cannot go on is replaced by a new one."""

from datetime import UTC, datetime, timedelta

import pytest

from activityctl.domain.runs.fresh_start import AFTER, AT_LATEST, is_patience_over

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("age", "stuck_for", "wanted"),
    [
        (timedelta(minutes=3), AFTER - timedelta(seconds=1), False),
        (timedelta(minutes=3), AFTER, True),
        (timedelta(minutes=40), timedelta(minutes=9), False),
        (timedelta(minutes=40), timedelta(minutes=10), True),
        (timedelta(days=30), AT_LATEST - timedelta(seconds=1), False),
        (timedelta(days=30), AT_LATEST, True),
    ],
)
def test_it_waits_two_minutes_or_a_quarter_of_the_age_and_never_over_an_hour(
    age: timedelta, stuck_for: timedelta, *, wanted: bool
):
    assert is_patience_over(NOW - stuck_for, NOW - age, NOW) is wanted


def test_one_that_gets_stuck_again_and_again_is_replaced_ever_less_often():
    now, times = NOW, 0
    while now < NOW + timedelta(hours=1):
        stuck_since = now
        while not is_patience_over(stuck_since, NOW, now):
            now += timedelta(seconds=30)
        times += 1
    assert times <= 12
