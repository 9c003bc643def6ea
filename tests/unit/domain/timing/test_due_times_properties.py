"""Properties of the due times of all schedules, mainly around clock changes."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile
from typing import NamedTuple
from zoneinfo import ZoneInfo

from croniter import croniter
from hypothesis import given, settings
from hypothesis import strategies as st

from activityctl.domain.timing.due_times import jitter_of, nominal_times
from activityctl.domain.timing.trigger import CronTrigger
from support.examples import examples

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)

CHANGES = [
    ("Europe/Berlin", "2025-03-30"), ("Europe/Berlin", "2025-10-26"),
    ("America/New_York", "2025-03-09"), ("America/New_York", "2025-11-02"),
    ("Australia/Lord_Howe", "2025-04-06"), ("Australia/Lord_Howe", "2025-10-05"),
    ("America/Havana", "2025-03-09"), ("America/Havana", "2025-11-02"),
    ("America/St_Johns", "2010-03-14"), ("America/St_Johns", "2010-11-07"),
    ("Antarctica/Troll", "2025-03-30"), ("Antarctica/Troll", "2025-10-26"),
    ("Pacific/Apia", "2011-12-30"), ("Pacific/Kwajalein", "1993-08-21"),
    ("America/Caracas", "2016-05-01"), ("America/Caracas", "2007-12-09"),
    ("Asia/Pyongyang", "2018-05-05"), ("Asia/Pyongyang", "2015-08-15"),
    ("Asia/Kathmandu", "1986-01-01"), ("Asia/Tokyo", "2025-10-26"), ("UTC", "2025-10-26"),
]  # fmt: skip
FIELDS = (
    {"*": range(60), "0": {0}, "30": {30}, "*/20": range(0, 60, 20), "1-59/29": {1, 30, 59}},
    {
        "*": range(24), "0": {0}, "2": {2}, "23,0-3": {23, 0, 1, 2, 3}, "*/6": range(0, 24, 6),
        "1,2,12": {1, 2, 12}, "0-23": range(24),
    },
    {"*": range(1, 32), "1-15": range(1, 16), "*/2": range(1, 32, 2), "29,30,31": {29, 30, 31}},
    {"*": range(1, 13), "3,4,5,8": {3, 4, 5, 8}, "*/5": {1, 6, 11}, "8-12": range(8, 13)},
    {"*": range(7), "0": {0}, "5,6": {5, 6}, "*/2": {0, 2, 4, 6}, "1-5": range(1, 6)},
)  # fmt: skip
SCHEDULES = st.tuples(*(st.sampled_from(sorted(field)) for field in FIELDS))
DST = st.fixed_dictionaries(
    {"gap": st.sampled_from(["skip", "shift"])},
    optional={"overlap": st.sampled_from(["first", "both"])},
)


class Case(NamedTuple):
    """A schedule, and a moment shortly before or during a clock change of its zone."""

    fields: tuple[str, ...]
    zone: str
    dst: dict[str, str]
    after: datetime

    def times(self, after: datetime | None = None, **dst: str) -> Iterator[datetime]:
        trigger = CronTrigger.model_validate(
            {"schedule": " ".join(self.fields), "timezone": self.zone, "dst": {**self.dst, **dst}}
        )
        return nominal_times(trigger, self.after if after is None else after)

    def matches(self, wall: datetime) -> bool:
        """Return whether the schedule matches that local time, by the rules of crontab(5)."""
        values = (wall.minute, wall.hour, wall.day, wall.month, wall.isoweekday() % 7)
        minute, hour, day, month, weekday = (
            value in known[text]
            for value, known, text in zip(values, FIELDS, self.fields, strict=True)
        )
        either = not self.fields[2].startswith("*") and not self.fields[4].startswith("*")
        return minute and hour and month and (day or weekday if either else day and weekday)

    def wall(self, moment: datetime) -> datetime:
        return moment.astimezone(ZoneInfo(self.zone)).replace(tzinfo=None, fold=0)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    zone, day = draw(st.sampled_from(CHANGES))
    after = datetime.fromisoformat(day).replace(tzinfo=UTC) - DAY
    after += draw(st.integers(0, 3 * 24 * 60)) * MINUTE
    return Case(draw(SCHEDULES), zone, draw(DST), after)


def _by_every_minute(case: Case, days: int) -> list[datetime]:
    """Return the due times, found by checking the clock each minute."""
    overlap = case.dst.get("overlap", "both" if case.fields[1][0] == "*" else "first")
    seen: set[datetime] = set()
    due: set[datetime] = set()
    moment = case.after.replace(second=0) - 2 * DAY
    before = case.wall(moment - MINUTE)
    while moment <= case.after + days * DAY:
        wall = case.wall(moment)
        if case.matches(wall) and (wall not in seen or overlap == "both"):
            due.add(moment)
        missing = int((wall - before) / MINUTE)
        for step in range(1, missing if case.dst["gap"] == "shift" else 0):
            if case.matches(before + step * MINUTE):
                due.add(moment + (step - 1) * MINUTE)
        seen.add(wall)
        moment, before = moment + MINUTE, wall
    return sorted(time for time in due if case.after < time <= case.after + days * DAY)


@settings(max_examples=examples(60), deadline=None)
@given(cases())
def test_due_times_are_the_minutes_at_which_the_wall_clock_matches(case: Case):
    end = case.after + 3 * DAY
    assert list(takewhile(lambda time: time <= end, case.times())) == _by_every_minute(case, 3)


@settings(deadline=None)
@given(cases(), st.integers(0, 59_999_999))
def test_due_times_ascend_and_are_after_the_start(case: Case, microseconds: int):
    after = case.after + timedelta(microseconds=microseconds)
    found = list(islice(case.times(after), 40))
    assert all(time < later for time, later in zip([after, *found], found, strict=False))
    assert all(time.tzinfo is UTC and not time.microsecond for time in found)


@settings(deadline=None)
@given(cases(), st.integers(0, 30))
def test_continuing_after_any_firing_gives_the_remaining_ones(case: Case, number: int):
    found = list(islice(case.times(), 31 + 20))
    assert list(islice(case.times(found[number]), 20)) == found[number + 1 : number + 21]


@settings(deadline=None)
@given(cases())
def test_without_shift_the_wall_clock_matches_at_each_due_time(case: Case):
    assert all(case.matches(case.wall(time)) for time in islice(case.times(gap="skip"), 40))


@settings(deadline=None)
@given(cases())
def test_shift_only_adds_times_that_do_not_match_the_schedule(case: Case):
    end = case.after + 4 * DAY
    skipped = set(takewhile(lambda time: time <= end, case.times(gap="skip", overlap="both")))
    shifted = set(takewhile(lambda time: time <= end, case.times(gap="shift", overlap="both")))
    assert skipped <= shifted
    assert not any(case.matches(case.wall(time)) for time in shifted - skipped)


@settings(deadline=None)
@given(cases())
def test_first_and_both_differ_by_the_repeated_local_times(case: Case):
    end = case.after + 4 * DAY
    both = list(takewhile(lambda time: time <= end, case.times(overlap="both", gap="skip")))
    first = list(takewhile(lambda time: time <= end, case.times(overlap="first", gap="skip")))
    repeated = [time for time in both if time.astimezone(ZoneInfo(case.zone)).fold]
    assert sorted([*first, *repeated]) == both


@settings(deadline=None)
@given(cases(), st.integers(-3000, 3000), st.integers(0, 3000))
def test_startat_and_endat_limit_the_due_times(case: Case, start: int, length: int):
    start_at = case.after + start * MINUTE
    end_at = start_at + length * MINUTE
    trigger = CronTrigger.model_validate(
        {
            "schedule": " ".join(case.fields),
            "timezone": case.zone,
            "dst": case.dst,
            "startAt": start_at,
            "endAt": end_at,
        }
    )
    whole = takewhile(lambda time: time <= end_at, case.times())
    assert list(nominal_times(trigger, case.after)) == [time for time in whole if time >= start_at]


@settings(max_examples=examples(60), deadline=None)
@given(SCHEDULES, st.datetimes(datetime(2000, 1, 1), datetime(2060, 1, 1)))  # noqa: DTZ001 below
def test_in_utc_the_times_are_those_of_croniter(fields: tuple[str, ...], start: datetime):
    # None of FIELDS is a range of one value, which croniter reads as the whole field.
    after = start.replace(tzinfo=UTC)
    oracle = croniter(" ".join(fields), after, implement_cron_bug=True)
    expected = [oracle.get_next(datetime) for _ in range(10)]
    assert (
        list(islice(nominal_times(CronTrigger(schedule=" ".join(fields)), after), 10)) == expected
    )


NOMINAL = datetime(2026, 11, 21, 10, tzinfo=UTC)


def test_jitter_is_always_the_same_for_a_firing():
    # A literal value, since another process and a later version must compute the same.
    found = jitter_of("sub-1", "nightly", NOMINAL, timedelta(seconds=30))
    assert found == timedelta(seconds=24, milliseconds=359)
    elsewhere = NOMINAL.astimezone(ZoneInfo("Asia/Kathmandu"))
    assert jitter_of("sub-1", "nightly", elsewhere, timedelta(seconds=30)) == found


@given(st.text(), st.text(), st.timedeltas(timedelta(0), timedelta(days=30)))
def test_jitter_is_under_its_limit_in_whole_milliseconds(
    subscription: str, trigger: str, limit: timedelta
):
    found = jitter_of(subscription, trigger, NOMINAL, limit)
    assert timedelta(0) <= found < limit or found == timedelta(0)
    assert not found % timedelta(milliseconds=1)


def test_jitter_is_spread_over_firings_and_over_subscriptions():
    limit = timedelta(seconds=30)
    nominals = [NOMINAL + count * DAY for count in range(1000)]
    by_firing = [jitter_of("sub-1", "nightly", nominal, limit) for nominal in nominals]
    by_owner = [jitter_of(f"sub-{count}", "nightly", NOMINAL, limit) for count in range(1000)]
    by_trigger = [jitter_of("sub-1", f"due-{count}", NOMINAL, limit) for count in range(1000)]
    for found in (by_firing, by_owner, by_trigger):
        tenths = [
            sum(1 for jitter in found if jitter // timedelta(seconds=3) == n) for n in range(10)
        ]
        assert all(60 <= count <= 140 for count in tenths), tenths
