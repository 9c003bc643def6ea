"""The text of a key: one value has one text, whatever form its numbers have."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activityctl.domain.cel.expression import render_key
from activityctl.domain.values.group_key import LONGEST_KEY, group_key


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ((7, 7.0, "7"), "7"),
        ((0, 0.0, -0.0, "0"), "0"),
        ((-3, -3.0), "-3"),
        ((0.5, "0.5"), "0.5"),
        ((2**60, float(2**60)), "1152921504606846976"),
        ((10**19, 1e19), "1" + "0" * 19),
        ((1e25, "1" + "0" * 25), "1" + "0" * 25),
        ((True, "true"), "true"),
        ((None, "null"), "null"),
        (("",), ""),
        (([7, "7"], [7.0, "7"]), '[7,"7"]'),
        (({"b": 1, "a": [2.0]}, {"a": [2], "b": 1.0}), '{"a":[2],"b":1}'),
    ],
)
def test_equal_values_have_one_key(values: tuple[Any, ...], key: str):
    for value in values:
        assert group_key(value) == key
        assert render_key("${ event.v }", {"event": {"v": value}}) == key
        embedded = "" if value is None else key
        assert render_key("a-${ event.v }/b", {"event": {"v": value}}) == f"a-{embedded}/b"


@given(st.recursive(st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3)))
def test_the_key_of_a_value_without_fractions_is_as_before(value: Any):
    text = (
        value
        if isinstance(value, str)
        else json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    )
    key = group_key(value)
    assert len(key) <= LONGEST_KEY
    if len(text) <= LONGEST_KEY and "\0" not in text:
        assert key == text
