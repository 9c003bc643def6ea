from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from activityctl.domain.timing.options import Bounded
from activityctl.domain.timing.trigger import trigger_of
from activityctl.domain.timing.window import (
    LONGEST_WAIT,
    StartResult,
    find_start,
    never_starts_reason,
)
from activityctl.domain.values.moment import DaySpan, parse_days
from support.examples import examples

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
HOLIDAYS = {"holidays": (parse_days("2026-12-24/2026-12-26"), parse_days("2027-01-01"))}
OFFICE = {"days": "mon-fri", "from": "08:00", "to": "18:00", "timezone": "Europe/Berlin"}
# Zones with and without daylight saving; with a change of half an hour, at midnight, or twice
# more for Ramadan; and one that skipped a whole day (Apia, 30 December 2011).
ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/Havana",
    "America/Sao_Paulo",
    "Australia/Lord_Howe",
    "Africa/Casablanca",
    "Asia/Kathmandu",
    "Pacific/Apia",
    "Antarctica/Troll",
)


def bounds(**fields: Any) -> Bounded:
    return Bounded.model_validate(fields)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def start_of(fields: dict[str, Any], moment: str, zone: str = "UTC") -> StartResult:
    return find_start(bounds(**fields), at(moment), zone, HOLIDAYS)


def test_without_bounds_a_firing_starts_when_it_is_due():
    assert start_of({}, "2026-05-01T03:00:00.25Z") == StartResult(
        at("2026-05-01T03:00:00.25Z"), "starts", None
    )


@pytest.mark.parametrize(
    ("exclude", "moment", "zone", "reason"),
    [
        ({"dates": ["2026-12-25"]}, "2026-12-25T12:00Z", "UTC", "excluded: 2026-12-25"),
        ({"dates": ["2026-12-24/2027-01-02"]}, "2027-01-02T23:59Z", "UTC", "excluded: 2027-01-02"),
        (
            {"calendars": ["holidays"]},
            "2026-12-25T12:00Z",
            "UTC",
            "excluded: 2026-12-25 (calendar holidays)",
        ),
        # The day is in the trigger's zone, unless the exclusion has its own zone.
        ({"dates": ["2026-12-25"]}, "2026-12-24T23:30Z", "Europe/Berlin", "excluded: 2026-12-25"),
        ({"dates": ["2026-12-25"]}, "2026-12-25T23:30Z", "Europe/Berlin", None),
        (
            {"dates": ["2026-12-25"], "timezone": "America/New_York"},
            "2026-12-26T04:30Z",
            "Europe/Berlin",
            "excluded: 2026-12-25",
        ),
        ({"calendars": ["unknown"]}, "2026-12-25T12:00Z", "UTC", None),
    ],
)
def test_a_firing_on_an_excluded_day_is_skipped_with_the_day(
    exclude: dict[str, Any], moment: str, zone: str, reason: str | None
):
    start = start_of({"exclude": exclude}, moment, zone)
    assert start == (
        StartResult(None, "skipped", reason) if reason else StartResult(at(moment), "starts", None)
    )


