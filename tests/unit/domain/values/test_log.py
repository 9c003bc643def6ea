"""Which entries of a log are wanted."""

import pytest

from activityctl.domain.values.log import LogFilter
from activityctl.errors import UsageError


@pytest.mark.parametrize("pattern", [r"(a)\1", r"^(.+)(.+)\2x\1$", r"\\\1", r"[\1]"])
def test_a_pattern_that_could_take_for_ever_is_refused(pattern: str):
    with pytest.raises(UsageError, match="back reference"):
        LogFilter((), text=pattern)


@pytest.mark.parametrize("pattern", ["timed? ?out", r"\\1", r"\d1", "1", r"a\.1", r"\(1\)"])
def test_other_patterns_are_taken(pattern: str):
    assert LogFilter((), text=pattern).of(("s",)).text == pattern
