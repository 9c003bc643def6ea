"""Which differences of an alarm are drift, and the message for people."""

from dataclasses import replace
from datetime import timedelta

import pytest

from activityctl.domain.gitops.drift import (
    ObservedAlarm,
    StoredAlarm,
    drift_of,
)
from activityctl.domain.timing.alarm import Alarm, alarm_id_of, alarm_of
from activityctl.domain.timing.cron import CronCalendar
from activityctl.domain.timing.trigger import trigger_of
from activityctl.domain.values import ids

KEY = ids.AlarmId("alarm/0 8 * * 1-5 Europe/Berlin")
CRON = {"schedule": "0 8 * * 1-5", "timezone": "Europe/Berlin", "jitter": "30s"}


def wanted(kind: str = "cron", **body: object) -> Alarm:
    return alarm_of(trigger_of(kind, body or CRON))


def id_of(kind: str = "cron", **body: object) -> str:
    return alarm_id_of(trigger_of(kind, body or CRON))


def stored(want: Alarm | None, **fields: object) -> StoredAlarm:
    return StoredAlarm(KEY, want, **fields)


def observed(want: Alarm, **fields: object) -> ObservedAlarm:
    return replace(ObservedAlarm(KEY, want, False), **fields)


def message_of(record: StoredAlarm, found: ObservedAlarm | None) -> str | None:
    drift = drift_of(record, found)
    return None if drift is None else drift.message("often")


def test_an_alarm_that_is_as_wanted_has_not_drifted() -> None:
    assert message_of(stored(wanted()), observed(wanted())) is None


def test_a_deleted_alarm_that_temporal_does_not_have_has_not_drifted() -> None:
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
    record: StoredAlarm, found: ObservedAlarm | None, message: str
) -> None:
    assert message_of(record, found) == f"schedule often was {message}"


@pytest.mark.parametrize("found", [None, observed(wanted(), paused=True)])
@pytest.mark.parametrize("want", [None, wanted()])
def test_an_alarm_that_is_not_synced_yet_has_not_drifted(
    want: Alarm | None, found: ObservedAlarm | None
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
    assert wanted(**first) == wanted(**other)


@pytest.mark.parametrize(
    ("first", "other"),
    [
        ({"schedule": "@daily"}, {"schedule": "0 0 * * *"}),
        ({"schedule": "0,30 * * * *"}, {"schedule": "*/30 * * * *"}),
        ({"schedule": "0 8 * * *"}, {"schedule": "0 8 * * *", "timezone": "UTC", "jitter": "0s"}),
        ({"schedule": "0 8 * * 0"}, {"schedule": "00 8 * JAN-dec 7"}),
        ({"schedule": "0 8 1-31 * 1"}, {"schedule": "0 8 * * *"}),
        ({"schedule": "0 8 * * *"}, {"schedule": "0 8 * * *", "dst": {"gap": "shift"}}),  # UTC
        ({"schedule": "0 8 * * *"}, {"schedule": "0 8 * * *", "endAt": "2027-01-01T00:00:00Z"}),
        ({"schedule": "0 8 * * *"}, {"schedule": "0 8 * * *", "maxFirings": 3}),
    ],
)
def test_triggers_with_one_timing_share_an_alarm(
    first: dict[str, str], other: dict[str, str]
) -> None:
    assert id_of(**first) == id_of(**other)
    assert wanted(**first) == wanted(**other)


@pytest.mark.parametrize(
    ("kind", "body", "text"),
    [
        ("cron", {"schedule": "@hourly"}, "0 * * * * UTC"),
        ("cron", {"schedule": "*/15 9-17 1,15 * mon-fri"}, "*/15 9-17 1,15 * 1-5 UTC"),
        ("cron", {"schedule": "0 0 */2 * 1"}, "0 0 */2 * &1 UTC"),
        ("cron", {"schedule": "0 0 1 * 1"}, "0 0 1 * 1 UTC"),
        ("cron", {"schedule": "5-20/5,59 * * * *"}, "5-20/5,59 * * * * UTC"),
        ("cron", CRON, "0 8 * * 1-5 Europe/Berlin"),
        ("cron", {**CRON, "dst": {"gap": "shift"}}, "0 8 * * 1-5 Europe/Berlin gap=shift"),
        (
            "cron",
            {**CRON, "dst": {"overlap": "both"}},
            "0 8 * * 1-5 Europe/Berlin overlap=both",
        ),
        ("cron", {**CRON, "dst": {"overlap": "first"}}, "0 8 * * 1-5 Europe/Berlin"),
        ("interval", {"every": "90s"}, "every 1m30s"),
        ("interval", {"every": "60m", "offset": "300s"}, "every 1h offset 5m"),
    ],
)
def test_the_id_of_an_alarm_says_its_timing(kind: str, body: dict[str, str], text: str) -> None:
    assert id_of(kind, **body) == f"alarm/{text}"


def test_the_id_of_a_long_timing_is_cut_and_ends_in_a_hash() -> None:
    minutes = "0,1,3,6,10,15,21,28,36,37,39,42,46,51,53,54,56,57,59"
    hours, days = "0,1,3,6,8,10,11,13,15,18,21,23", "1,2,4,7,9,11,14,16,19,22,24,27,29"
    zone = "America/Argentina/ComodRivadavia"
    one, other = (
        id_of(schedule=f"{minutes} {hours} {days} {months} 1,2,4", timezone=zone, dst={"gap": gap})
        for months, gap in (("1,2,4,7,11", "shift"), ("1,2,4,7,11", "skip"))
    )
    assert one != other
    assert all("… " in each and len(each) < 200 for each in (one, other))


@pytest.mark.parametrize(
    "other",
    [
        wanted(**{**CRON, "schedule": "0 8 * * 1-6"}),
        wanted(**{**CRON, "timezone": "Europe/London"}),
        wanted(**{**CRON, "schedule": "0 8 1 * 1-5"}),
        wanted("interval", every="1d"),
        wanted(**{**CRON, "timezone": "Asia/Kolkata"}),
    ],
)
def test_other_times_are_drift(other: Alarm) -> None:
    assert drift_of(stored(wanted()), observed(other)) is not None


def test_the_alarm_of_an_interval_has_its_length_and_offset() -> None:
    alarm = wanted("interval", every="1h", offset="90s", jitter="5s")
    hour, offset = timedelta(hours=1), timedelta(seconds=90)
    assert alarm == Alarm(intervals=frozenset({(hour, offset)}))


def test_days_of_month_and_of_week_make_two_calendars() -> None:
    alarm = wanted(schedule="0 0 1 * 1")
    days = {(len(cron.days_of_month), len(cron.days_of_week)) for cron in alarm.calendars}
    assert days == {(1, 7), (31, 1)}
    assert all(isinstance(cron, CronCalendar) and not cron.either_day for cron in alarm.calendars)


def test_settings_that_activityctl_never_writes_are_drift() -> None:
    alarm = replace(wanted(), extras=("excluded times",))
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
