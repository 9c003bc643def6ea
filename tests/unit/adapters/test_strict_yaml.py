"""Strict YAML: what is accepted, what is refused, and the positions of both."""

import itertools
import json
import re
import time
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from activityctl.adapters.manifests import strict_yaml
from activityctl.adapters.manifests.strict_yaml import YamlDocument, parse_documents, path_text
from support.examples import examples

MANIFEST = """\
apiVersion: activityctl/v1
kind: ActivityDefinition
metadata: {name: order-review, labels: {team.io/name: payments}}
spec:
  tasks:
    - name: score
      when: context.ü.active
      url: "https://x/${ a }"
      note: 'it''s'
      text: |
        two
        lines
      none:
"""


def parse(text: str) -> tuple[list[Any], list[str]]:
    documents, problems = parse_documents(text.encode(), "f.yaml")
    sound = [document.value for document in documents if not document.refused]
    return sound, [str(problem) for problem in problems]


def document_of(text: str) -> YamlDocument:
    documents, problems = parse_documents(text.encode(), "f.yaml")
    assert not problems
    return documents[0]


def values(*, infinite: bool = True) -> st.SearchStrategy[Any]:
    texts = st.text(st.characters(codec="utf-8")) | st.sampled_from(
        ["yes", "null", "Null", "1:30", "017", "<<", "=", "1e3", ".5", "2026-11-21", "a: b", "- a"]
    )
    floats = st.floats(allow_nan=infinite, allow_infinity=infinite)
    scalars = st.none() | st.booleans() | st.integers() | floats | texts
    return st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
        max_leaves=15,
    )


LISTED_REASONS = re.compile(
    r"NUL|surrogate|ambiguous|can be read as|too large for a float|anchors|aliases|duplicate key"
    r"|a key must be a string"
)


def exponents_are_numbers(value: Any) -> Any:
    """Return the value as we read it: `1e3` is a number, as in JSON; PyYAML reads a text."""
    if isinstance(value, str) and re.fullmatch(r"-?(0|[1-9]\d*)(\.\d+)?[eE][-+]?\d+", value):
        plain = yaml.safe_dump(value).splitlines()[0] == value
        return float(value) if plain else value
    if isinstance(value, list):
        return [exponents_are_numbers(item) for item in value]
    if isinstance(value, dict):
        return {key: exponents_are_numbers(item) for key, item in value.items()}
    return value


@given(values())
def test_a_dumped_value_comes_back_or_is_refused_for_a_listed_reason(value: Any) -> None:
    documents, problems = parse_documents(yaml.safe_dump(value).encode(), "f.yaml")
    if problems:
        assert all(LISTED_REASONS.search(problem.reason) for problem in problems)
    else:
        assert documents[0].value == exponents_are_numbers(value)


@given(values(infinite=False))
def test_a_dumped_json_value_comes_back_or_is_refused(value: Any) -> None:
    text = json.dumps(value, indent=2, ensure_ascii=False)
    documents, problems = parse_documents(text.encode(), "f.json")
    assert problems or documents[0].value == value


HOSTILE = st.binary() | st.text("[]{}&*!|>%@`\"'#,?:-~<=\\u\n\t aey01.x\0é\u2028").map(str.encode)


@given(HOSTILE)
@settings(max_examples=examples(300))
def test_any_bytes_give_documents_or_problems(text: bytes) -> None:
    documents, problems = parse_documents(text, "f.yaml")
    for document in documents:
        json.dumps(document.value, allow_nan=False).encode()
    for problem in problems:
        assert problem.reason
        assert "\n" not in problem.reason


@given(HOSTILE | values().map(lambda value: yaml.safe_dump(value).encode()))
def test_the_pure_python_parser_gives_the_same_values(text: bytes) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(strict_yaml, "LOADER", yaml.SafeLoader)
        documents, problems = parse_documents(text, "f.yaml")
    fast, fast_problems = parse_documents(text, "f.yaml")
    if not problems and not fast_problems:
        assert [document.value for document in documents] == [document.value for document in fast]


