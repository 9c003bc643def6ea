from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from activityctl.domain.manifests.trigger_kinds import TRIGGER_KINDS
from activityctl.domain.timing.trigger import (
    CronTrigger,
    IntervalTrigger,
    trigger_of,
)


def test_a_cron_trigger_is_in_utc_without_jitter_by_default():
    trigger = trigger_of("cron", {"schedule": "0 2 * * 1-5"})
    assert trigger == CronTrigger(schedule="0 2 * * 1-5", timezone="UTC", jitter=timedelta(0))


def test_an_interval_trigger_reads_its_durations():
    trigger = trigger_of("interval", {"every": "30m", "offset": "PT90S", "jitter": "500ms"})
    assert trigger == IntervalTrigger(
        every=timedelta(minutes=30),
        offset=timedelta(seconds=90),
        jitter=timedelta(milliseconds=500),
    )


@pytest.mark.parametrize(
    ("kind", "body", "field", "reason"),
    [
        ("cron", {}, "schedule", "Field required"),
        ("cron", {"schedule": 5}, "schedule", "valid string"),
        ("cron", {"schedule": "61 * * * *"}, "schedule", "minute '61': 61 is not within 0-59"),
        ("cron", {"schedule": "0 0 31 2 *"}, "schedule", "never fires"),
        ("cron", {"schedule": "0 0 31 4,6,9,11 *"}, "schedule", "never fires"),
        ("cron", {"schedule": "@daily", "timezone": "europe/berlin"}, "timezone", "Europe/Berlin"),
        ("cron", {"schedule": "@daily", "timezone": "Europe/Berln"}, "timezone", "Europe/Berlin"),
        ("cron", {"schedule": "@daily", "timezone": "Mars/Base"}, "timezone", "an IANA name"),
        ("cron", {"schedule": "@daily", "timezone": "America"}, "timezone", "unknown time zone"),
        ("cron", {"schedule": "@daily", "timezone": ""}, "timezone", "unknown time zone"),
        ("cron", {"schedule": "@daily", "timezone": "../../etc/passwd"}, "timezone", "unknown"),
        ("cron", {"schedule": "@daily", "timezone": "/etc/localtime"}, "timezone", "unknown"),
        ("cron", {"schedule": "@daily", "timezone": "localtime"}, "timezone", ": write an IANA"),
        ("cron", {"schedule": "@daily", "timezone": "CEST"}, "timezone", "write Europe/Berlin"),
        ("cron", {"schedule": "@daily", "timezone": "pst"}, "timezone", "America/Los_Angeles"),
        ("cron", {"schedule": "@daily", "timezone": "utc"}, "timezone", "write UTC"),
        ("cron", {"schedule": "@daily", "timezone": "GMT+3"}, "timezone", "or Etc/GMT-3"),
        ("cron", {"schedule": "@daily", "startAt": "2027-01-01"}, "startAt", "01-01T00:00:00Z"),
        ("cron", {"schedule": "@daily", "endAt": "2027-02-30T00:00:00Z"}, "endAt", "'2027-02-30"),
        ("cron", {"schedule": "@daily", "timezone": "+02:00"}, "timezone", "unknown"),
        ("cron", {"schedule": "@daily", "timezone": "UTC\x00"}, "timezone", "unknown"),
        ("cron", {"schedule": "@daily", "jitter": 30}, "jitter", "write 30s"),
        ("cron", {"schedule": "@daily", "seconds": 1}, "seconds", "not permitted"),
        ("interval", {}, "every", "Field required"),
        ("interval", {"every": 30}, "every", "write 30s"),
        ("interval", {"every": "999ms"}, "every", "write 1s or more"),
        ("interval", {"every": "0s"}, "every", "write 1s or more"),
        ("interval", {"every": "2s500ms"}, "every", "write 2s"),
        ("interval", {"every": "5m", "offset": "5m"}, "offset", r"not shorter than every \(5m\)"),
        ("interval", {"every": "5m", "offset": "1s1ms"}, "offset", "whole seconds"),
        (
            "interval",
            {"every": "5m", "jitter": "6m"},
            "every",
            r"not longer than the jitter \(6m\)",
        ),
    ],
)
def test_a_refusal_names_the_field_and_the_reason(
    kind: str, body: dict[str, Any], field: str, reason: str
):
    with pytest.raises(ValidationError, match=reason) as refusal:
        trigger_of(kind, body)
    assert [error["loc"] for error in refusal.value.errors()] == [(field,)]


def test_all_wrong_fields_are_reported_together():
    with pytest.raises(ValidationError) as refusal:
        trigger_of("cron", {"schedule": "x", "timezone": "y", "jitter": "z"})
    assert {error["loc"] for error in refusal.value.errors()} == {
        ("schedule",),
        ("timezone",),
        ("jitter",),
    }


@pytest.mark.parametrize(
    "zone", ["UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT-2", "CET"]
)
def test_iana_zones_are_accepted(zone: str):
    assert CronTrigger(schedule="@daily", timezone=zone).timezone == zone


@pytest.mark.parametrize("kind", TRIGGER_KINDS)
def test_each_field_of_each_kind_is_described(kind: str):
    for name, field in TRIGGER_KINDS[kind].model_fields.items():
        assert field.description, f"{kind}.{name}"


def test_a_trigger_is_the_same_after_json():
    trigger = trigger_of("interval", {"every": "1h30m", "jitter": "5s"})
    assert trigger_of("interval", trigger.model_dump(mode="json", by_alias=True)) == trigger
