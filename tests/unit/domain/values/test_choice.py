"""What a command may be told to act on: names, or filters, and never nothing."""

from datetime import UTC, datetime

import pytest

from activityctl.domain.values.choice import Choice
from activityctl.errors import UsageError


@pytest.mark.parametrize(
    "choice",
    [
        Choice(("a", "b")),
        Choice(has_all=True),
        Choice(labels={"team": "db"}),
        Choice(statuses=("paused",), has_all=True),
        Choice(subscription="a"),
        Choice(since=datetime(2026, 1, 1, tzinfo=UTC)),
    ],
)
def test_names_or_filters_are_enough(choice: Choice):
    choice.check("run")
    assert choice.is_by_name == bool(choice.names)


@pytest.mark.parametrize(
    ("choice", "reason"),
    [
        (Choice(), "no run is named"),
        (Choice(limit=3), "no run is named"),
        (Choice(("a",), has_all=True), "cannot be combined"),
        (Choice(("a",), labels={"team": "db"}), "cannot be combined"),
        (Choice(("a",), statuses=("failed",)), "cannot be combined"),
    ],
)
def test_nothing_is_chosen_by_mistake(choice: Choice, reason: str):
    with pytest.raises(UsageError, match=reason):
        choice.check("run")
