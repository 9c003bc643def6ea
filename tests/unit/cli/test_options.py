"""Points in time as `next` and `backfill` take them."""

from datetime import UTC, datetime, timedelta

import pytest

from activityctl.cli.options import parse_time
from activityctl.errors import UsageError

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("now", NOW),
        ("2h", NOW + timedelta(hours=2)),
        ("1h30m", NOW + timedelta(minutes=90)),
        ("-1d", NOW - timedelta(days=1)),
        ("2026-03-28T00:00:00Z", datetime(2026, 3, 28, tzinfo=UTC)),
        ("2026-03-28T00:00:00.000Z", datetime(2026, 3, 28, tzinfo=UTC)),
        ("2026-03-28T02:00:00+02:00", datetime(2026, 3, 28, tzinfo=UTC)),
    ],
)
def test_a_point_is_now_a_span_from_it_or_a_time(text: str, expected: datetime):
    assert parse_time(text, NOW) == expected


@pytest.mark.parametrize(
    "text", ["", "-", "--1d", "tomorrow", "2026-03-28", "2026-03-28T00:00:00", "99999999999d"]
)
def test_what_names_no_point_is_refused_with_the_way_to_write_it(text: str):
    with pytest.raises(UsageError) as refused:
        parse_time(text, NOW)
    assert "2026-12-31T18:00:00Z" in str(refused.value.hint)
