import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activityctl.domain.cel.expression import (
    NAMES,
    TemplateProblem,
    check_template,
    has_expression,
    render,
)
from activityctl.errors import ExpressionBudgetError, ExpressionError

SCOPE = {
    "event": {"id": 7, "rate": 0.5, "name": "Zoë", "none": None, "yes": True, "list": [1, "é"]},
    "now": datetime(2026, 5, 1, tzinfo=UTC),
}
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("ab$", max_size=3), inner),
    max_leaves=10,
)


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("${ event.id }", 7),
        ("${event.list}", [1, "é"]),
        ("${ event.none }", None),
        ("${ {'a': {'b': 1}} }", {"a": {"b": 1}}),
        (" ${ event.id }", " 7"),
        ("${ event.id }\n", "7\n"),
        ("${ event.id }${ event.id }", "77"),
        ("order ${ event.id } of ${ event.name }", "order 7 of Zoë"),
        ("<${ event.none }|${ event.yes }|${ event.rate }>", "<|true|0.5>"),
        ("x=${ event.list }", 'x=[1,"é"]'),
        ("x=${ {'b': 1, 'a': null} }", 'x={"a":null,"b":1}'),
        ("at ${ now }", "at 2026-05-01T00:00:00Z"),
        ("$${ event.id }", "${ event.id }"),
        ("cost $${x} ${ event.id } $5", "cost ${x} 7 $5"),
        ("$$${ event.id }", "$${ event.id }"),
        ("a } b { c $", "a } b { c $"),
        ("""${ '}' }${ "}" }""", "}}"),
        ("""${ '''}'}''' }${ r'\\d}' }|""", r"}'}\d}|"),
        (r"${ 'it\'s }' }!", "it's }!"),
        ("${ event.id // not the end }\n }", 7),
        ("${ {'a': '}'}['a'] }", "}"),
        ({"${ k }": ["${ event.id }", {"b": "n${ 1 }"}]}, {"${ k }": [7, {"b": "n1"}]}),
        (("${ event.id }", None, True), [7, None, True]),
        ({"$${ k }": "$${ v }"}, {"${ k }": "${ v }"}),
    ],
)
def test_a_template_is_rendered(template: Any, value: Any):
    result = render(template, SCOPE)
    assert result == value
    assert type(result) is type(value)


@given(JSON)
def test_a_template_without_expressions_is_not_changed(value: Any):
    if "${" not in json.dumps(value):
        assert render(value, {}) == value
        assert check_template(value) == []


@given(JSON)
def test_a_string_of_one_expression_becomes_its_value(value: Any):
    assert render({"x": "${ event }"}, {"event": value}) == {"x": value}


@given(st.text(st.sampled_from("$${}'\"\\a\n")))
def test_escaped_text_is_rendered_as_the_text(text: str):
    assert render(text.replace("${", "$${"), {}) == text
    assert not has_expression(text.replace("${", "$${"))


@given(
    st.text(st.characters(exclude_characters="\0\r\n'\\", exclude_categories=["Cs"]), max_size=50)
)
def test_a_cel_string_does_not_end_an_expression(text: str):
    assert render(f"<${{ '{text}' }}>", {}) == f"<{text}>"
    assert render(f"${{ {{'k': r'{text}'}} }}", {}) == {"k": text}


def test_problems_have_path_and_offset_in_their_strings():
    template = {
        "a": ["fine ${ event.id }", "x ${ evnt } ${ event.b ", "${ item }"],
        "b": {"c": "${ 1 + }", "d": 5, "e": "$${ evnt }"},
    }
    names = [name for name in NAMES if name != "item"]
    unclosed = "`${` is not closed; write `$${` for a literal `${`"
    assert check_template(template, names) == [
        TemplateProblem(("a", 1), 5, "unknown name `evnt`; did you mean `event`?"),
        TemplateProblem(("a", 1), 12, unclosed),
        TemplateProblem(("a", 2), 3, "`item` is not available here"),
        TemplateProblem(("b", "c"), 7, "the expression ends too early"),
    ]


@pytest.mark.parametrize(
    "text", ["${", "a ${ b", "${ {'a': 1 }", "${ '}", "${" + " " * 5000 + "1 }"]
)
def test_an_unclosed_expression_is_found_by_check_and_render(text: str):
    assert has_expression(text)
    assert len(check_template(text)) == 1
    with pytest.raises(ExpressionError):
        render(text, SCOPE)


@given(st.text(st.sampled_from("${}'\"r\\/\n1 `"), max_size=60))
def test_a_template_without_problems_fails_only_with_an_expression_error(text: str):
    problems = check_template(text)
    assert all(0 <= problem.offset <= len(text) for problem in problems)
    try:
        render(text, SCOPE)
    except ExpressionError:
        return
    assert problems == []


def test_an_error_in_a_template_has_its_expression():
    with pytest.raises(ExpressionError, match=r"^no such key: 'nmae', in event\.nmae$"):
        render({"a": ["hello ${ event.nmae }"]}, SCOPE)


def test_a_rendered_text_has_a_limit():
    template = "${ event.t }" * 20
    with pytest.raises(ExpressionBudgetError, match="rendered text"):
        render(template, {"event": {"t": "a" * 1_000_000}})


@pytest.mark.parametrize(
    ("text", "found"), [("", False), ("$ {", False), ("$${", False), ("$${ ${ 1 }", True)]
)
def test_expressions_are_recognised(text: str, found: object):
    assert has_expression(text) is found


def test_an_expression_in_a_key_is_refused():
    found = check_template({"a": [{"x-${ event }": "${ event }"}], "$${ b }": 1})
    (problem,) = found
    assert (problem.path, problem.offset, problem.at_key) == (("a", 0, "x-${ event }"), 2, True)
    assert problem.reason.startswith("a key cannot contain ${ … }; build the whole map")
