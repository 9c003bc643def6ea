"""`next` shows what will be decided, with the notes on what moves or prevents a firing."""

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
from support.examples import examples

OWNER = "3b1c3c1e-0000-4000-8000-000000000000"


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def cron(schedule: str, **body: Any) -> Trigger:
    return trigger_of("cron", {"schedule": schedule, **body})


def every(distance: str, **body: Any) -> Trigger:
    return trigger_of("interval", {"every": distance, **body})


def preview(
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
    return [occurrence.note for occurrence in found]


def test_triggers_are_merged_by_due_time_then_by_name():
    triggers = {"b": every("2h"), "a": every("3h")}
    found = preview(triggers, "2026-01-01T00:00", 5)
    assert [(occurrence.trigger, occurrence.due_at.hour) for occurrence in found] == [
        ("b", 2),
        ("a", 3),
        ("b", 4),
        ("a", 6),
        ("b", 6),
    ]


def test_local_time_is_in_the_triggers_zone_with_its_offset():
    (occurrence,) = preview(cron("0 2 * * *", timezone="Asia/Kathmandu"), "2026-01-01T00:00", 1)
    assert occurrence.due_at == at("2026-01-01T20:15")
    assert occurrence_view("s", occurrence)["localTime"] == "2026-01-02T02:00:00+05:45"
    assert (occurrence.fires_at, occurrence.note) == (occurrence.due_at, None)


def test_jitter_moves_the_start_and_is_noted():
    (occurrence,) = preview(every("1h", jitter="10m"), "2026-01-01T00:00", 1)
    assert occurrence.fires_at is not None
    moved = occurrence.fires_at - occurrence.due_at
    assert timedelta(0) < moved < timedelta(minutes=10)
    assert occurrence.note is not None
    assert occurrence.note.startswith("jitter ")
    assert preview(every("1h", jitter="10m"), "2026-01-01T00:00", 1) == [occurrence]


def test_a_firing_outside_its_window_waits_until_it_opens():
    trigger = cron("0 3 * * *", window={"from": "08:00", "to": "18:00"})
    (occurrence,) = preview(trigger, "2026-01-01T00:00", 1)
    assert occurrence.fires_at == at("2026-01-01T08:00")
    assert occurrence.expected_outcome is ExpectedOutcome.FIRES
    assert occurrence.note == "waits: outside its window (08:00-18:00 UTC)"


@pytest.mark.parametrize(("outside", "outcome"), [("skip", "skipped"), ("miss", "missed")])
def test_a_firing_that_does_not_wait_for_its_window_does_not_fire(outside: str, outcome: str):
    trigger = cron("0 3 * * *", window={"from": "08:00", "to": "18:00", "outside": outside})
    (occurrence,) = preview(trigger, "2026-01-01T00:00", 1)
    assert (occurrence.expected_outcome, occurrence.fires_at) == (outcome, None)
    assert occurrence.note == f"{outcome}: outside its window (08:00-18:00 UTC)"


def test_the_note_of_an_excluded_day_has_the_calendar():
    trigger = cron("0 3 * * *", exclude={"calendars": ["holidays"]})
    days = {"holidays": (DaySpan(date(2026, 12, 25), date(2026, 12, 26)),)}
    found = preview(trigger, "2026-12-24T12:00", 3, calendars=days)
    assert notes(found) == [
        "skipped: excluded: 2026-12-25 (calendar holidays)",
        "skipped: excluded: 2026-12-26 (calendar holidays)",
        None,
    ]
    assert [occurrence.fires_at for occurrence in found] == [None, None, at("2026-12-27T03:00")]


BERLIN = {"timezone": "Europe/Berlin"}


def test_the_note_of_a_shifted_time_has_the_time_that_does_not_exist():
    trigger = cron("30 2 * * *", **BERLIN, dst={"gap": "shift"})
    found = preview(trigger, "2026-03-28T12:00", 2)
    assert [f"{occurrence.local:%d %H:%M}" for occurrence in found] == ["29 03:30", "30 02:30"]
    assert notes(found) == ["shifted: 02:30 does not exist on that day (clocks go forward)", None]


def test_a_time_that_exists_is_not_noted_as_shifted_if_another_is_shifted_to_it():
    trigger = cron("30 * * * *", **BERLIN, dst={"gap": "shift"})
    found = preview(trigger, "2026-03-29T00:00", 3)
    assert [f"{occurrence.local:%H:%M}" for occurrence in found] == ["01:30", "03:30", "04:30"]
    assert notes(found) == [None, None, None]


def test_a_shift_by_half_an_hour_is_noted():
    trigger = cron("10 2 * * *", timezone="Australia/Lord_Howe", dst={"gap": "shift"})
    (occurrence,) = preview(trigger, "2026-10-03T12:00", 1)
    assert f"{occurrence.local:%d %H:%M}" == "04 02:40"
    assert occurrence.note == "shifted: 02:10 does not exist on that day (clocks go forward)"


def test_a_whole_day_that_the_zone_skipped_is_shifted():
    trigger = cron("0 23 30 12 *", timezone="Pacific/Apia", dst={"gap": "shift"})
    (occurrence,) = preview(trigger, "2011-12-29T00:00", 1)
    assert f"{occurrence.local:%d %H:%M}" == "31 23:00"
    assert occurrence.note == "shifted: 23:00 does not exist on that day (clocks go forward)"


@pytest.mark.parametrize(
    ("overlap", "expected"),
    [
        ({}, ["repeated hour: first", None]),
        ({"overlap": "both"}, ["repeated hour: first", "repeated hour: second"]),
    ],
)
def test_the_note_of_a_repeated_time_tells_first_from_second(
    overlap: dict[str, str], expected: Any
):
    trigger = cron("30 2 * * *", **BERLIN, dst=overlap)
    assert notes(preview(trigger, "2026-10-24T12:00", 2)) == expected


def test_a_time_that_does_not_exist_is_listed_as_skipped():
    trigger = cron("30 2 * * *", timezone="Europe/Berlin")
    _, skipped, following = preview(trigger, "2026-03-27T12:00", 3)
    assert (skipped.expected_outcome, skipped.fires_at) == (ExpectedOutcome.SKIPPED, None)
    assert skipped.note == "skipped: 02:30 does not exist on that day (clocks go forward)"
    assert skipped.local.isoformat() == "2026-03-29T03:30:00+02:00"
    assert (following.expected_outcome, following.note) == (ExpectedOutcome.FIRES, None)


def test_a_waiting_firing_has_no_note_of_a_trigger_that_was_changed():
    due, fires = at("2026-01-01T02:00"), at("2026-01-01T06:00")
    until = "waits until 2026-01-01T06:00:00Z"
    for trigger in (None, every("7h"), every("1h", jitter="1m")):
        occurrence = waiting_occurrence((OWNER, "t"), trigger, (due, fires), {})
        assert (occurrence.due_at, occurrence.fires_at, occurrence.note) == (due, fires, until)
    moved = waiting_occurrence((OWNER, "t"), cron("30 * * * *"), (due, due), {})
    assert moved.note == "waits until 2026-01-01T02:00:00Z"


def test_the_last_firing_is_noted_and_none_follows():
    found = preview(every("1h", maxFirings=3), "2026-01-01T00:00", 9)
    assert notes(found) == [None, None, "last: maxFirings reached"]


def test_past_firings_count_for_max_firings():
    trigger, now = every("1h", maxFirings=3), at("2026-01-01T00:00")
    assert len(preview(trigger, "2026-01-01T00:00", 9, progress=ScheduleProgress(now, 2))) == 1
    assert preview(trigger, "2026-01-01T00:00", 9, progress=ScheduleProgress(now, 3)) == []


def test_skipped_firings_do_not_count_for_max_firings():
    trigger = cron("0 3 * * *", maxFirings=1, exclude={"dates": ["2026-01-01/2026-01-03"]})
    found = preview(trigger, "2025-12-31T12:00", 9)
    assert [occurrence.expected_outcome for occurrence in found] == [
        "skipped",
        "skipped",
        "skipped",
        "fires",
    ]


def test_firings_before_the_shown_range_count_too():
    trigger, now = every("1h", maxFirings=5), at("2026-01-01T00:00")
    found = preview(trigger, "2026-01-01T03:00", 9, progress=ScheduleProgress(now, 0))
    assert [occurrence.due_at.hour for occurrence in found] == [4, 5]


def test_past_firings_are_shown_after_max_firings_is_reached():
    trigger, now = every("1h", maxFirings=5), at("2026-01-01T00:00")
    found = preview(trigger, "2025-12-31T21:00", 9, progress=ScheduleProgress(now, 5))
    assert [occurrence.due_at for occurrence in found] == [
        at("2025-12-31T22:00"),
        at("2025-12-31T23:00"),
        now,
    ]


def test_a_paused_firing_does_not_fire_and_a_skipped_one_stays_skipped():
    trigger = cron("0 3 * * *", jitter="1h", exclude={"dates": ["2026-01-01"]})
    skipped, fires = map(as_paused, preview(trigger, "2025-12-31T12:00", 2))
    assert (skipped.expected_outcome, fires.expected_outcome) == (
        ExpectedOutcome.SKIPPED,
        ExpectedOutcome.PAUSED,
    )
    assert (fires.fires_at, fires.note) == (None, "paused")


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


@settings(max_examples=examples(60), deadline=None)
@given(
    trigger=triggers(),
    start=st.sampled_from(["2026-03-28T00:00", "2026-10-24T00:00", "2026-04-04T00:00"]),
    fired=st.integers(0, 3),
)
def test_next_shows_what_is_decided_later(trigger: Trigger, start: str, fired: int):
    days = {"c": (DaySpan(date(2026, 10, 25), date(2026, 10, 25)),)}
    progress = ScheduleProgress(at(start), fired)
    shown = preview(trigger, start, 30, calendars=days, progress=progress)
    for occurrence in shown:
        decisions = decide_due_times((OWNER, "t"), trigger, progress, occurrence.due_at, days)
        (decided,) = decisions.times
        expected = (occurrence.due_at, str(occurrence.expected_outcome))
        assert (decided.nominal, str(decided.outcome)) == expected
        assert decided.fires_at == occurrence.fires_at
        progress = decisions.progress
    assert len(shown) == 30 or next_nominal_time(trigger, progress) is None
