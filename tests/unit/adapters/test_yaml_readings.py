"""What our loader makes of YAML that PyYAML, YAML 1.2 and a reader may read differently."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activityctl.adapters.manifests.strict_yaml import parse_documents
from activityctl.errors import Problem


def read(text: str) -> tuple[list[Any], list[Problem]]:
    documents, problems = parse_documents(text.encode("utf-8", "surrogatepass"), "f.yaml")
    return [document.value for document in documents], problems


@pytest.mark.parametrize(
    ("text", "place", "reason"),
    [
        ("{?x: y}", "1:3 x", "a text that begins with ? must be quoted within brackets"),
        ('{?"x": y}', "1:3 x", "a text that begins with ? must be quoted within brackets"),
        ("[?x]", "1:3 [0].x", "a text that begins with ? must be quoted within brackets"),
        ("[a, ?x]", "1:6 [1].x", "a text that begins with ? must be quoted within brackets"),
        ("[?]", '1:3 [0][""]', "a text that begins with ? must be quoted within brackets"),
        ("{a: ?x}", "1:5 ", 'quote this value: the character "?" cannot start a value here'),
        ("[:x]", "1:2 ", 'quote this value: the character ":" cannot start a value here'),
        ("[- a]", "1:2 ", 'quote this value: the character "-" cannot start a value here'),
        ("{a:1}", '1:2 ["a:1"]', "a key needs a space after its colon"),
        ("{a: 1, b:c}", '1:8 ["b:c"]', "a key needs a space after its colon"),
        ("{a}", "1:2 a", "a key without a value; write `key: value`, or quote the whole text"),
        ("{a # b: 1\n}", "1:2 a", "a key without a value; write `key: value`, or quote"),
        ("[? x]", "1:4 [0].x", "a key without a value; write `key: value`, or quote"),
        ("a: \u00a0b", "1:4 a", "the text begins or ends with the invisible character U+00A0"),
        ("a: b\u200b", "1:4 a", "the text begins or ends with the invisible character U+200B"),
        ("a\u00a0: b", '1:1 ["a\u00a0"]', "the text begins or ends with the invisible character"),
        ("a: 0o7", "1:4 a", "0o7 can be read as an octal number"),
        ("a: 1_000", "1:4 a", "1_000 can be read as a number with underscores"),
        ("a: 12:30", "1:4 a", "12:30 can be read as a base-60 number"),
        ("a: !!str 7", "1:4 a", "tags are not allowed"),
        ("a: !!binary aGk=", "1:4 a", "tags are not allowed"),
        ("<<: {a: 1}", '1:1 ["<<"]', "merge keys (<<) are not allowed"),
        ("~: 1", '1:1 ["~"]', 'a key must be a string; write "~"'),
        ("a: x\u0085b: y", "1:5 ", "the character U+0085 is not allowed"),
        ("a: x\u2028b: y", "1:5 ", "the character U+2028 is not allowed"),
        ("a: 'x\u2029y'", "1:6 ", "the character U+2029 is not allowed"),
        ("a: 1\n---\n\ufeffb: 1", "3:1 ", "the character U+FEFF is not allowed"),
        ("a:\n\t- b", "2:1 ", "tabs are not allowed for indentation"),
        ("a: b\n\tc", "2:1 ", "tabs are not allowed for indentation"),
        ("- a\n-\tb: 1\n", "2:2 ", "tabs are not allowed for indentation"),
        ("a: |\n\tx", "2:1 ", "tabs are not allowed for indentation"),
        ("a: b\n c: d", "2:3 ", "not valid YAML: mapping values are not allowed"),
        (
            'a: "x\n--- y"',
            "2:1 ",
            "not valid YAML: while scanning a quoted scalar, found unexpected",
        ),
        ("a: 1\n... x", "2:5 ", "not valid YAML: did not find expected <document start>"),
    ],
)
def test_what_a_reader_would_not_expect_is_refused(text: str, place: str, reason: str) -> None:
    problems = read(text)[1]
    assert [f"{problem.line}:{problem.column} {problem.path}" for problem in problems] == [place]
    assert problems[0].reason.startswith(reason)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("- ?x\n- ?y: 1", ["?x", {"?y": 1}]),
        ("{ok?: a?b, c: d ?e}", {"ok?": "a?b", "c": "d ?e"}),
        ("{ # what?\n x: 1}", {"x": 1}),
        ("{? x: y}", {"x": "y"}),
        ("? x\n: y", {"x": "y"}),
        ('{"a":b, c: }', {"a": "b", "c": None}),
        ("{a : 1}", {"a": 1}),
        ("a: b:c", {"a": "b:c"}),
        ("a: b\n  c", {"a": "b c"}),
        ("a:\tb\t# c", {"a": "b"}),
        ("a: b#c", {"a": "b#c"}),
        ("a: 'x\n\n  y'", {"a": "x\ny"}),
        ("a: >-\n  x\n  y\n", {"a": "x y"}),
        ("a: |+\n  x\n\n", {"a": "x\n\n"}),
        ("a: ~\nb:\nc: null", {"a": None, "b": None, "c": None}),
        ("- \n-", [None, None]),
        ("a: 2024-01-01", {"a": "2024-01-01"}),
        ("=: =", {"=": "="}),
        ("a: <<", {"a": "<<"}),
        ("a: y", {"a": "y"}),
        ("a: nan", {"a": "nan"}),
        ("a: 1\r\nb: 2\r\n", {"a": 1, "b": 2}),
        ("a: b\u00a0c", {"a": "b\u00a0c"}),
        ("a: '\u00a0b'", {"a": "\u00a0b"}),
        ("\ufeffa: 1", {"a": 1}),
        ("%YAML 1.2\n---\na: 1\n...", {"a": 1}),
    ],
)
def test_what_is_read(text: str, value: Any) -> None:
    assert read(text) == ([value], [])


def test_document_marks_separate_documents() -> None:
    assert read("---\na: 1\n...\n---\nb: |\n  x\n---\nc: 3\n---\n")[0] == [
        {"a": 1},
        {"b": "x\n"},
        {"c": 3},
    ]


KEYS = st.text(max_size=80)
"""With escapes, a key has at most twelve times as many characters; YAML allows 1,024."""


@given(st.recursive(st.text(), lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner)))
def test_json_with_escapes_as_python_writes_it_is_read(value: Any) -> None:
    text = json.dumps(value)
    documents, problems = read(text)
    assert documents == [value] or "\\u0000" in text, problems


PAIR = r"\ud83d\ude00"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (f'a: "{PAIR}"', "😀"),
        (r'a: "\uD83D\uDE00"', "😀"),
        (rf'a: "\\{PAIR}"', "\\😀"),
        (f"a: '{PAIR}'", PAIR),
        (f"a: {PAIR}", PAIR),
        (f"a: |-\n  printf '{PAIR}'", f"printf '{PAIR}'"),
        (f'a: "{PAIR}\\ue03d\\ue600"', "😀\ue03d\ue600"),
        (f'a: "{PAIR}\ue03d\ue600"', "😀\ue03d\ue600"),
    ],
)
def test_an_escaped_surrogate_pair_is_one_character_only_in_double_quotes(
    text: str, value: str
) -> None:
    assert read(text) == ([{"a": value}], [])


@pytest.mark.parametrize(
    "text", [r'"\ud83d"', r'"\ude00\ud83d"', r'"\\ud83d\ude00"', r'"\ud83d\ud83d\ude00"']
)
def test_half_a_surrogate_pair_is_refused(text: str) -> None:
    (problem,) = read(text)[1]
    assert problem.reason == "this escape is not a Unicode character; write the character itself"


def test_a_surrogate_pair_leaves_the_columns_of_its_line_as_they_are() -> None:
    (problem,) = read(f'{{"a": "{PAIR}", "b": yes}}')[1]
    assert (problem.line, problem.column) == (1, 28)
