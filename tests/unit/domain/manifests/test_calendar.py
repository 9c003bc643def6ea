"""Calendars: their days, and the checks of triggers that exclude them."""

import json
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from activityctl.domain.manifests.calendar import DayCalendar, count_days, merge_days, subtract_days
from activityctl.domain.manifests.calendar_checks import (
    never_starting_in_definition,
    unknown_in_definition,
    unknown_in_subscription,
)
from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.manifests.document import ABSENT, FieldChange, day_differences
from activityctl.domain.manifests.subscription import SubscriptionSpec
from activityctl.domain.values.moment import DaySpan, parse_days

DAY = timedelta(days=1)
EDGES = (date.min, date.max)
dates = st.dates(date(2026, 1, 1), date(2026, 2, 1)) | st.sampled_from(EDGES)
spans = st.lists(
    st.tuples(dates, dates).map(lambda ends: DaySpan(min(ends), max(ends))), max_size=6
)


def calendar(**spec: Any) -> DayCalendar:
    return DayCalendar.model_validate_json(json.dumps({"metadata": {"name": "c"}, "spec": spec}))


def spans_of(*texts: str) -> tuple[DaySpan, ...]:
    return tuple(map(parse_days, texts))


def has(found: tuple[DaySpan, ...] | list[DaySpan], day: date) -> bool:
    return any(day in span for span in found)


NEAR = [date(2025, 12, 31) + n * DAY for n in range(34)] + [*EDGES, date.min + DAY, date.max - DAY]


@given(spans)
def test_merged_spans_have_the_same_days_in_order_with_gaps_between(found: list[DaySpan]):
    result = merge_days(found)
    assert [has(result, day) for day in NEAR] == [has(found, day) for day in NEAR]
    for span, following in pairwise(result):
        assert span.last.toordinal() + 1 < following.first.toordinal()


@given(spans, spans)
def test_subtracted_days_are_gone_and_the_rest_is_counted(
    left: list[DaySpan], right: list[DaySpan]
):
    days, others = merge_days(left), merge_days(right)
    rest = subtract_days(days, others)
    expected = [has(days, day) and not has(others, day) for day in NEAR]
    assert [has(rest, day) for day in NEAR] == expected
    assert count_days(rest) + count_days(subtract_days(days, rest)) == count_days(days)


def test_a_calendar_needs_days_or_a_file():
    assert calendar(days=["2026-12-25", "2026-12-24"]).days == spans_of("2026-12-24/2026-12-25")
    assert calendar(ical="a.ics").days == ()
    for spec in ({}, {"days": []}):
        with pytest.raises(ValidationError, match="no day is named"):
            calendar(**spec)
    with pytest.raises(ValidationError, match="ends before it begins"):
        calendar(days=["2026-12-25/2026-12-24"])


def test_the_days_of_its_file_are_added_to_those_written_out():
    read = calendar(days=["2026-12-24"], ical="a.ics").with_days(
        spans_of("2026-12-25", "2027-01-01")
    )
    assert read.days == spans_of("2026-12-24/2026-12-25", "2027-01-01")
    assert read.spec.ical is None


def test_added_and_removed_days_are_listed_in_order():
    old, new = spans_of("2026-12-24/2026-12-26"), spans_of("2026-12-25/2026-12-27", "2027-01-01")
    assert day_differences(old, new) == (
        FieldChange("spec.days[2026-12-24]", "2026-12-24", ABSENT),
        FieldChange("spec.days[2026-12-27]", ABSENT, "2026-12-27"),
        FieldChange("spec.days[2027-01-01]", ABSENT, "2027-01-01"),
    )
    assert day_differences(old, old) == ()


def test_of_many_changes_the_first_are_listed_and_the_rest_counted():
    new = tuple(DaySpan(day, day) for n in range(50) for day in [date(2026, 1, 1) + 2 * n * DAY])
    changes = day_differences(spans_of("2025-01-01/2025-01-02"), new)
    assert len(changes) == 21
    assert changes[-1] == FieldChange("spec.days (number of days; 31 more changes)", 2, 50)


def definition(*triggers: dict[str, Any]) -> DefinitionSpec:
    named = [{"name": f"t{index}", **trigger} for index, trigger in enumerate(triggers)]
    tasks = [{"name": "a", "say": {}}]
    return DefinitionSpec.model_validate_json(json.dumps({"triggers": named, "tasks": tasks}))


def cron(**body: Any) -> dict[str, Any]:
    return {"cron": {"schedule": "0 3 * * *", **body}}


def test_an_unknown_calendar_is_found_with_its_path():
    spec = definition(cron(), cron(exclude={"calendars": ["holidays", "holiday"]}))
    known = {"holidays": spans_of("2026-12-25")}
    (found,) = unknown_in_definition(spec, known)
    assert found.path == ("triggers", 1, "cron", "exclude", "calendars", 1)
    assert found.reason == (
        "no Calendar 'holiday' in these files or among applied calendars; did you mean 'holidays'?"
    )
    override = {"t0": {"cron": {"exclude": {"calendars": ["other"]}}}, "t1": None}
    subscription = SubscriptionSpec(activity="a", triggers=override)
    (found,) = unknown_in_subscription(subscription, known)
    assert found.path == ("triggers", "t0", "cron", "exclude", "calendars", 0)


def test_mistakes_of_shape_are_left_to_the_shape_check():
    broken: list[Any] = [{"calendars": "x"}, ["x"], "x", {"calendars": [1, None]}]
    spec = definition(*(cron(exclude=exclude) for exclude in broken), {"cron": None})
    assert unknown_in_definition(spec, {}) == []
    assert never_starting_in_definition(spec, {}) == []


def test_a_trigger_that_never_starts_is_found_at_its_exclusions():
    exclude = {"calendars": ["always"]}
    spec = definition(cron(), cron(exclude=exclude))
    (found,) = never_starting_in_definition(spec, {"always": spans_of("2020-01-01/2099-12-31")})
    assert found.path == ("triggers", 1, "cron", "exclude")
    assert "excluded: 2026-01-01 (calendar always)" in found.reason
    assert never_starting_in_definition(spec, {}) == []  # an unknown calendar decides nothing