@pytest.mark.parametrize(
    ("window", "moment", "opening"),
    [
        (OFFICE, "2026-05-01T08:00+02:00", None),
        (OFFICE, "2026-05-01T17:59:59+02:00", None),
        (OFFICE, "2026-05-01T07:59:59+02:00", "2026-05-01T08:00+02:00"),
        (OFFICE, "2026-05-01T18:00+02:00", "2026-05-04T08:00+02:00"),
        # The clocks change between the firing and its window.
        (OFFICE, "2026-10-23T18:00+02:00", "2026-10-26T08:00+01:00"),
        # Over midnight: the hours after midnight belong to the day before.
        ({"days": "fri", "from": "22:00", "to": "06:00"}, "2026-05-02T05:59Z", None),
        (
            {"days": "fri", "from": "22:00", "to": "06:00"},
            "2026-05-01T05:59Z",
            "2026-05-01T22:00Z",
        ),
        (
            {"days": "fri", "from": "22:00", "to": "06:00"},
            "2026-05-02T06:00Z",
            "2026-05-08T22:00Z",
        ),
        ({"from": "24:00", "to": "06:00", "days": "fri"}, "2026-05-01T12:00Z", "2026-05-02T00:00Z"),
        # The window opens at 02:30, which does not exist: 03:00 is the first time inside.
        (
            {"from": "02:30", "to": "04:00", "timezone": "Europe/Berlin"},
            "2026-03-29T01:00+01:00",
            "2026-03-29T03:00+02:00",
        ),
        # On that day no time of the window exists.
        (
            {"from": "02:15", "to": "02:45", "timezone": "Europe/Berlin"},
            "2026-03-29T01:00+01:00",
            "2026-03-30T02:15+02:00",
        ),
        # In the repeated hour the window opens twice.
        (
            {"from": "02:15", "to": "02:45", "timezone": "Europe/Berlin"},
            "2026-10-25T02:50+02:00",
            "2026-10-25T02:15+01:00",
        ),
        # The window is open because the clocks went back.
        (
            {"from": "02:00", "to": "02:30", "timezone": "Europe/Berlin"},
            "2026-10-25T02:30+02:00",
            "2026-10-25T02:00+01:00",
        ),
        # A day that begins at 01:00.
        (
            {"days": "sun", "timezone": "America/Sao_Paulo"},
            "2018-11-03T12:00-03:00",
            "2018-11-04T01:00-02:00",
        ),
    ],
)
def test_a_firing_outside_waits_until_the_window_opens(
    window: dict[str, Any], moment: str, opening: str | None
):
    start = start_of({"window": window}, moment)
    if opening is None:
        assert start == StartResult(at(moment), "starts", None)
    else:
        assert (start.outcome, start.starts_at) == ("waits", at(opening))


def test_the_window_is_in_the_triggers_zone_unless_it_has_its_own():
    window = {"from": "08:00", "to": "09:00"}
    assert start_of({"window": window}, "2026-05-01T06:30Z", "Europe/Berlin").outcome == "starts"
    window["timezone"] = "UTC"
    assert start_of({"window": window}, "2026-05-01T06:30Z", "Europe/Berlin").outcome == "waits"


@pytest.mark.parametrize(("outside", "outcome"), [("skip", "skipped"), ("miss", "missed")])
def test_a_firing_outside_is_skipped_or_missed_with_the_reason(outside: str, outcome: str):
    start = start_of({"window": {**OFFICE, "outside": outside}}, "2026-05-01T18:00+02:00")
    reason = "outside its window (mon-fri 08:00-18:00 Europe/Berlin)"
    assert start == StartResult(None, outcome, reason)


def test_the_reason_has_only_the_limits_of_the_window():
    window = {"days": "sat", "outside": "skip"}
    assert (
        start_of({"window": window}, "2026-05-01T18:00Z").reason == "outside its window (sat UTC)"
    )


def test_a_waiting_firing_does_not_start_on_excluded_days():
    fields = {"window": OFFICE, "exclude": {"calendars": ["holidays"]}}
    start = start_of(fields, "2026-12-23T19:00+01:00", "Europe/Berlin")
    assert start.starts_at == at("2026-12-28T08:00+01:00")


def test_a_waiting_firing_starts_when_an_excluded_day_ends_inside_the_window():
    fields = {
        "window": {"days": "thu", "from": "22:00", "to": "06:00"},
        "exclude": {"dates": ["2026-12-24"]},
    }
    assert start_of(fields, "2026-12-23T12:00Z").starts_at == at("2026-12-25T00:00Z")


def test_an_excluded_day_of_23_hours_ends_an_hour_sooner():
    fields = {
        "window": {"from": "23:00", "to": "22:50", "timezone": "UTC"},
        "exclude": {"dates": ["2026-03-29"]},
    }
    start = start_of(fields, "2026-03-28T22:50Z", "Europe/Berlin")
    assert start.starts_at == at("2026-03-29T22:00Z")


