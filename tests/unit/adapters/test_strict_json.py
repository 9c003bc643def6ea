"""Strict JSON: what is accepted, and what is refused with its position."""

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activityctl.adapters.manifests.strict_json import InvalidJsonError, parse_json, parse_named
from activityctl.errors import InvalidInputError

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_characters="\0", codec="utf-8")),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["a", "ü", "\n", ""]), inner),
    max_leaves=20,
)


@given(VALUES, st.booleans())
def test_storable_json_comes_back_as_it_was(value: Any, ascii_only: bool) -> None:  # noqa: FBT001 - drawn by hypothesis
    assert parse_json(json.dumps(value, ensure_ascii=ascii_only)) == value


@given(st.binary() | st.text('[]{}",:\\u0d8c1eE-.\n\0'))
def test_any_input_is_accepted_or_refused(text: bytes | str) -> None:
    try:
        value = parse_json(text)
    except InvalidInputError:
        return
    assert parse_json(json.dumps(value, allow_nan=False)) == value


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("NaN", "1:1: NaN is not JSON"),
        ('{"a": -Infinity}', "1:7: -Infinity is not JSON"),
        ('["NaN", {"NaN": "Infinity"},\n NaNa]', "2:2: NaN is not JSON"),
        ("[1e999]", "1:2: the number 1e999 is too large"),
        ("[1, -1e999x", "1:5: the number -1e999 is too large"),
        ('{"a": 1, "b": {"c": 1, "c": 2}}', '1:24: duplicate key "c"'),
        ('{"a": {"b": "a", "c": ["b", "c"]},\n "\\u0061": 2}', '2:2: duplicate key "a"'),
        ('{"a": 1,\n "b": "x\\u0000"}', "2:9: the character NUL"),
        ('{"\\u0000": 1}', "1:3: the character NUL"),
        ('"a\0"', "1:3: not valid JSON: Invalid control character"),
        ('["\\ud83d"]', "1:3: a lone surrogate"),
        ('["\\ude00\\ud83d"]', "1:3: a lone surrogate"),
        ('["\\ud83d\\ud83d\\ude00"]', "1:3: a lone surrogate"),
        ('"\ud800"', "1:2: not valid UTF-8"),
        (b'{"a":\n "\xff"}', "2:3: not valid UTF-8"),
        (b"\xff\xfe1\x00", "1:1: not valid UTF-8"),
        ("[1] x", "1:5: not valid JSON: Extra data"),
        ("", "1:1: not valid JSON: Expecting value"),
        ('{\n"a" 1}', "2:5: not valid JSON: Expecting ':'"),
        ("1" * 4001, "1:1: an integer with more than 4,000 digits"),
        ('{"a": ' * 65 + "1" + "}" * 65, "1:385: nested deeper than 64 levels"),
        (" " * (1024 * 1024) + "1", "larger than 1,048,576 bytes"),
        ('"' + "é" * (512 * 1024) + '"', "larger than 1,048,576 bytes"),
    ],
)
def test_invalid_json_is_refused_with_reason_and_position(text: bytes | str, reason: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_json(text)
    assert reason in caught.value.message
    assert caught.value.exit_code == 3


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('"\\ud83d\\ude00 \\\\ud800 \\\\u0000"', "\U0001f600 \\ud800 \\u0000"),
        ("[" * 64 + "]" * 64, json.loads("[" * 64 + "]" * 64)),
        ('"' + "[" * 100 + '\\"[[["', "[" * 100 + '"[[['),
        ("-" + "9" * 4000, -int("9" * 4000)),
        ("\ufeff{}", {}),
        (b'{"a": [1.5, true, null]}', {"a": [1.5, True, None]}),
    ],
)
def test_valid_json_is_accepted(text: bytes | str, value: Any) -> None:
    assert parse_json(text) == value


@pytest.mark.parametrize("text", ["[" * 1_000_000, '{"a":' * 200_000, '["' + "\\" * 1_000_000])
def test_hostile_nesting_is_refused_at_once(text: str) -> None:
    started = time.process_time()
    with pytest.raises(InvalidInputError):
        parse_json(text)
    assert time.process_time() - started < 20


@given(
    st.lists(
        st.sampled_from([*'{}[],:"', '"a"', "NaN", "-Infinity", "1e999", "9" * 4001]), max_size=8
    )
)
def test_an_error_has_a_position_within_the_text(parts: list[str]) -> None:
    text = "".join(parts)
    with pytest.raises(InvalidJsonError) as caught:
        parse_json(f"[{text}, NaN")
    assert caught.value.line == 1
    assert 1 < caught.value.column <= len(text) + 7
    assert caught.value.message == f"1:{caught.value.column}: {caught.value.reason}"


@pytest.mark.parametrize(
    ("text", "value", "as_text"),
    [
        ("18446744073709551615", 2**64 - 1, 2**64 - 1),
        ("18446744073709551616", 2**64, "18446744073709551616"),
        ("-9223372036854775808", -(2**63), -(2**63)),
        ("-9223372036854775809", -(2**63) - 1, "-9223372036854775809"),
        ("9" * 4000, int("9" * 4000), "9" * 4000),
        ("-1", -1, -1),
    ],
)
def test_wide_integers_become_text_on_request(text: str, value: int, as_text: Any) -> None:
    assert parse_json(text) == value
    assert parse_json(text, wide_integers_as_text=True) == as_text


def test_a_caller_can_set_lower_limits() -> None:
    with pytest.raises(InvalidInputError, match="larger than 3 bytes"):
        parse_json("1234", max_bytes=3)
    with pytest.raises(InvalidInputError, match="deeper than 1 "):
        parse_json("[[]]", max_depth=1)


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("{", "--data:1:2: not valid JSON: ", None),
        ("hello", "--data:1:1: not valid JSON: ", "write 1"),
        ("", "--data:1:1: not valid JSON: ", "write 1"),
        ("a\udcff", "--data:1:2: not valid UTF-8", "write the JSON in UTF-8"),
        (b'"a\xff"', "--data:1:3: not valid UTF-8", "write the JSON in UTF-8"),
        ('{"a": NaN}', "--data:1:7: NaN is not JSON", None),
        ('"' + "x" * 1024 * 1024, "--data: larger than 1,048,576 bytes", None),
    ],
)
def test_an_error_names_its_text_and_the_hint_fits(
    text: bytes | str, message: str, hint: str | None
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_named(text, "--data", example="write 1")
    assert caught.value.message.startswith(message)
    assert caught.value.hint == hint