@pytest.mark.parametrize("indent", [None, 2, "\t"])
def test_a_json_manifest_is_read(indent: Any) -> None:
    manifest = {
        "kind": "X",
        "spec": {"tasks": [{"http": {"url": 'https://a/?b="c"'}, "n": -1.5e3}]},
    }
    separators = (",", ":") if indent is None else None
    text = json.dumps(manifest, indent=indent, separators=separators)
    assert parse(text) == ([manifest], [])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("[true, false]", [True, False]),
        ("[null, ~]", [None, None]),
        ("a:\n", {"a": None}),
        ("[0, -0, 12, -7]", [0, 0, 12, -7]),
        ("[1.5, -0.25, 1e3, 2.5E-1]", [1.5, -0.25, 1000.0, 0.25]),
        ("[2026-11-21, 5m, 10.0.0.0/8, a_1]", ["2026-11-21", "5m", "10.0.0.0/8", "a_1"]),
        ("{x: 1.2.3, y: n}", {"x": "1.2.3", "y": "n"}),
        ("['yes', \"on\", '1:30', \"<<\"]", ["yes", "on", "1:30", "<<"]),
        ("'yes': 1\n\"017\": 2\n'<<': 3", {"yes": 1, "017": 2, "<<": 3}),
        ("1" * 4000, int("1" * 4000)),
        ("[" * 64 + "]" * 64, json.loads("[" * 64 + "]" * 64)),
        ("\ufeffa: 1", {"a": 1}),
    ],
)
def test_plain_scalars_read_like_json(text: str, value: Any) -> None:
    assert parse(text) == ([value], [])


@pytest.mark.parametrize("word", ["yes", "No", "ON", "off", "True", "TRUE", "False"])
def test_booleans_of_yaml_1_1_are_refused_as_value_and_as_key(word: str) -> None:
    reason = f"{word} is ambiguous; write true or false, or quote it"
    assert parse(f"a: {word}\n{word}: 1\n") == (
        [],
        [f"f.yaml:1:4: a: {reason}", f"f.yaml:2:1: {word}: {reason}"],
    )


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("017", "octal"),
        ("-08", "octal"),
        ("0o17", "octal"),
        ("0x1F", "hexadecimal"),
        ("0b1", "binary"),
        ("1_000", "underscores"),
        ("1_000.5", "underscores"),
        ("12:30:45", "base-60"),
        ("1:30", "base-60"),
        ("02:30", "base-60"),
        (".inf", "infinity"),
        ("-.INF", "infinity"),
        (".NaN", "not-a-number"),
        ("+1", "not valid in JSON"),
        (".5", "not valid in JSON"),
        ("1.", "not valid in JSON"),
    ],
)
def test_numbers_that_json_does_not_have_are_refused(text: str, name: str) -> None:
    (reason,) = parse(f"spec:\n  n: {text}\n")[1]
    assert reason.startswith(f"f.yaml:2:6: spec.n: {text} can be read as ")
    assert name in reason


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: &x 1", "1:4: a: anchors are not allowed"),
        ("a: *x", "1:4: a: aliases are not allowed; write the value again"),
        ("- !!str 1", "1:3: [0]: tags are not allowed"),
        ("- ! x", "1:3: [0]: tags are not allowed"),
        ("!!map {}", "1:1: tags are not allowed"),
        ("%TAG !e! x\n--- {}", "1:1: tags are not allowed"),
        ("<<: {a: 1}", '1:1: ["<<"]: merge keys (<<) are not allowed'),
        ("1: x", '1:1: ["1"]: a key must be a string; write "1"'),
        ("null: x", '1:1: null: a key must be a string; write "null"'),
        ("? [a]\n: 1", '1:3: ["?"]: a key must be a string'),
        ("a: NULL", "1:4: a: NULL is ambiguous; write null, or quote it"),
        ('a: "\\0"', "1:4: a: the character NUL is not allowed"),
        ('"\\0": a', '1:1: ["\\u0000"]: the character NUL is not allowed'),
        ('a: "\\ud800"', "1:7: this escape is not a Unicode character; write the character"),
        ("a: \x00", "1:4: the character U+0000 is not allowed"),
        ("é: \u2028", "1:4: the character U+2028 is not allowed; remove it, or write \\u2028 in"),
        ("a: " + "1" * 4001, "1:4: a: a number with more than 4,000 digits; quote it"),
        ("a: 1e999", "1:4: a: a number too large for a float; quote it"),
        ("[" * 65 + "]" * 65, "1:65: " + "[0]" * 64 + ": nested deeper than 64 levels"),
        ("a:\n\tb: 1", "2:1: tabs are not allowed for indentation; use spaces"),
        ("a: @b", '1:4: quote this value: the character "@" cannot start a value'),
        ("a: `b`", '1:4: quote this value: the character "`" cannot start a value'),
        ("a: b: c", "1:5: quote this value: it contains a colon and a space"),
        ("a: 1\n  b: 2", "2:4: not valid YAML: mapping values are not allowed in this context"),
        ("a: * * * * *", "1:4: quote this value: an unquoted * begins a YAML alias"),
        ("b: 1\na: [x, *]", "2:8: quote this value: an unquoted * begins a YAML alias"),
        ("a: [${ x }]", "1:5: quote this value: ${ … } inside [ ] or { } needs quotes"),
        ("a: {b: ${ x }}", "1:8: quote this value: ${ … } inside [ ] or { } needs quotes"),
        ("a: {{ x }}", '1:5: a["?"]: quote this value: {{ begins a mapping in YAML'),
        ("a: {{ x }} and y", '1:5: a["?"]: quote this value: {{ begins a mapping in YAML'),
        ("a: > 5", "1:4: quote this value: an unquoted > begins a text on the next lines"),
        ("a: 'it's'", "1:8: quote the whole value: text follows the closing '"),
        ('a: "b" c', '1:8: quote the whole value: text follows the closing "'),
    ],
)
def test_yaml_that_is_easily_misread_is_refused_at_its_position(text: str, problem: str) -> None:
    documents, problems = parse(text)
    assert not documents
    assert [shown[: len("f.yaml:" + problem)] for shown in problems] == ["f.yaml:" + problem]