def test_excluded_days_are_checked_before_the_window():
    fields = {"window": {**OFFICE, "outside": "miss"}, "exclude": {"dates": ["2026-12-25"]}}
    assert start_of(fields, "2026-12-25T20:00+01:00", "Europe/Berlin").outcome == "skipped"


def test_a_firing_whose_window_does_not_open_within_a_year_is_skipped():
    fields = {
        "window": {"days": "sat", "from": "08:00", "to": "09:00"},
        "exclude": {"dates": ["2026-05-02/2028-01-01"]},
    }
    start = start_of(fields, "2026-05-01T12:00Z")
    assert (start.outcome, start.starts_at) == ("skipped", None)
    assert start.reason == (
        "outside its window (sat 08:00-09:00 UTC), which does not open within a year "
        "on a day that is not excluded"
    )


spans = st.builds(
    lambda first, days: DaySpan(first, first + days * DAY),
    st.dates(date(2010, 1, 1), date(2030, 1, 1)),
    st.integers(0, 3),
)
clocks = st.integers(0, 24 * 60)


def is_window(clocks: tuple[int, int]) -> bool:
    return clocks[0] != clocks[1] and clocks != (24 * 60, 0)


def test_a_window_without_a_minute_is_refused():
    with pytest.raises(ValidationError, match="from 24:00 to 00:00 is an empty window"):
        bounds(window={"from": "24:00", "to": "00:00"})


@st.composite
def cases(draw: st.DrawFn) -> tuple[Bounded, datetime, str, dict[str, tuple[DaySpan, ...]]]:
    first, end = draw(st.tuples(clocks, clocks).filter(is_window))
    moment = at("2010-01-01T00:00Z") + draw(st.timedeltas(0 * DAY, 7300 * DAY))
    if draw(st.booleans()):  # near a clock change, or near the day that Apia skipped
        changes = ("2026-03-29T00:00Z", "2026-10-24T23:00Z", "2011-12-30T08:00Z")
        moment = at(draw(st.sampled_from(changes))) + draw(st.integers(-1500, 300)) * MINUTE
    days = draw(st.lists(st.integers(0, 6), min_size=1, max_size=7, unique=True))
    near = [DaySpan(day := (moment + draw(st.integers(0, 3)) * DAY).date(), day)]
    fields = {
        "window": {
            "days": ",".join(map(str, sorted(days))),
            "from_": first,
            "to": end,
            "timezone": draw(st.sampled_from(ZONES)),
        },
        "exclude": {"dates": (draw(spans),), "calendars": ("days",)},
    }
    calendars = {"days": tuple(near if draw(st.booleans()) else [draw(spans)])}
    return bounds(**fields), moment, draw(st.sampled_from(ZONES)), calendars


def fits(trigger: Bounded, moment: datetime, zone: str, excluded: list[DaySpan]) -> bool:
    """Return whether a firing may start, computed from the wall clock alone."""
    window = trigger.window
    assert window is not None
    if any(moment.astimezone(ZoneInfo(zone)).date() in span for span in excluded):
        return False
    wall = moment.astimezone(ZoneInfo(window.timezone or zone))
    days = [int(day) for day in window.days.split(",")]
    for began in (wall.date(), wall.date() - DAY):
        minute = (wall.date() - began).days * 1440 + wall.hour * 60 + wall.minute
        end = window.to + (1440 if window.to < window.from_ else 0)
        if window.from_ <= minute < end and began.isoweekday() % 7 in days:
            return True
    return False


