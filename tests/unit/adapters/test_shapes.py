"""Documents that differ in plain words are read as the parser reads each of them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from activityctl.adapters.manifests import shapes
from activityctl.adapters.manifests.files import SourceFile
from activityctl.adapters.manifests.manifests import collect_manifests
from activityctl.adapters.manifests.shapes import Shapes
from activityctl.adapters.manifests.strict_yaml import parse_documents

LINES = (
    *("a: @", "b: {c: @, d: @}", "e:", "  - @", "  - f: @", "    g: @", "  h: @", "i: [@, {j: @}]"),
    *("# k: @", 'l: "m: @"', "n: 'o: @, p'", "q: |", "r: >-", "  s: @", "t: @ # u", "v: @, @"),
    *("? @", ": @", "w: &x @", "y: !z @", "%YAML 1.1", "...", "--- @", "---", '"é": @', "é: @ "),
    *("{A: @}: B", "C:\t@", "D: - @", '  "E: @', "", " ", "F: {G: @", "  H: @}", "a: @", "- a: @"),
)
WORDS = (
    *("x", "true", "yes", "null", "Null", "~", "017", "1e3", "12", "1.50", "0x1f", "a.b", "y"),
    *("-", "a:b", "a b", "", "1:30", "...", "2026-01-01", "q" * 101, '"r"', "s.", "é", "}", "<<"),
    *("hole-in-a-shape-0", "hole-in-a-shape-1", "1_000", "-5", ".5", "@", "{}", "#", "9" * 20),
)


@st.composite
def texts(draw: st.DrawFn) -> str:
    """Return some documents, most of them with the same lines and other words."""
    documents = draw(st.lists(st.lists(st.sampled_from(LINES), max_size=5), min_size=1, max_size=2))
    chosen = draw(st.lists(st.sampled_from(documents), min_size=3, max_size=6))
    word = st.sampled_from(WORDS)
    parts = []
    for lines in chosen:
        pieces = "\n".join(lines).split("@")
        words = [draw(word) for _ in pieces[1:]]
        parts.append("".join(f"{a}{b}" for a, b in zip(pieces, [*words, ""], strict=True)))
    return draw(st.sampled_from(["", "---\n", "\ufeff"])) + "\n---\n".join(parts)


@given(texts())
@settings(max_examples=400)
def test_what_is_read_and_refused_is_what_the_parser_reads_and_refuses(text: str) -> None:
    content = text.encode("utf-8", "surrogatepass")
    expected, problems = parse_documents(content, "f.yaml")
    found, found_problems = Shapes().parse(content, "f.yaml")
    assert found_problems == problems
    assert [repr(document) for document in found] == [repr(document) for document in expected]


SUBSCRIPTION = """\
apiVersion: activityctl/v1
kind: Subscription
metadata: {{name: shop-{0}, labels: {{team: t{0}}}}}
spec:
  activity: shop
  params: {{shop: s{0}, limit: {0}, note: "as before"}}
"""


def test_the_parser_sees_few_of_many_documents_that_differ_in_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = "---\n".join(SUBSCRIPTION.format(number) for number in range(200)).encode()
    expected = [document.value for document in parse_documents(text, "f.yaml")[0]]
    parsed: list[bytes] = []

    def parse(content: bytes, file: str) -> object:
        parsed.append(content)
        return parse_documents(content, file)

    monkeypatch.setattr(shapes, "parse_documents", parse)
    found, _ = Shapes().parse(text, "f.yaml")
    assert [document.value for document in found] == expected
    assert len(parsed) == 2


def test_a_problem_in_one_of_many_documents_has_its_place() -> None:
    parts = [SUBSCRIPTION.format(number) for number in range(6)]
    parts[4] = parts[4].replace("limit: 4", "limit: 4, limit: 5")
    parts[5] = parts[5].replace("activity: shop", "activity: Shop")
    parts.append(SUBSCRIPTION.format(2))
    file = SourceFile("f.yaml", "---\n".join(parts).encode())
    _, problems = collect_manifests([file], [], lambda *_: b"")
    places = [(problem.line, problem.path) for problem in problems]
    assert {(34, "spec.params.limit"), (40, "spec.activity"), (45, "metadata.name")} == set(places)


def test_a_problem_of_the_schema_has_its_place_in_a_sound_file() -> None:
    parts = [SUBSCRIPTION.format(number) for number in range(4)]
    parts[3] = parts[3].replace("activity: shop", "activity: Shop")
    file = SourceFile("f.yaml", "---\n".join([*parts, parts[1]]).encode())
    manifests, problems = collect_manifests([file], [], lambda *_: b"")
    assert [(problem.line, problem.path) for problem in problems] == [
        (26, "spec.activity"),
        (31, "metadata.name"),
        (31, "metadata.name"),
    ]
    assert [name for _, name in manifests.locate] == ["shop-0", "shop-1", "shop-2"]
