"""The values of `--since` and `--until`, and the old options that these two replace."""

from datetime import UTC, datetime, timedelta

import pytest

from activityctl.cli.options import replace_old_option
from activityctl.cli.session import Session
from activityctl.domain.values.time_range import parse_moment, parse_time_range
from activityctl.errors import UsageError

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("now", NOW),
        ("2h", NOW - timedelta(hours=2)),
        ("-2h", NOW - timedelta(hours=2)),
        ("+2h", NOW + timedelta(hours=2)),
        ("1h30m", NOW - timedelta(minutes=90)),
        ("+1.5d", NOW + timedelta(hours=36)),
        ("250ms", NOW - timedelta(milliseconds=250)),
        ("0s", NOW),
        ("2026-12-23", datetime(2026, 12, 23, tzinfo=UTC)),
        ("2026-03-28T00:00:00Z", datetime(2026, 3, 28, tzinfo=UTC)),
        ("2026-03-28T00:00:00.000Z", datetime(2026, 3, 28, tzinfo=UTC)),
        ("2026-03-28T02:00:00+02:00", datetime(2026, 3, 28, tzinfo=UTC)),
        ("2026-03-28T02:00:00", datetime(2026, 3, 28, 2, tzinfo=UTC)),
    ],
)
def test_a_moment_is_now_a_duration_from_now_a_date_or_a_time(text: str, expected: datetime):
    moment = parse_moment(text, NOW)
    assert moment == expected
    assert moment.tzinfo is not None


@pytest.mark.parametrize(
    "text",
    [
        *("", "-", "+", "--1d", "++1d", "+-1d", "-+1d", "+now", "+2026-12-23"),
        *("2", "h", "2 h", "tomorrow", "2026-13-01", "2026-12-31T25:00:00Z"),
        *("99999999999d", "+99999999999d", "9" * 400 + "d"),
    ],
)
def test_any_other_text_is_a_usage_error_with_every_accepted_form_in_the_hint(text: str):
    with pytest.raises(UsageError) as refused:
        parse_moment(text, NOW)
    assert refused.value.exit_code == 2
    for form in ("2h", "+2h", "now", "2026-12-31 ", "2026-12-31T18:00:00Z"):
        assert form in str(refused.value.hint)


@pytest.mark.parametrize("text", [" 2h", "2026-12-23T18:00:00 01:00"])
def test_a_plus_that_a_url_has_made_a_space_is_told(text: str):
    with pytest.raises(UsageError) as refused:
        parse_moment(text, NOW)
    assert "%2B" in str(refused.value.hint)


def test_a_time_range_has_a_start_an_end_both_or_neither():
    two_hours_ago, an_hour_ago = NOW - timedelta(hours=2), NOW - timedelta(hours=1)
    assert parse_time_range(None, None, NOW) == (None, None)
    assert parse_time_range("2h", None, NOW) == (two_hours_ago, None)
    assert parse_time_range(None, "1h", NOW) == (None, an_hour_ago)
    assert parse_time_range("2h", "1h", NOW) == (two_hours_ago, an_hour_ago)
    assert parse_time_range("2h", "2h", NOW) == (two_hours_ago, two_hours_ago)


def test_an_end_before_the_start_is_a_usage_error():
    with pytest.raises(UsageError, match="--until 2h is before --since now") as refused:
        parse_time_range("now", "2h", NOW)
    assert refused.value.hint == "for a time in the future, write --until +2h"
    with pytest.raises(UsageError, match="--until 2026-01-01 is before --since 2026-01-02"):
        parse_time_range("2026-01-02", "2026-01-01", NOW)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("2h", "+2h"),
        ("-2h", "2h"),
        ("now", "now"),
        ("2026-12-23", "2026-12-23"),
        ("2026-03-28T02:00:00+02:00", "2026-03-28T02:00:00+02:00"),
    ],
)
def test_an_old_option_keeps_its_meaning_and_prints_the_new_spelling(
    old: str, new: str, capsys: pytest.CaptureFixture[str]
):
    assert replace_old_option(Session(), "--since", None, "--from", old) == new
    printed = capsys.readouterr()
    assert printed.err == f"warning: --from is now --since; write --since {new}\n"
    assert printed.out == ""


def test_without_an_old_option_there_is_no_warning(capsys: pytest.CaptureFixture[str]):
    assert replace_old_option(Session(), "--since", "2h", "--from", None) == "2h"
    assert replace_old_option(Session(), "--since", None, "--from", None) is None
    assert capsys.readouterr().err == ""


def test_an_old_and_a_new_option_together_are_a_usage_error():
    with pytest.raises(UsageError, match="--from is the old name of --since"):
        replace_old_option(Session(), "--since", "2h", "--from", "-2h")


def test_a_bad_value_of_an_old_option_is_an_error_without_a_warning(
    capsys: pytest.CaptureFixture[str],
):
    with pytest.raises(UsageError, match="not a point in time: 'soon'"):
        replace_old_option(Session(), "--since", None, "--from", "soon")
    assert capsys.readouterr().err == ""
