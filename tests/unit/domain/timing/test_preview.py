"""What `next` shows is what settlement decides, with what moves, excludes or ends a firing."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from activityctl.domain.timing.misfires import ScheduleProgress, decide_due_times, next_nominal_time
from activityctl.domain.timing.preview import (
    ExpectedOutcome,
    Occurrence,
    as_paused,
    occurrence_view,
    occurrences,
    waiting_occurrence,
)
from activityctl.domain.timing.trigger import Trigger, trigger_of
from activityctl.domain.values.moment import DaySpan

OWNER = "3b1c3c1e-0000-4000-8000-000000000000"


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def cron(schedule: str, **body: Any) -> Trigger:
    return trigger_of("cron", {"schedule": schedule, **body})


def every(distance: str, **body: Any) -> Trigger:
    return trigger_of("interval", {"every": distance, **body})


def seen(
    triggers: Mapping[str, Trigger] | Trigger,
    after: str,
    count: int,
    *,
    calendars: Mapping[str, tuple[DaySpan, ...]] | None = None,
    progress: ScheduleProgress | None = None,
) -> list[Occurrence]:
    named = triggers if isinstance(triggers, Mapping) else {"t": triggers}
    known = {} if progress is None else {"t": progress}
    found = occurrences(OWNER, named, at(after), calendars or {}, known)
    return list(islice(found, count))


def notes(found: list[Occurrence]) -> list[str | None]:
    return [one.note for one in found]


def test_triggers_are_merged_by_due_time_then_by_name():
    triggers = {"b": every("2h"), "a": every("3h")}
    found = seen(triggers, "2026-01-01T00:00", 5)
    assert [(one.trigger, one.due_at.hour) for one in found] == [
        ("b", 2),
        ("a", 3),
        ("b", 4),
        ("a", 6),
        ("b", 6),
    ]


def test_local_time_is_in_the_triggers_zone_with_its_offset():
    (one,) = seen(cron("0 2 * * *", timezone="Asia/Kathmandu"), "2026-01-01T00:00", 1)
    assert one.due_at == at("2026-01-01T20:15")
    assert occurrence_view("s", one)["localTime"] == "2026-01-02T02:00:00+05:45"
    assert (one.fires_at, one.note) == (one.due_at, None)


def test_jitter_moves_the_start_and_is_told():
    (one,) = seen(every("1h", jitter="10m"), "2026-01-01T00:00", 1)
    assert one.fires_at is not None
    moved = one.fires_at - one.due_at
    assert timedelta(0) < moved < timedelta(minutes=10)
    assert one.note is not None
    assert one.note.startswith("jitter ")
    assert seen(every("1h", jitter="10m"), "2026-01-01T00:00", 1) == [one]


def test_a_firing_outside_its_window_waits_until_that_opens():
    trigger = cron("0 3 * * *", window={"from": "08:00", "to": "18:00"})
    (one,) = seen(trigger, "2026-01-01T00:00", 1)
    assert one.fires_at == at("2026-01-01T08:00")
    assert one.expected_outcome is ExpectedOutcome.FIRES
    assert one.note == "waits: outside its window (08:00-18:00 UTC)"


@pytest.mark.parametrize(("outside", "outlook"), [("skip", "skipped"), ("miss", "missed")])
def test_a_firing_that_does_not_wait_for_its_window_never_fires(outside: str, outlook: str):
    trigger = cron("0 3 * * *", window={"from": "08:00", "to": "18:00", "outside": outside})
    (one,) = seen(trigger, "2026-01-01T00:00", 1)
    assert (one.expected_outcome, one.fires_at) == (outlook, None)
    assert one.note == f"{outlook}: outside its window (08:00-18:00 UTC)"


def test_an_excluded_day_names_its_calendar():
    trigger = cron("0 3 * * *", exclude={"calendars": ["holidays"]})
    days = {"holidays": (DaySpan(date(2026, 12, 25), date(2026, 12, 26)),)}
    found = seen(trigger, "2026-12-24T12:00", 3, calendars=days)
    assert notes(found) == [
        "skipped: excluded: 2026-12-25 (calendar holidays)",
        "skipped: excluded: 2026-12-26 (calendar holidays)",
        None,
    ]
    assert [one.fires_at for one in found] == [None, None, at("2026-12-27T03:00")]


BERLIN = {"timezone": "Europe/Berlin"}


def test_a_shifted_time_says_which_one_does_not_exist():
    trigger = cron("30 2 * * *", **BERLIN, dst={"gap": "shift"})
    found = seen(trigger, "2026-03-28T12:00", 2)
    assert [f"{one.local:%d %H:%M}" for one in found] == ["29 03:30", "30 02:30"]
    assert notes(found) == ["shifted: 02:30 does not exist that day", None]


def test_a_time_that_exists_is_not_called_shifted_though_another_falls_on_it():
    trigger = cron("30 * * * *", **BERLIN, dst={"gap": "shift"})
    found = seen(trigger, "2026-03-29T00:00", 3)
    assert [f"{one.local:%H:%M}" for one in found] == ["01:30", "03:30", "04:30"]
    assert notes(found) == [None, None, None]


def test_a_shift_by_half_an_hour_is_told():
    trigger = cron("10 2 * * *", timezone="Australia/Lord_Howe", dst={"gap": "shift"})
    (one,) = seen(trigger, "2026-10-03T12:00", 1)
    assert f"{one.local:%d %H:%M}" == "04 02:40"
    assert one.note == "shifted: 02:10 does not exist that day"


def test_a_day_left_out_by_the_zone_is_shifted_whole():
    trigger = cron("0 23 30 12 *", timezone="Pacific/Apia", dst={"gap": "shift"})
    (one,) = seen(trigger, "2011-12-29T00:00", 1)
    assert f"{one.local:%d %H:%M}" == "31 23:00"
    assert one.note == "shifted: 23:00 does not exist that day"


@pytest.mark.parametrize(
    ("overlap", "expected"),
    [
        ({}, ["comes twice: first", None]),
        ({"overlap": "both"}, ["comes twice: first", "comes twice: second"]),
    ],
)
def test_a_time_that_comes_twice_says_which_coming_it_is(overlap: dict[str, str], expected: Any):
    trigger = cron("30 2 * * *", **BERLIN, dst=overlap)
    assert notes(seen(trigger, "2026-10-24T12:00", 2)) == expected


def test_a_time_that_does_not_exist_is_listed_as_skipped():
    trigger = cron("30 2 * * *", timezone="Europe/Berlin")
    _, gone, following = seen(trigger, "2026-03-27T12:00", 3)
    assert (gone.expected_outcome, gone.fires_at) == (ExpectedOutcome.SKIPPED, None)
    assert gone.note == "skipped: 02:30 does not exist that day"
    assert gone.local.isoformat() == "2026-03-29T03:30:00+02:00"
    assert (following.expected_outcome, following.note) == (ExpectedOutcome.FIRES, None)


def test_a_firing_that_waits_does_not_tell_what_a_changed_trigger_would():
    due, fires = at("2026-01-01T02:00"), at("2026-01-01T06:00")
    until = "waits until 2026-01-01T06:00:00Z"
    for trigger in (None, every("7h"), every("1h", jitter="1m")):
        one = waiting_occurrence((OWNER, "t"), trigger, (due, fires), {})
        assert (one.due_at, one.fires_at, one.note) == (due, fires, until)
    moved = waiting_occurrence((OWNER, "t"), cron("30 * * * *"), (due, due), {})
    assert moved.note == "waits until 2026-01-01T02:00:00Z"


def test_the_last_firing_says_so_and_none_follows():
    found = seen(every("1h", maxFirings=3), "2026-01-01T00:00", 9)
    assert notes(found) == [None, None, "last: maxFirings reached"]


def test_what_has_fired_counts_towards_max_firings():
    trigger, now = every("1h", maxFirings=3), at("2026-01-01T00:00")
    assert len(seen(trigger, "2026-01-01T00:00", 9, progress=ScheduleProgress(now, 2))) == 1
    assert seen(trigger, "2026-01-01T00:00", 9, progress=ScheduleProgress(now, 3)) == []


def test_what_does_not_fire_does_not_count_towards_max_firings():
    trigger = cron("0 3 * * *", maxFirings=1, exclude={"dates": ["2026-01-01/2026-01-03"]})
    found = seen(trigger, "2025-12-31T12:00", 9)
    assert [one.expected_outcome for one in found] == ["skipped", "skipped", "skipped", "fires"]


def test_firings_before_the_stretch_looked_at_count_too():
    trigger, now = every("1h", maxFirings=5), at("2026-01-01T00:00")
    found = seen(trigger, "2026-01-01T03:00", 9, progress=ScheduleProgress(now, 0))
    assert [one.due_at.hour for one in found] == [4, 5]


def test_the_past_is_shown_though_max_firings_is_reached():
    trigger, now = every("1h", maxFirings=5), at("2026-01-01T00:00")
    found = seen(trigger, "2025-12-31T21:00", 9, progress=ScheduleProgress(now, 5))
    assert [one.due_at for one in found] == [at("2025-12-31T22:00"), at("2025-12-31T23:00"), now]


def test_a_paused_firing_does_not_fire_and_a_skipped_one_stays_skipped():
    trigger = cron("0 3 * * *", jitter="1h", exclude={"dates": ["2026-01-01"]})
    skipped, fires = map(as_paused, seen(trigger, "2025-12-31T12:00", 2))
    assert (skipped.expected_outcome, fires.expected_outcome) == (
        ExpectedOutcome.SKIPPED,
        ExpectedOutcome.PAUSED,
    )
    assert (fires.fires_at, fires.note) == (None, "paused")


# ---- next equals what fires ----------------------------------------------------------

zones = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"])
windows = st.none() | st.fixed_dictionaries(
    {
        "from": st.sampled_from(["00:00", "01:30", "08:00", "22:00"]),
        "to": st.sampled_from(["02:30", "12:00", "24:00"]),
        "days": st.sampled_from(["*", "mon-fri", "sun"]),
        "outside": st.sampled_from(["wait", "skip", "miss"]),
    }
)


@st.composite
def triggers(draw: st.DrawFn) -> Trigger:
    clocked = {
        "jitter": draw(st.sampled_from(["0s", "7s"])),
        "maxFirings": draw(st.none() | st.integers(1, 8)),
        "exclude": draw(st.sampled_from([None, {"dates": ["2026-03-29"]}, {"calendars": ["c"]}])),
        "window": draw(windows),
        "misfire": {"policy": "fire_all", "window": "30d"},
    }
    if draw(st.booleans()):
        return every(draw(st.sampled_from(["20m", "1h", "7h"])), **clocked)
    dst = {"gap": draw(st.sampled_from(["skip", "shift"]))}
    schedule = draw(st.sampled_from(["30 * * * *", "30 2 * * *", "*/20 1-3 * * 0,1"]))
    return cron(schedule, timezone=draw(zones), dst=dst, **clocked)


@settings(max_examples=60, deadline=None)
@given(
    trigger=triggers(),
    start=st.sampled_from(["2026-03-28T00:00", "2026-10-24T00:00", "2026-04-04T00:00"]),
    fired=st.integers(0, 3),
)
def test_next_shows_what_settlement_then_decides(trigger: Trigger, start: str, fired: int):
    days = {"c": (DaySpan(date(2026, 10, 25), date(2026, 10, 25)),)}
    progress = ScheduleProgress(at(start), fired)
    shown = seen(trigger, start, 30, calendars=days, progress=progress)
    for one in shown:
        settled = decide_due_times((OWNER, "t"), trigger, progress, one.due_at, days)
        (fated,) = settled.times
        assert (fated.nominal, str(fated.outcome)) == (one.due_at, str(one.expected_outcome))
        assert fated.fires_at == one.fires_at
        progress = settled.progress
    assert len(shown) == 30 or next_nominal_time(trigger, progress) is None
