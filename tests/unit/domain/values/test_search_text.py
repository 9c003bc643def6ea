"""The text that every match of a regular expression has, where it is easily found."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activityctl.domain.values.search_text import required_text


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("connection refused", "connection refused"),
        ("timed? ?out", "time"),
        ("^task note: .* after 12 ms$", " after 12 ms"),
        ("item [0-9]*7 ", "item "),
        ("a|b", ""),
        ("(?i)error", ""),
        (r"error \d+", "error "),
        ("x{0}yes", ""),
        ("***=a.b", ""),
        ("no*", "n"),
        ("", ""),
    ],
)
def test_the_longest_text_before_anything_special_is_found(pattern: str, text: str):
    assert required_text(pattern) == text


@pytest.mark.filterwarnings("ignore:Possible nested set:FutureWarning")
@given(st.text("ab ?*+.^$[](){}|\\01"), st.text("ab 01", max_size=12))
def test_what_matches_has_the_text(pattern: str, message: str):
    try:
        found = re.search(pattern, message)
    except re.error:
        return
    assert found is None or required_text(pattern) in message
