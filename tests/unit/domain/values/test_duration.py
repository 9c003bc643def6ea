from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, ValidationError

from activityctl.domain.values.duration import (
    MAX_DURATION,
    Duration,
    format_duration,
    parse_duration,
)


class Pause(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True)

    length: Duration


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("250ms", timedelta(milliseconds=250)),
        ("30s", timedelta(seconds=30)),
        ("5m", timedelta(minutes=5)),
        ("6h", timedelta(hours=6)),
        ("2d", timedelta(days=2)),
        ("1h30m", timedelta(minutes=90)),
        ("1d2h3m4s5ms", timedelta(days=1, hours=2, minutes=3, seconds=4, milliseconds=5)),
        ("1m30ms", timedelta(seconds=60, milliseconds=30)),
        ("90m", timedelta(minutes=90)),
        ("0s", timedelta(0)),
        ("3650d", MAX_DURATION),
        ("PT30S", timedelta(seconds=30)),
        ("P2D", timedelta(days=2)),
        ("P1W", timedelta(weeks=1)),
        ("PT1H30M", timedelta(minutes=90)),
        ("P1DT12H", timedelta(hours=36)),
        ("PT0.25S", timedelta(milliseconds=250)),
        ("PT0.000001S", timedelta(microseconds=1)),
    ],
)
def test_durations_are_parsed(text: str, expected: timedelta):
    assert parse_duration(text) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is not a duration: write 250ms, 30s"),
        ("30", "write 30s"),
        ("1.5h", "is not a duration"),
        ("30m1h", "is not a duration"),
        ("5m5m", "is not a duration"),
        (" 5m", "is not a duration"),
        ("5 m", "is not a duration"),
        ("5M", "write 5m"),
        ("5min", "is not a duration"),
        ("\u0665m", "is not a duration"),
        ("-5m", "cannot be negative"),
        ("P-1D", "cannot be negative"),
        ("P1M", "write days such as P30D"),
        ("P1Y", "write days such as P30D"),
        ("P", "is not a duration"),
        ("PT", "is not a duration"),
        ("P1DT", "is not a duration"),
        ("P1W2D", "is not a duration"),
        ("3650d1s", "over ten years"),
        ("9" * 60 + "d", "over ten years"),
        ("9" * 5000 + "d", "is not a duration"),
    ],
)
def test_an_invalid_duration_is_refused_with_a_hint(text: str, reason: str):
    with pytest.raises(ValueError, match=reason):
        parse_duration(text)


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (timedelta(minutes=90), "1h30m"),
        (timedelta(hours=24), "1d"),
        (timedelta(seconds=0), "0s"),
        (timedelta(milliseconds=1500), "1s500ms"),
        (timedelta(microseconds=1), "PT0.000001S"),
    ],
)
def test_durations_are_formatted_largest_unit_first(duration: timedelta, text: str):
    assert format_duration(duration) == text


def test_a_negative_duration_is_not_formatted():
    with pytest.raises(ValueError, match="negative"):
        format_duration(timedelta(seconds=-1))


@given(st.timedeltas(min_value=timedelta(0), max_value=MAX_DURATION))
def test_a_formatted_duration_is_parsed_back(duration: timedelta):
    assert parse_duration(format_duration(duration)) == duration


def test_a_model_reads_texts_and_writes_them():
    pause = Pause.model_validate_json('{"length": "PT90M"}')
    assert pause.length == timedelta(minutes=90)
    assert pause.model_dump(mode="json") == {"length": "1h30m"}
    assert Pause.model_validate({"length": "1h30m"}) == pause


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (30, "write 30s"),
        (1.5, "write 30s"),
        (True, "should be a duration"),
        (None, "should be a duration"),
        (["30s"], "should be a duration"),
        ("soon", "is not a duration"),
        (timedelta(seconds=-1), "not between"),
        (timedelta(days=3651), "not between"),
    ],
)
def test_a_model_refuses_a_value_without_unit(given: object, reason: str):
    with pytest.raises(ValidationError, match=reason):
        Pause.model_validate({"length": given})
