import pytest

from activityctl.domain.cel.expression import evaluate
from activityctl.domain.cel.source import literal, path_source

VALUES = [
    *("\"'\\", "\n\t\r\b\f\x01\x7f", "é\U0001f600", "${x}", "//", "`"),
    *(0, -1, 2**63 - 1, -(2**63), 2**63, 2**64 - 1, 1e300, 1e16, 0.1, 5.0, True, False, None),
    *([1, "a", [None]], {"k": {"l-m": [2**63]}, "": 1}, [], {}),
]


@pytest.mark.parametrize("value", VALUES)
def test_a_literal_evaluates_to_its_value(value):
    result = evaluate(f"dyn({literal(value)})", {})
    assert result == value
    assert type(result) is type(value)


def test_a_literal_keeps_non_ascii_characters():
    assert literal("é\U0001f600") == '"é\U0001f600"'


@pytest.mark.parametrize("name", ["a", "_b", "in", "true", "c-d", "0", "x9"])
def test_a_path_source_reads_the_value_at_the_path(name):
    event = {"data": {name: "here"}}
    assert evaluate(path_source(("event", "data", name)), {"event": event}) == "here"
