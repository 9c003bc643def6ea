"""What counts as drift, and what people are told of it."""

from dataclasses import replace
from datetime import timedelta

import pytest

from activityctl.domain.gitops.drift import (
    ObservedSchedule,
    StoredSchedule,
    drift_of,
)
from activityctl.domain.gitops.plan import WantedSchedule
from activityctl.domain.timing.alarm import Alarm
from activityctl.domain.timing.cron import CronCalendar
from activityctl.domain.values import ids

CRON = {"schedule": "0 8 * * 1-5", "timezone": "Europe/Berlin", "jitter": "30s"}


def wanted(kind: str = "cron", **body: object) -> WantedSchedule:
    subscription = ids.subscription_id("mine")
    key = ids.schedule_id(subscription, "often")
    return WantedSchedule(key, subscription, "often", kind, body or CRON)


def recorded(want: WantedSchedule | None, **fields: object) -> StoredSchedule:
    named = wanted()
    return StoredSchedule(named.id, named.subscription_id, "often", want, **fields)


def observed(want: WantedSchedule, **fields: object) -> ObservedSchedule:
    return replace(ObservedSchedule(want.id, want.alarm, False), **fields)


def told(record: StoredSchedule, found: ObservedSchedule | None) -> str | None:
    drift = drift_of(record, found)
    return None if drift is None else drift.message("often")


@pytest.mark.parametrize("paused", [False, True])
def test_a_schedule_that_is_as_recorded_has_not_drifted(*, paused: bool) -> None:
    assert told(recorded(wanted(), paused=paused), observed(wanted(), paused=paused)) is None


def test_what_shall_not_be_and_is_not_has_not_drifted() -> None:
    assert told(recorded(None), None) is None


@pytest.mark.parametrize(
    ("record", "found", "message"),
    [
        (recorded(wanted()), None, "deleted behind our back; created again"),
        (recorded(None), observed(wanted()), "created behind our back; deleted"),
        (
            recorded(wanted()),
            observed(wanted(), paused=True),
            "paused behind our back; resumed",
        ),
        (
            recorded(wanted(), paused=True),
            observed(wanted()),
            "resumed behind our back; paused again",
        ),
        (
            recorded(wanted()),
            observed(wanted(schedule="0 9 * * *")),
            "altered (timing) behind our back; put back",
        ),
        (
            recorded(wanted()),
            observed(wanted(), altered=("overlap policy",)),
            "altered (overlap policy) behind our back; put back",
        ),
        (
            recorded(wanted()),
            observed(wanted(schedule="0 9 * * *"), paused=True, altered=("action",)),
            "altered (timing, action) and paused behind our back; put back and resumed",
        ),
    ],
)
def test_people_are_told_what_was_found_and_what_was_done(
    record: StoredSchedule, found: ObservedSchedule | None, message: str
) -> None:
    assert told(record, found) == f"schedule often was {message}"


@pytest.mark.parametrize("found", [None, observed(wanted(), paused=True)])
@pytest.mark.parametrize("want", [None, wanted()])
def test_what_the_reconciler_has_yet_to_do_is_no_drift(
    want: WantedSchedule | None, found: ObservedSchedule | None
) -> None:
    assert told(recorded(want, is_synced=False), found) is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"schedule": "@daily"}, {"schedule": "0 0 * * *"}),
        ({"schedule": "0,30 * * * *"}, {"schedule": "*/30 * * * *"}),
        ({"schedule": "0 8 * * *"}, {"schedule": "0 8 * * *", "timezone": "UTC", "jitter": "0s"}),
        ({"schedule": "0 8 * * 0"}, {"schedule": "0 8 * * 7"}),
        ({"schedule": "0 8 * * *"}, {"schedule": "0 8 * * *", "misfire": {"policy": "skip"}}),
        ({"schedule": "0 8 * * *"}, {"schedule": "0 8 * * *", "jitter": "5m"}),
        ({"schedule": "* * * * *"}, {"schedule": "* * * * *", "timezone": "Europe/Berlin"}),
    ],
)
def test_the_same_times_are_the_same_timing_however_written(
    one: dict[str, str], other: dict[str, str]
) -> None:
    assert wanted(**one).alarm == wanted(**other).alarm


@pytest.mark.parametrize(
    "other",
    [
        wanted(**{**CRON, "schedule": "0 8 * * 1-6"}),
        wanted(**{**CRON, "timezone": "Europe/London"}),
        wanted(**{**CRON, "endAt": "2027-01-01T00:00:00Z"}),
        wanted(**{**CRON, "schedule": "0 8 1 * 1-5"}),
        wanted("interval", every="1d"),
        wanted(**{**CRON, "timezone": "Asia/Kolkata"}),
    ],
)
def test_other_times_are_another_timing(other: WantedSchedule) -> None:
    assert drift_of(recorded(wanted()), observed(other)) is not None


def test_an_interval_has_its_distance_and_offset() -> None:
    alarm = wanted("interval", every="1h", offset="90s", jitter="5s").alarm
    hour, offset = timedelta(hours=1), timedelta(seconds=90)
    assert alarm == Alarm(intervals=frozenset({(hour, offset)}))


def test_days_of_either_kind_are_two_calendars() -> None:
    alarm = wanted(schedule="0 0 1 * 1").alarm
    days = {(len(one.days_of_month), len(one.days_of_week)) for one in alarm.calendars}
    assert days == {(1, 7), (31, 1)}
    assert all(isinstance(one, CronCalendar) and not one.either_day for one in alarm.calendars)


def test_what_the_product_never_writes_is_drift() -> None:
    alarm = replace(wanted().alarm, extras=("excluded times",))
    assert drift_of(recorded(wanted()), observed(wanted(), alarm=alarm)) is not None


@pytest.mark.parametrize(
    "foreign",
    ["nightly", "schedule/nightly", "schedule/1/often", f"schedule/{'0' * 36}/often", "x/y/z"],
)
def test_only_an_id_of_our_form_names_a_subscription(foreign: str) -> None:
    assert ids.parts_of_schedule(foreign) is None


def test_a_schedules_id_gives_its_parts_back() -> None:
    subscription = ids.subscription_id("mine")
    key = ids.schedule_id(subscription, "large-order")
    assert ids.parts_of_schedule(key) == (subscription, "large-order")
