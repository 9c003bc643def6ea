"""Counts in words."""

import pytest

from activityctl.domain.values.wording import counted


@pytest.mark.parametrize(
    ("count", "told"), [(0, "0 runs have"), (1, "1 run has"), (21_000, "21,000 runs have")]
)
def test_one_is_singular_and_all_else_plural(count, told):
    assert counted(count, "run has", "runs have") == told


def test_the_usual_plural_takes_an_s():
    assert [counted(count, "event") for count in (1, 2)] == ["1 event", "2 events"]
