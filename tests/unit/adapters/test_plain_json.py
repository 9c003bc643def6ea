"""Plain JSON: whatever is taken for it is what the strict reader would have read."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from activityctl.adapters.manifests.plain_json import canonical_if_plain, plain_value
from activityctl.adapters.manifests.strict_json import parse_json
from activityctl.domain.values.ids import canonical_json

KEYS = ['"a"', '"b"', '"ü"', r'"\u0061"', r'"\u00fc"', r'"\\u0061"', r'"\""']
SCALARS = [
    *("1", "-0", "1.50", "1e3", "1e16", "1e999", "NaN", "-Infinity", "null", "true"),
    *("9223372036854775808", "18446744073709551616", "-9223372036854775809", "9" * 4_001),
    *(*KEYS, r'"\ud83d\ude00"', r'"\ud83d"', r'"\u0000"', r'"\n"', '"{[:,"'),
]
TEXTS = st.recursive(
    st.sampled_from(SCALARS),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: f"[{','.join(items)}]")
        | st.lists(st.tuples(st.sampled_from(KEYS), inner), max_size=4).map(
            lambda pairs: "{" + " ,".join(f"{key}: {value}" for key, value in pairs) + "}"
        )
    ),
    max_leaves=8,
)


def plain(text: str) -> tuple[Any, str] | None:
    try:
        value, end = plain_value(text, 0)
    except (ValueError, RecursionError):
        return None
    canonical = canonical_if_plain(text, value) if end == len(text) else None
    return None if canonical is None else (value, canonical)


@given(TEXTS)
@example('{"a": 1, "a": 18446744073709551616}')
@example(r'{"a": "x", "a": "\""}')
@example(r'{"a": 1, "\u0061": "\u0022"}')
@example(r'{"a": "\\u", "a": 1}')
@example("[" * 65 + "]" * 65)
def test_a_plain_text_is_one_that_the_strict_reader_takes_with_the_same_value(text: str) -> None:
    found = plain(text)
    if found is not None:
        value = parse_json(text, wide_integers_as_text=True)
        assert json.dumps(found[0]) == json.dumps(value)
        assert found[1] == canonical_json(value)


@pytest.mark.parametrize(
    "text",
    [
        '{"id": "a", "data": {"amount": 1.50, "large": 18446744073709551615, "list": [{}, []]}}',
        '{"b": "ü", "a": null, "c": "{[,:]}", "d": -9223372036854775808, "e": "\\u00fc"}',
        '{"a": {"b": 1}, "c": {"b": 2}}',
    ],
)
def test_the_texts_of_common_events_are_plain(text: str) -> None:
    assert plain(text) == (json.loads(text), canonical_json(json.loads(text)))
