"""Which differences of a schedule are drift, and the message for people."""

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


def stored(want: WantedSchedule | None, **fields: object) -> StoredSchedule:
    named = wanted()
    return StoredSchedule(named.id, named.subscription_id, "often", want, **fields)


def observed(want: WantedSchedule, **fields: object) -> ObservedSchedule:
    return replace(ObservedSchedule(want.id, want.alarm, False), **fields)


def message_of(record: StoredSchedule, found: ObservedSchedule | None) -> str | None:
    drift = drift_of(record, found)
    return None if drift is None else drift.message("often")


@pytest.mark.parametrize("paused", [False, True])
def test_a_schedule_that_is_as_stored_has_not_drifted(*, paused: bool) -> None:
    assert message_of(stored(wanted(), paused=paused), observed(wanted(), paused=paused)) is None


def test_a_deleted_schedule_that_temporal_does_not_have_has_not_drifted() -> None:
    assert message_of(stored(None), None) is None


@pytest.mark.parametrize(
    ("record", "found", "message"),
    [
        (stored(wanted()), None, "deleted outside activityctl; created again"),
        (stored(None), observed(wanted()), "created outside activityctl; deleted"),
        (
            stored(wanted()),
            observed(wanted(), paused=True),
            "paused outside activityctl; resumed",
        ),
        (
            stored(wanted(), paused=True),
            observed(wanted()),
            "resumed outside activityctl; paused again",
        ),
        (
            stored(wanted()),
            observed(wanted(schedule="0 9 * * *")),
            "changed (timing) outside activityctl; restored",
        ),
        (
            stored(wanted()),
            observed(wanted(), altered=("overlap policy",)),
            "changed (overlap policy) outside activityctl; restored",
        ),
        (
            stored(wanted()),
            observed(wanted(schedule="0 9 * * *"), paused=True, altered=("action",)),
            "changed (timing, action) and paused outside activityctl; restored and resumed",
        ),
    ],
)
def test_the_message_says_what_was_changed_and_how_it_was_repaired(
    record: StoredSchedule, found: ObservedSchedule | None, message: str
) -> None:
    assert message_of(record, found) == f"schedule often was {message}"


@pytest.mark.parametrize("found", [None, observed(wanted(), paused=True)])
@pytest.mark.parametrize("want", [None, wanted()])
def test_a_schedule_that_is_not_synced_yet_has_not_drifted(
    want: WantedSchedule | None, found: ObservedSchedule | None
) -> None:
    assert message_of(stored(want, is_synced=False), found) is None


@pytest.mark.parametrize(
    ("first", "other"),
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
def test_the_same_times_written_differently_have_the_same_alarm(
    first: dict[str, str], other: dict[str, str]
) -> None:
    assert wanted(**first).alarm == wanted(**other).alarm


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
def test_other_times_are_drift(other: WantedSchedule) -> None:
    assert drift_of(stored(wanted()), observed(other)) is not None


def test_the_alarm_of_an_interval_has_its_length_and_offset() -> None:
    alarm = wanted("interval", every="1h", offset="90s", jitter="5s").alarm
    hour, offset = timedelta(hours=1), timedelta(seconds=90)
    assert alarm == Alarm(intervals=frozenset({(hour, offset)}))


def test_days_of_month_and_of_week_make_two_calendars() -> None:
    alarm = wanted(schedule="0 0 1 * 1").alarm
    days = {(len(cron.days_of_month), len(cron.days_of_week)) for cron in alarm.calendars}
    assert days == {(1, 7), (31, 1)}
    assert all(isinstance(cron, CronCalendar) and not cron.either_day for cron in alarm.calendars)


def test_settings_that_activityctl_never_writes_are_drift() -> None:
    alarm = replace(wanted().alarm, extras=("excluded times",))
    assert drift_of(stored(wanted()), observed(wanted(), alarm=alarm)) is not None


@pytest.mark.parametrize(
    "foreign",
    ["nightly", "schedule/nightly", "schedule/1/often", f"schedule/{'0' * 36}/often", "x/y/z"],
)
def test_only_an_id_of_our_form_names_a_subscription(foreign: str) -> None:
    assert ids.parts_of_schedule(foreign) is None


def test_a_schedule_id_can_be_split_into_its_parts() -> None:
    subscription = ids.subscription_id("mine")
    key = ids.schedule_id(subscription, "large-order")
    assert ids.parts_of_schedule(key) == (subscription, "large-order")
