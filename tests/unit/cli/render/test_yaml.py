"""The YAML that commands print is read back by the strict loader as the same values."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from activityctl.adapters.manifests.strict_yaml import parse_documents
from activityctl.cli.render.output import to_yaml

numeric = st.text("0123456789+-._:eExXoObBaAfFinN", max_size=8)
plain = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S", "Zs"]), max_size=20)


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