def test_a_duplicate_key_names_the_first() -> None:
    problem = "f.yaml:3:3: a.b: duplicate key, first used at line 2, column 3"
    assert parse("a:\n  b: 1\n  'b': 2\n") == ([], [problem])


def test_all_problems_are_reported_and_valid_documents_are_kept() -> None:
    text = "ok: 1\n---\na: on\nb: [*x, 1_0]\na: &y 0x1\n---\nalso: fine\n"
    found, problems = parse(text)
    assert found == [{"ok": 1}, {"also": "fine"}]
    assert [problem.split(": ")[0] for problem in problems] == [
        "f.yaml:3:4",
        "f.yaml:4:5",
        "f.yaml:4:9",
        "f.yaml:5:1",
        "f.yaml:5:4",
        "f.yaml:5:4",
    ]


def test_after_a_syntax_error_reading_goes_on_with_the_next_document() -> None:
    found, problems = parse("ok: 1\n---\na: on\nb: [1\n---\nread: too\n")
    assert found == [{"ok": 1}, {"read": "too"}]
    assert [problem.split(": ")[0] for problem in problems] == ["f.yaml:3:4", "f.yaml:5:1"]
    assert "not valid YAML: while parsing a flow sequence" in problems[1]


def test_a_problem_after_a_node_that_is_too_deep_is_reported() -> None:
    problems = parse("a: " + "[" * 70 + "]" * 70 + "\nb: on\n")[1]
    assert "nested deeper" in problems[0]
    assert problems[1].startswith("f.yaml:2:4: b: on is ambiguous")


@pytest.mark.parametrize("text", ["", "# only this\n", "---\n---\n# x\n...\n---\n"])
def test_empty_documents_are_skipped(text: str) -> None:
    assert parse(text) == ([], [])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"a: 1\nb: \xc3\xa9\xff", "f.yaml:2:5: not valid UTF-8; save the file as UTF-8"),
        (b"\xff\xfea\x00", "f.yaml:1:1: not valid UTF-8; save the file as UTF-8"),
        (b"#" * (1024 * 1024 + 1), "f.yaml: larger than 1 MiB"),
    ],
)
def test_bytes_that_are_not_yaml_text_are_refused(text: bytes, problem: str) -> None:
    assert [str(found) for found in parse_documents(text, "f.yaml")[1]] == [problem]


