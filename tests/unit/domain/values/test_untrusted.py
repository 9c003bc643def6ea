import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activityctl.domain.values.untrusted import parse_storable_json, printable, storable


@pytest.mark.parametrize(
    "text",
    [
        "NaN",
        "[Infinity]",
        "-Infinity",
        "1e999",
        '"\\u0000"',
        '{"\\u0000": 1}',
        '"\\ud800"',
        '"\ud800"',
        "[" * 65 + "]" * 65,
        "[" * 100_000,
        '{"a":' * 100_000,
        "",
        "{",
        "\ufeff1",
    ],
)
def test_json_that_cannot_be_stored_is_refused(text: str):
    with pytest.raises(ValueError, match=r".+"):
        parse_storable_json(text)


def test_64_levels_of_nesting_are_accepted():
    assert parse_storable_json("[" * 64 + "]" * 64) is not None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("18446744073709551615", 2**64 - 1),
        ("18446744073709551616", "18446744073709551616"),
        ("-9223372036854775808", -(2**63)),
        ("-9223372036854775809", "-9223372036854775809"),
        ("1" * 100_000, "1" * 100_000),
    ],
)
def test_integers_that_do_not_fit_become_strings_of_digits(text: str, value: Any):
    assert parse_storable_json(text) == value


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**63), 2**64 - 1)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.text("abc", max_size=3), inner, max_size=3)
        ),
        max_leaves=10,
    )
)
def test_storable_values_are_returned_unchanged(value: Any):
    assert parse_storable_json(json.dumps(value)) == value


@given(st.text())
def test_storable_text_has_no_nul_and_keeps_its_length(text: str):
    kept = storable(text)
    assert len(kept) == len(text)
    assert b"\0" not in kept.encode()


def test_printable_text_keeps_only_line_ends_and_tabs():
    assert printable("a\tb\r\nc\0\x1b[1m\x7f\x9b") == "a\tb\r\nc\ufffd\ufffd[1m\ufffd\ufffd"