@settings(max_examples=examples(200), deadline=None)
@given(cases())
def test_a_waiting_firing_starts_at_the_first_minute_that_fits(
    case: tuple[Bounded, datetime, str, dict[str, tuple[DaySpan, ...]]],
):
    trigger, moment, zone, calendars = case
    assert trigger.exclude is not None
    excluded = [*trigger.exclude.dates, *calendars["days"]]
    start = find_start(trigger, moment, zone, calendars)
    match start.outcome:
        case "starts":
            assert start.starts_at == moment
            assert fits(trigger, moment, zone, excluded)
        case "skipped":
            assert any(moment.astimezone(ZoneInfo(zone)).date() in span for span in excluded)
        case "waits":
            opening = start.starts_at
            assert opening is not None
            assert moment < opening < moment + LONGEST_WAIT
            assert not fits(trigger, moment, zone, excluded)
            assert fits(trigger, opening, zone, excluded)
            # Check each minute of a wait up to three days, each quarter of an hour of a longer one.
            step = MINUTE if opening - moment < 3 * DAY else 15 * MINUTE
            earlier = opening - MINUTE
            while earlier > moment:
                assert not fits(trigger, earlier, zone, excluded), earlier
                earlier -= step
        case other:
            pytest.fail(f"unexpected outcome {other}")


def never(kind: str, **body: Any) -> str | None:
    trigger = trigger_of(kind, body)
    zone = "UTC" if kind == "interval" else body.get("timezone", "UTC")
    return never_starts_reason(trigger, zone, HOLIDAYS)


NIGHT = {"from": "22:00", "to": "23:00", "outside": "skip"}


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("cron", {"schedule": "0 3 * * *"}),
        ("cron", {"schedule": "0 3 * * *", "window": {"from": "22:00", "to": "23:00"}}),
        ("cron", {"schedule": "30 22 * * *", "window": NIGHT}),
        # The first thousand firings are on excluded days, later ones are not.
        ("interval", {"every": "1s", "exclude": {"dates": ["2025-12-01/2026-02-01"]}}),
        # The last day of some months is a Saturday.
        ("cron", {"schedule": "0 3 31 * *", "window": {"days": "sat", "outside": "skip"}}),
        # Inside the window only when daylight saving is not in force.
        (
            "cron",
            {"schedule": "30 21 * * *", "window": {**NIGHT, "timezone": "Europe/Berlin"}},
        ),
        ("cron", {"schedule": "0 0 31 2 *", "allowNever": True, "window": NIGHT}),
        ("cron", {"schedule": "0 3 * * *", "window": NIGHT, "endAt": "2020-01-01T00:00:00Z"}),
    ],
)
def test_a_trigger_that_can_start_has_no_reason(kind: str, body: dict[str, Any]):
    assert never(kind, **body) is None


def test_a_window_without_any_firing_is_found():
    assert never("cron", schedule="0 3 * * *", window=NIGHT) == (
        "no firing would ever start; the firing of 2026-01-01T03:00:00Z is "
        "outside its window (22:00-23:00 UTC)"
    )


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("cron", {"schedule": "0 3 * * *", "exclude": {"dates": ["2026-01-01/2099-12-31"]}}),
        ("interval", {"every": "1s", "exclude": {"dates": ["2020-01-01/2099-12-31"]}}),
        ("interval", {"every": "1d", "window": {**NIGHT, "outside": "miss"}}),
        ("cron", {"schedule": "0 9 * * sun", "window": {"days": "mon-fri", "outside": "skip"}}),
        ("cron", {"schedule": "0 3 24 12 *", "exclude": {"dates": ["2020-01-01/2050-01-01"]}}),
        (
            "cron",
            {
                "schedule": "0 3 * * *",
                "startAt": "2040-06-01T00:00:00Z",
                "exclude": {"dates": ["2040-01-01/2060-01-01"]},
            },
        ),
        (
            "cron",
            {
                "schedule": "0 3 24 12 *",
                "endAt": "2026-12-31T00:00:00Z",
                "exclude": {"calendars": ["holidays"]},
            },
        ),
    ],
)
def test_limits_that_prevent_all_firings_are_found(kind: str, body: dict[str, Any]):
    assert never(kind, **body) is not None
