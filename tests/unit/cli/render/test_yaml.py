"""The YAML that commands print is read back by the strict loader as the same values."""

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from activityctl.adapters.manifests.strict_yaml import parse_documents
from activityctl.cli.render.output import to_yaml
from activityctl.domain.manifests.definition import revision_id_of
from activityctl.domain.manifests.document import definition_document, subscription_document
from activityctl.domain.values.model import canonical
from support.examples import examples
from support.exporting import (
    NUMBERS,
    WORDS,
    definition_with,
    model_of,
    read_back,
    subscription_with,
)

numeric = st.text("0123456789+-._:eExXoObBaAfFinN", max_size=8)
plain = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S", "Zs"]), max_size=20)


words = st.sampled_from(WORDS)
texts = (
    words
    | st.builds(str.__add__, words, words)
    | st.text("nNoOyYeEsStTrRuUlLfFaA01.:_-+ #?\n\t'\"\\", max_size=8)
    | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30)
).filter(lambda text: "${" not in text)
numbers = st.sampled_from(NUMBERS) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    texts | st.none() | st.booleans() | st.integers(-(2**70), 2**70) | numbers,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)


@pytest.mark.parametrize("text", WORDS)
def test_a_text_comes_back_as_value_and_as_key(text: str):
    for value in ({"key": text}, {text: 1}, [text], {"a": [{text: {text: [text]}}]}):
        (document,), problems = parse_documents(to_yaml(value).encode(), "x.yaml")
        assert (document.value, problems) == (value, [])


@settings(max_examples=examples(300), deadline=None)
@given(values)
def test_any_value_comes_back(value: Any):
    (document,), problems = parse_documents(to_yaml({"key": value}).encode(), "x.yaml")
    assert (document.value, problems) == ({"key": value}, [])


@settings(max_examples=examples(100), deadline=None)
@given(st.lists(texts, min_size=1, max_size=4, unique=True), st.lists(values, max_size=3))
def test_an_exported_object_has_the_same_content(several: list[str], inner: list[Any]):
    given_definition = model_of(definition_with(several, inner))
    document = definition_document(given_definition.metadata, given_definition.spec)
    exported = read_back(to_yaml(document))
    assert revision_id_of(exported) == revision_id_of(given_definition)
    assert canonical(exported.metadata) == canonical(given_definition.metadata)
    given_one = model_of(subscription_with(several, inner))
    document = subscription_document(given_one.metadata, given_one.spec)
    assert canonical(read_back(to_yaml(document))) == canonical(given_one)


@example("08:00")
@example("1_000")
@example("0x")
@example("-.5")
@example(".inf")
@example("1e5")
@example("2026-12-24")
@given(numeric | plain)
def test_the_strict_loader_reads_back_the_same_text(text: str):
    documents, problems = parse_documents(to_yaml({"key": text}).encode(), "x.yaml")
    assert problems == []
    assert documents[0].value == {"key": text}


@pytest.mark.parametrize("text", ["order-review", "3f2a9c", "a 08:00 b", "https://a.example/1"])
def test_plain_words_get_no_quotes(text: str):
    assert to_yaml({"key": text}) == f"key: {text}\n"
