"""Wording of counts."""

import pytest

from activityctl.domain.values.plurals import count_noun


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 runs have"), (1, "1 run has"), (21_000, "21,000 runs have")]
)
def test_only_a_count_of_one_is_singular(count, text):
    assert count_noun(count, "run has", "runs have") == text


def test_the_usual_plural_takes_an_s():
    assert [count_noun(count, "event") for count in (1, 2)] == ["1 event", "2 events"]
