"""A definition and a subscription with a text and a number in every slot, for tests of `export`."""

from typing import Any

from activityctl.adapters.manifests.manifests import _validate
from activityctl.adapters.manifests.strict_yaml import parse_documents

WORDS = [
    *("nO", "oN", "tRUE", "nUll", "yEs", "OFF", "y", "N", "~", "null", "True", "=", "<<", ""),
    *("0o7", "08", "1_000", "1:30", "0x1F", ".5", "1.", "+1", "1e3", "1E+5", ".inf", "-.NaN"),
    *("2026-12-24", "2026-12-24T00:00:00Z", "3.10", "-0", "?", "?x", ":", "a: b", "- a", "---"),
    *("...", "%a", "@a", "`a`", "!a", "&a", "*a", "|", ">", "[", "{a}", "a,b", "#a", "a #b", "'"),
    *('"', "\\", " a", "a ", "\ta", "a\n", "\n", "\na\n\n", "a\n  b\n c", "a\r\nb", "\u00a0a"),
    *("a\u0085b", "\u2028", "\ufeff", "\u200b", "é", "😀", "\ue000", "\x7f", "x" * 130, "y " * 99),
    *("k" * 1100, "::add-mask::a", "##vso[a]", "#!/bin/sh\nset -e\necho a\t\n"),
]
NUMBERS = [0, -7, 2**53 + 1, 2**64, 0.1, 7.0, -0.5, 1e16, 1e-7, 1.5e300, 123456789.25]


def definition_with(texts: list[str], values: list[Any]) -> dict[str, Any]:
    """Return the document of a definition with the texts and values in every slot."""
    text = texts[0]
    keyed = {key: index for index, key in enumerate(texts)}
    content = {"texts": texts, "keys": keyed, "values": values, "deep": [{text: {"a": values}}]}
    return {
        "apiVersion": "activityctl/v1",
        "kind": "ActivityDefinition",
        "metadata": {"name": "texts", "annotations": {"note": text}},
        "spec": {
            "description": text,
            "params": {
                "type": "object",
                "description": text,
                "properties": {key: {"default": key, "enum": texts} for key in texts},
                "default": content,
            },
            "rules": [{"when": "true", "otherwise": text}],
            "state": content,
            "tasks": [
                {
                    "name": "a",
                    "command": {
                        "argv": ["printf", "%s", *texts],
                        "env": {"A": text},
                        "stdin": text,
                    },
                },
                {
                    "name": "b",
                    "forEach": [content],
                    "http": {"url": "https://x.example/", "method": "POST", "json": content},
                },
            ],
        },
    }


def subscription_with(texts: list[str], values: list[Any]) -> dict[str, Any]:
    """Return the document of a subscription whose params are these texts and values."""
    return {
        "apiVersion": "activityctl/v1",
        "kind": "Subscription",
        "metadata": {"name": "texts", "annotations": {"note": texts[0]}},
        "spec": {
            "activity": "texts",
            "params": {**{text: text for text in texts}, "values": values},
        },
    }


def read_back(text: str) -> Any:
    """Return the one manifest of a YAML text, as the loader reads it."""
    (document,), problems = parse_documents(text.encode(), "export.yaml")
    assert problems == []
    return model_of(document.value)


def model_of(document: dict[str, Any]) -> Any:
    """Return the manifest of a document."""
    findings, model = _validate(document)
    assert findings == []
    return model
