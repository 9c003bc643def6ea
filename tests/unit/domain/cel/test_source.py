import pytest

from activityctl.domain.cel.expression import evaluate
from activityctl.domain.cel.source import literal, path_source

VALUES = [
    *("\"'\\", "\n\t\r\b\f\x01\x7f", "é\U0001f600", "${x}", "//", "`"),
    *(0, -1, 2**63 - 1, -(2**63), 2**63, 2**64 - 1, 1e300, 1e16, 0.1, 5.0, True, False, None),
    *([1, "a", [None]], {"k": {"l-m": [2**63]}, "": 1}, [], {}),
]


@pytest.mark.parametrize("value", VALUES)
def test_a_literal_is_worth_its_value(value):
    found = evaluate(f"dyn({literal(value)})", {})
    assert found == value
    assert type(found) is type(value)


def test_a_literal_is_as_short_as_what_it_says():
    assert literal("é\U0001f600") == '"é\U0001f600"'


@pytest.mark.parametrize("name", ["a", "_b", "in", "true", "c-d", "0", "x9"])
def test_a_place_is_read_by_its_text(name):
    event = {"data": {name: "here"}}
    assert evaluate(path_source(("event", "data", name)), {"event": event}) == "here"
