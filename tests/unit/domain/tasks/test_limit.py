"""Limits: no more than the rate begins, in the order of arrival, and places are not overrun."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from activityctl.domain.tasks.limit import SLOT_HOLDS, Limit, LimitState, permit

START = datetime(2026, 5, 1, tzinfo=UTC)
LIMITS = st.builds(
    Limit,
    name=st.just("crm"),
    rate=st.integers(1, 50),
    per=st.sampled_from([timedelta(seconds=1), timedelta(seconds=10), timedelta(minutes=1)]),
    burst=st.integers(1, 10),
)
ARRIVALS = st.lists(st.integers(0, 2_000), min_size=1, max_size=60)


@given(LIMITS, ARRIVALS)
def test_no_window_has_more_than_the_rate_and_the_burst(limit: Limit, pauses: list[int]):
    now, used_until = START, None
    begun: list[datetime] = []
    for pause in pauses:
        now += timedelta(milliseconds=pause)
        found = permit(limit, LimitState(used_until, 0, 0), now)
        used_until = found.used_until
        begins = found.look_again_at or now
        assert found.slot == found.look_again_at
        assert begins >= now
        begun.append(begins)
    assert begun == sorted(begun), "in the order of arrival"
    assert limit.rate is not None
    for first in begun:
        window = [moment for moment in begun if first <= moment < first + limit.per]
        assert len(window) <= limit.rate + limit.burst


@given(LIMITS, ARRIVALS)
def test_a_task_that_comes_at_its_time_begins_and_uses_up_nothing_more(
    limit: Limit, pauses: list[int]
):
    used_until = None
    for _ in pauses:
        found = permit(limit, LimitState(used_until, 0, 0), START)
        used_until = found.used_until
        if found.slot is None:
            continue
        again = permit(limit, LimitState(used_until, 0, 0, found.slot), found.slot)
        assert again.look_again_at is None
        assert again.used_until == used_until
        early = permit(limit, LimitState(used_until, 0, 0, found.slot), START)
        assert early.look_again_at == found.slot


def test_a_task_that_comes_too_late_for_its_time_gets_a_new_one():
    limit = Limit(name="crm", rate=1, per=timedelta(minutes=1))
    late = START + SLOT_HOLDS + timedelta(seconds=1)
    used_until = START + timedelta(hours=1)
    found = permit(limit, LimitState(used_until, 0, 0, START), late)
    assert found.slot == used_until
    assert found.used_until == used_until + timedelta(minutes=1)


@given(st.integers(1, 20), st.integers(0, 30), st.integers(0, 30))
def test_places_are_given_to_those_who_came_first(places: int, at_work: int, ahead: int):
    limit = Limit(name="crm", concurrency=places)
    found = permit(limit, LimitState(None, at_work, ahead), START)
    assert (found.look_again_at is None) == (at_work + ahead < places)
    if found.look_again_at is not None:
        assert START < found.look_again_at <= START + timedelta(seconds=15)
