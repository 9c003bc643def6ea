"""Deciding due times: which run, which are missed or skipped, and why."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import takewhile
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from activityctl.domain.timing.due_times import jitter_of, nominal_times
from activityctl.domain.timing.firing import FiringCause, FiringRef, firing_key
from activityctl.domain.timing.misfires import (
    MAX_CLOCK_SKEW,
    MISFIRE_GRACE,
    DecidedTime,
    DueOutcome,
    DueTimeDecisions,
    ScheduleProgress,
    decide_due_times,
    decide_until,
    next_nominal_time,
    skipped_log_entries,
)
from activityctl.domain.timing.trigger import Trigger, trigger_of
from activityctl.domain.values.moment import DaySpan
from support.examples import examples

OWNER = ("5a2c", "often")
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
MINUTE, SECOND = timedelta(minutes=1), timedelta(seconds=1)


def every(text: str, **fields: Any) -> Trigger:
    return trigger_of("interval", {"every": text, **fields})


def decide(
    trigger: Trigger,
    since: timedelta,
    now: datetime = NOON,
    *,
    fired: int = 0,
    calendars: Mapping[str, tuple[DaySpan, ...]] | None = None,
    at_once: int = 1_000,
) -> DueTimeDecisions:
    progress = ScheduleProgress(now - since, fired)
    return decide_due_times(OWNER, trigger, progress, now, calendars or {}, at_once=at_once)


def outcomes(decisions: DueTimeDecisions) -> list[tuple[str, DueOutcome]]:
    return [(f"{time.nominal:%H:%M}", time.outcome) for time in decisions.times]


def outage(policy: str, window: str = "1d") -> DueTimeDecisions:
    """Decide a trigger of every ten minutes after 36 minutes of outage, 5 minutes late."""
    trigger = every("10m", misfire={"policy": policy, "window": window})
    return decide(trigger, 36 * MINUTE, NOON + 5 * MINUTE)


def test_a_firing_on_time_fires_at_its_nominal_time():
    found = decide(every("1h"), 30 * MINUTE, NOON + SECOND)
    assert found.times == (DecidedTime(NOON, DueOutcome.FIRES, NOON),)
    assert found.progress == ScheduleProgress(NOON + SECOND, 1)
    assert found.next_at == NOON + timedelta(hours=1)


def test_if_nothing_is_due_only_the_cursor_moves():
    found = decide(every("1h"), MINUTE, NOON - MINUTE)
    assert (found.times, found.progress.cursor, found.next_at) == ((), NOON - MINUTE, NOON)


def test_skip_misses_all_late_firings():
    assert outcomes(outage("skip")) == [
        ("11:30", DueOutcome.MISSED),
        ("11:40", DueOutcome.MISSED),
        ("11:50", DueOutcome.MISSED),
        ("12:00", DueOutcome.MISSED),
    ]
    assert outage("skip").times[-1].reason == "decided 5m late; misfire policy skip"


def test_fire_once_runs_the_latest():
    found = outage("fire_once")
    assert outcomes(found) == [
        ("11:30", DueOutcome.MISSED),
        ("11:40", DueOutcome.MISSED),
        ("11:50", DueOutcome.MISSED),
        ("12:00", DueOutcome.FIRES),
    ]
    assert found.times[0].reason == (
        "decided 35m late; misfire policy fire_once: a later firing runs"
    )


def test_fire_all_runs_each_within_the_misfire_window():
    found = outage("fire_all", "20m")
    assert outcomes(found) == [
        ("11:30", DueOutcome.MISSED),
        ("11:40", DueOutcome.MISSED),
        ("11:50", DueOutcome.FIRES),
        ("12:00", DueOutcome.FIRES),
    ]
    assert found.times[0].reason == "decided 35m late, over the misfire window of 20m"


def test_fire_once_misses_the_latest_if_it_is_over_the_misfire_window():
    assert outcomes(outage("fire_once", "4m"))[-1] == ("12:00", DueOutcome.MISSED)


@pytest.mark.parametrize("policy", ["skip", "fire_once", "fire_all"])
def test_a_firing_a_little_late_is_on_time_under_every_policy(policy: str):
    trigger = every("1h", misfire={"policy": policy, "window": "1s"})
    assert outcomes(decide(trigger, MINUTE, NOON + MISFIRE_GRACE)) == [("12:00", DueOutcome.FIRES)]


def test_only_the_last_of_several_due_firings_is_on_time():
    trigger = every("5s", misfire={"policy": "skip"})
    assert outcomes(decide(trigger, 12 * SECOND, NOON + SECOND)) == [
        ("11:59", DueOutcome.MISSED),
        ("11:59", DueOutcome.MISSED),
        ("12:00", DueOutcome.FIRES),
    ]


def test_a_firing_on_an_excluded_day_is_skipped_with_the_reason():
    trigger = every("1h", exclude={"calendars": ["holidays"]})
    days = {"holidays": (DaySpan(date(2026, 3, 2), date(2026, 3, 2)),)}
    (decided,) = decide(trigger, MINUTE, calendars=days).times
    assert (decided.outcome, decided.fires_at) == (DueOutcome.SKIPPED, None)
    assert decided.reason == "excluded: 2026-03-02 (calendar holidays)"


def test_a_late_firing_does_not_start_on_an_excluded_day():
    body = {"policy": "fire_once"}
    trigger = every("1d", misfire=body, exclude={"dates": ["2026-03-02"]})
    found = decide(trigger, timedelta(days=2))
    assert [(time.nominal.day, time.outcome) for time in found.times] == [
        (1, DueOutcome.MISSED),
        (2, DueOutcome.SKIPPED),
    ]
    assert found.times[0].reason == "decided 1d12h late, over the misfire window of 1d"
    soon = decide(every("8h", exclude={"dates": ["2026-03-02"]}), 21 * timedelta(hours=1))
    assert soon.times[0].reason == "decided 20h late; a firing now would be excluded: 2026-03-02"


def test_a_late_firing_waits_for_its_window():
    trigger = every("12h", window={"from": "11:00", "to": "12:30"})
    (decided,) = decide(trigger, 61 * MINUTE, NOON + timedelta(hours=1)).times
    assert (decided.outcome, decided.fires_at) == (DueOutcome.FIRES, NOON + timedelta(hours=23))


def test_a_firing_outside_its_window_waits_for_it():
    trigger = every("1h", window={"from": "15:30", "to": "16:00"})
    (decided,) = decide(trigger, MINUTE).times
    assert (decided.outcome, decided.fires_at) == (
        DueOutcome.FIRES,
        NOON + timedelta(hours=3, minutes=30),
    )


def test_a_firing_is_not_late_before_its_window_opens():
    trigger = every("1h", window={"from": "13:00", "to": "14:00"}, misfire={"policy": "skip"})
    found = decide(trigger, 91 * MINUTE, NOON + 30 * MINUTE)
    assert [time.fires_at for time in found.times] == [NOON + timedelta(hours=1)] * 2


def test_a_window_may_miss_or_skip_a_firing_outside():
    for outside, outcome in (("miss", DueOutcome.MISSED), ("skip", DueOutcome.SKIPPED)):
        trigger = every("1h", window={"from": "13:00", "to": "14:00", "outside": outside})
        (decided,) = decide(trigger, MINUTE).times
        assert (decided.outcome, decided.reason) == (
            outcome,
            "outside its window (13:00-14:00 UTC)",
        )


def test_jitter_moves_the_start_and_not_the_nominal_time():
    trigger = every("1h", jitter="10m")
    (decided,) = decide(trigger, MINUTE).times
    assert decided.nominal == NOON
    assert decided.fires_at == NOON + jitter_of(*OWNER, NOON, timedelta(minutes=10))


def test_max_firings_ends_a_trigger():
    trigger = every("10m", maxFirings=3, misfire={"policy": "fire_all"})
    found = decide(trigger, 35 * MINUTE, fired=1)
    assert outcomes(found) == [("11:30", DueOutcome.FIRES), ("11:40", DueOutcome.FIRES)]
    assert (found.progress.fired, found.next_at) == (3, None)
    assert decide(trigger, 35 * MINUTE, fired=3).times == ()
    assert next_nominal_time(trigger, ScheduleProgress(NOON, 3)) is None


def test_a_clock_that_was_set_back_does_not_fire_again():
    trigger = every("10m")
    found = decide_due_times(OWNER, trigger, ScheduleProgress(NOON), NOON - timedelta(hours=1), {})
    assert (found.times, found.progress.cursor) == ((), NOON)


SPRING = datetime(2026, 3, 29, tzinfo=UTC)
GONE = datetime(2026, 3, 29, 1, 30, tzinfo=UTC)
DAY = timedelta(days=1)


def nightly(schedule: str = "30 2 * * *", **body: Any) -> Trigger:
    return trigger_of("cron", {"schedule": schedule, "timezone": "Europe/Berlin", **body})


def through_spring(trigger: Trigger, until: datetime = SPRING + DAY) -> DueTimeDecisions:
    return decide_due_times(OWNER, trigger, ScheduleProgress(SPRING - DAY / 2), until, {})


def test_a_time_of_day_that_does_not_exist_is_skipped_with_the_reason():
    found = through_spring(nightly())
    (gone,) = found.times
    assert (gone.nominal, gone.outcome) == (GONE, DueOutcome.SKIPPED)
    assert gone.reason == "02:30 does not exist on that day (clocks go forward)"
    assert (found.progress.fired, found.is_complete) == (0, True)
    assert found.next_at == datetime(2026, 3, 30, 0, 30, tzinfo=UTC)


def test_a_time_that_does_not_exist_is_decided_with_the_next_nominal_time():
    before = through_spring(nightly(), SPRING)
    following = datetime(2026, 3, 30, 0, 30, tzinfo=UTC)
    assert (before.times, before.next_at) == ((), following)
    after = decide_due_times(OWNER, nightly(), before.progress, following, {})
    assert [time.outcome for time in after.times] == [DueOutcome.SKIPPED, DueOutcome.FIRES]


def test_a_time_that_does_not_exist_is_not_the_latest():
    trigger = nightly("0 1 * * *", misfire={"policy": "fire_once"})
    both = nightly("0 1,2 * * *", misfire={"policy": "fire_once"})
    # 02:00 would be shifted to 03:00, after 01:00; still 01:00 is the firing that runs late.
    for nightly_trigger in (trigger, both):
        found = through_spring(nightly_trigger, datetime(2026, 3, 29, 9, tzinfo=UTC)).times
        assert found[0].outcome is DueOutcome.FIRES


def test_a_time_that_does_not_exist_does_not_count_for_max_firings():
    trigger = nightly(maxFirings=1, misfire={"policy": "fire_all", "window": "30d"})
    found = through_spring(trigger, SPRING + 5 * DAY)
    assert [time.outcome for time in found.times] == [DueOutcome.SKIPPED, DueOutcome.FIRES]
    assert (found.progress.fired, found.next_at) == (1, None)


@pytest.mark.parametrize(
    "trigger",
    [
        nightly(dst={"gap": "shift"}),
        nightly("30 */2 * * *"),
        nightly("*/20 1-3 * * *"),
        nightly("0 3 * * *"),
    ],
    ids=["shifted", "any hour", "another firing takes its place", "another time"],
)
def test_nothing_is_skipped_if_no_time_of_day_is_missing(trigger: Trigger):
    assert all(time.outcome is not DueOutcome.SKIPPED for time in through_spring(trigger).times)


@pytest.mark.parametrize("at_once", [1, 2, 3])
def test_a_time_that_does_not_exist_is_decided_once_in_any_number_of_parts(at_once: int):
    trigger = nightly("15,45 1-2 * * *", misfire={"policy": "fire_all", "window": "30d"})
    now, progress, parts, is_complete = SPRING + DAY, ScheduleProgress(SPRING - DAY / 2), [], False
    while not is_complete:
        part = decide_due_times(OWNER, trigger, progress, now, {}, at_once=at_once)
        progress, is_complete = part.progress, part.is_complete
        parts.extend(part.times)
    whole = decide_due_times(OWNER, trigger, ScheduleProgress(SPRING - DAY / 2), now, {})
    assert tuple(parts) == whole.times
    assert [time.outcome for time in parts].count(DueOutcome.SKIPPED) == 2


@settings(deadline=None, max_examples=examples(60))
@given(
    seconds=st.integers(1, 90),
    outage_seconds=st.integers(0, 1_500),
    policy=st.sampled_from(["skip", "fire_once", "fire_all"]),
    at_once=st.integers(1, 50),
)
def test_each_time_is_decided_once_in_any_number_of_parts(
    seconds: int, outage_seconds: int, policy: str, at_once: int
):
    trigger = every(f"{seconds}s", misfire={"policy": policy, "window": "20m"})
    whole = decide(trigger, outage_seconds * SECOND, at_once=5_000)
    due = takewhile(
        lambda time: time <= NOON, nominal_times(trigger, NOON - outage_seconds * SECOND)
    )
    assert [time.nominal for time in whole.times] == list(due)
    progress, parts, is_complete = ScheduleProgress(NOON - outage_seconds * SECOND), [], False
    while not is_complete:
        part = decide_due_times(OWNER, trigger, progress, NOON, {}, at_once=at_once)
        progress, is_complete = part.progress, part.is_complete
        parts.extend(part.times)
        assert len(part.times) <= at_once
    assert tuple(parts) == whole.times
    assert progress == whole.progress
    fires = [time for time in whole.times if time.outcome is DueOutcome.FIRES]
    late = [time for time in fires if NOON - time.nominal > MISFIRE_GRACE]
    if policy == "skip":
        assert not late
    elif policy == "fire_once":
        assert len(fires) <= 1
        assert all(time is whole.times[-1] for time in fires)
    else:
        assert all(NOON - time.nominal <= timedelta(minutes=20) for time in late)


def test_few_refused_firings_get_an_entry_each_and_many_get_one_together():
    few = skipped_log_entries(OWNER, outage("skip").times, NOON)
    assert [entry.message for entry in few][-1] == (
        "run missed: decided 5m late; misfire policy skip"
    )
    assert [entry.level for entry in few] == ["warning"] * 4
    trigger = every("5s", misfire={"policy": "skip"})
    many = decide(trigger, timedelta(minutes=10), NOON + 2 * SECOND).times[:-1]
    (entry,) = skipped_log_entries(OWNER, many, NOON)
    assert entry.message.startswith(
        "119 firings of often from 2026-03-02T11:50:05Z to 2026-03-02T11:59:55Z did not start: "
        "119 missed, 0 skipped; last reason: decided 7s late"
    )


def test_an_alarm_may_be_ahead_of_postgres_by_the_clock_skew_only():
    assert decide_until(NOON, NOON + MAX_CLOCK_SKEW) == NOON + MAX_CLOCK_SKEW
    assert decide_until(NOON, NOON + MAX_CLOCK_SKEW + SECOND) == NOON
    assert decide_until(NOON, NOON - MINUTE) == NOON
    assert decide_until(NOON, None) == NOON


def test_a_decided_firing_starts_now_if_its_start_has_come():
    found = decide(every("1h", window={"from": "13:00", "to": "14:00"}), MINUTE)
    assert not found.starts_now(NOON)
    later = replace(found, decided_at=NOON + timedelta(hours=1))
    assert later.starts_now(NOON)
    assert not later.starts_now(NOON - timedelta(hours=1))


def firing_by(cause: FiringCause) -> FiringRef:
    return FiringRef(OWNER[0], OWNER[1], firing_key(NOON), NOON.isoformat(), "run/x", cause)