def test_each_node_has_its_position() -> None:
    document = document_of("# a comment\n---\n" + MANIFEST)
    task = ("spec", "tasks", 0)
    assert document.value_at(()) == (3, 1)
    assert document.key_at(("spec",)) == (6, 1)
    assert document.value_at(("spec",)) == (7, 3)
    assert document.value_at(("metadata", "labels", "team.io/name")) == (5, 55)
    assert document.value_at(task) == document.key_at(task) == (8, 7)
    assert document.value_at((*task, "text")) == (12, 13)
    assert document.key_at((*task, "none")) == (15, 7)
    assert document.value_at((*task, "none")) == (15, 12)


@pytest.mark.parametrize(
    ("path", "key", "value"),
    [
        (("spec", "nothing", "here"), (4, 1), (5, 3)),
        (("spec", "tasks", 7), (5, 3), (6, 5)),
        (("spec", "tasks", "name"), (5, 3), (6, 5)),
        (("kind", 0), (2, 1), (2, 7)),
        (("nothing",), (1, 1), (1, 1)),
    ],
)
def test_a_path_that_does_not_exist_has_the_position_of_its_parent(
    path: tuple[str | int, ...], key: tuple[int, int], value: tuple[int, int]
) -> None:
    document = document_of(MANIFEST)
    assert document.key_at(path) == key
    assert document.value_at(path) == value
    assert document.column_of(path, 3) == value


@pytest.mark.parametrize(
    ("name", "part", "position"),
    [
        ("when", "active", (7, 23)),
        ("url", "${", (8, 23)),
        ("note", "s", (9, 13)),
        ("text", "lines", (10, 13)),
    ],
)
def test_an_offset_in_a_string_becomes_a_column(
    name: str, part: str, position: tuple[int, int]
) -> None:
    document = document_of(MANIFEST)
    offset = document.value["spec"]["tasks"][0][name].index(part)
    found = document.column_of(("spec", "tasks", 0, name), offset)
    assert found == position
    if name in ("when", "url"):
        assert MANIFEST.splitlines()[found.line - 1][found.column - 1 :].startswith(part)


def test_paths_are_shown_as_users_write_them() -> None:
    assert path_text(("spec", "tasks", 0, "a b", "x-y")) == 'spec.tasks[0]["a b"].x-y'
    assert path_text((2, "k" * 61)) == '[2]["' + "k" * 60 + '…"]'


HOSTILE_FILES = {
    "open brackets": b"[" * 100_000,
    "a MiB of open brackets": b"[" * (1024 * 1024),
    "closed brackets": b"[" * 50_000 + b"]" * 50_000,
    "flow maps": b"{a: " * 100_000,
    "dashes": b"- " * 100_000,
    "question marks": b"? " * 100_000,
    "indents": b"".join(b" " * level + b"a:\n" for level in range(1_400)),
    "aliases": b"[" + b"*a," * 250_000 + b"]",
    "tag directives": b"%TAG !a! b\n" * 90_000,
    "NULs": b"\0" * 1_000_000,
    "a slow number": b"1" + b"_" * 1_000_000 + b"x",
    "a slow time": b"1" + b":11" * 300_000 + b"x",
    "a long key": b"? " + b"a" * 900_000 + b"\n: [" + b"*a," * 2_000 + b"]",
}


@pytest.mark.parametrize("name", HOSTILE_FILES)
def test_a_hostile_file_takes_no_more_than_seconds(name: str) -> None:
    started = time.process_time()
    documents, problems = parse_documents(HOSTILE_FILES[name], "f.yaml")
    assert time.process_time() - started < 20
    assert len(documents) == (1 if name.startswith("a slow") else 0)
    assert len(problems) <= 1_001
    assert sum(len(str(problem)) for problem in problems) < 1_000_000


def test_reading_stops_after_a_thousand_problems() -> None:
    problems = parse_documents(b"- on\n" * 2_000, "f.yaml")[1]
    assert len(problems) == 1_001
    assert str(problems[-1]) == "f.yaml:1001:3: more than 1000 problems; the rest was not read"
    assert all(a < b for a, b in itertools.pairwise(problems[:-1]))
