"""The JSON Schema of manifests accepts and refuses the same documents as the loader."""

import copy
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from activityctl.domain.manifests.params import is_plainly_valid
from activityctl.domain.manifests.schema import DIALECT, DOCUMENT_KINDS, Schema, document_schema
from activityctl.domain.values.duration import DURATION_PATTERN, parse_duration
from support.examples import examples
from support.schema import (
    FULL,
    KINDS,
    SCHEMA,
    SUBSCRIPTION,
    VALIDATOR,
    refused_by_loader,
    refused_by_schema,
)

ROOT = Path(__file__).parents[4]


def changed(document: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """Return a copy with one value replaced; `...` removes the key."""
    result = copy.deepcopy(document)
    *above, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    place: Any = result
    for part in above:
        place = place[part]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return result


@cache
def schema_of(kind: str) -> Schema:
    return document_schema(KINDS, kind)


def test_the_schema_is_valid_in_its_dialect():
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == DIALECT
    for kind in DOCUMENT_KINDS:
        Draft202012Validator.check_schema(schema_of(kind))


@pytest.mark.parametrize(
    "path", sorted((ROOT / "definitions").rglob("*.yaml")), ids=lambda path: path.stem
)
def test_every_sample_is_valid(path: Path):
    for document in yaml.safe_load_all(path.read_text("utf-8")):
        assert [error.message for error in VALIDATOR.iter_errors(document)] == []
        only = Draft202012Validator(schema_of(document["kind"]))
        assert only.is_valid(document)


def test_a_document_of_another_kind_is_refused():
    assert not Draft202012Validator(schema_of("Subscription")).is_valid(FULL)
    assert not Draft202012Validator(schema_of("ActivityDefinition")).is_valid(SUBSCRIPTION)


@pytest.mark.parametrize("document", [FULL, SUBSCRIPTION], ids=["definition", "subscription"])
def test_a_document_with_every_field_is_valid(document: dict[str, Any]):
    assert [error.message for error in VALIDATOR.iter_errors(document)] == []
    assert not refused_by_loader(document)


BROKEN: list[tuple[str, Any]] = [
    ("apiVersion", "v1"),
    ("apiVersion", ...),
    ("kind", "Aktivity"),
    ("kind", ...),
    ("extra", 1),
    ("metadata", ...),
    ("metadata.name", "Not A Name"),
    ("metadata.name", "-x"),
    ("metadata.name", ...),
    ("metadata.labels.a", None),
    ("metadata.nmae", "x"),
    ("spec.tusks", []),
    ("spec.tasks", []),
    ("spec.tasks", ...),
    ("spec.timeout", 7),
    ("spec.timeout", "7"),
    ("spec.timeout", "1h1h"),
    ("spec.timeout", "P1Y"),
    ("spec.description", [5]),
    ("spec.params.type", "array"),
    ("spec.params.required", "n"),
    ("spec.params.properties.n.type", "nubmer"),
    ("spec.triggers.0.cron.schedule", "* * * *"),
    ("spec.triggers.0.cron.schedule", "@never"),
    ("spec.triggers.0.cron.schedule", "${ params.n }"),
    ("spec.triggers.0.cron.schedule", ...),
    ("spec.triggers.0.cron.timezone", "no zone"),
    ("spec.triggers.0.cron.jiter", "1s"),
    ("spec.triggers.0.interval", {"every": "1m"}),
    ("spec.triggers.0.cron", ...),
    ("spec.triggers.1.interval.every", "half an hour"),
    ("spec.triggers.1.interval", "${ params.n }"),
    ("spec.context.0.runs.limit", 0),
    ("spec.context.0.runs.limit", "many"),
    ("spec.context.0.runs.status", "good"),
    ("spec.context.0.rums", {}),
    ("spec.rules.0.when", True),
    ("spec.rules.0.when", ...),
    ("spec.rules.0.othrwise", "x"),
    ("spec.tasks.0.name", "no_underscores"),
    ("spec.tasks.0.needs", "call"),
    ("spec.tasks.0.command", {"argv": ["x"]}),
    ("spec.tasks.0.http", ...),
    ("spec.tasks.0.htp", {}),
    ("spec.tasks.0.maxParallel", 2),
    ("spec.tasks.0.http.method", "fetch"),
    ("spec.tasks.0.http.url", ...),
    ("spec.tasks.0.http.url", 5),
    ("spec.tasks.0.http.headers", {"a b": "c"}),
    ("spec.tasks.0.http.headers.X-A", [5]),
    ("spec.tasks.0.http.headers", {"X-A": None}),
    ("spec.tasks.0.http.body", "text beside json"),
    ("spec.tasks.0.http.expect", []),
    ("spec.tasks.0.http.expect", [700]),
    ("spec.tasks.0.http.expect", "3x"),
    ("spec.tasks.0.retry.maxAttempts", 0),
    ("spec.tasks.0.retry.maxAttempts", "3"),
    ("spec.tasks.0.retry.backoff", 0.5),
    ("spec.tasks.0.retry.maxInterval", "long"),
    ("spec.tasks.0.timeout", "30s"),
    ("spec.tasks.1.forEach", "params.list"),
    ("spec.tasks.1.maxParallel", 0),
    ("spec.tasks.1.command.argv", ["both"]),
    ("spec.tasks.1.command.shell", ...),
    ("spec.tasks.1.command.env", {"A=B": "c"}),
    ("spec.tasks.1.command.parse", "yaml"),
    ("spec.tasks.1.command.successCodes", []),
    ("spec.state", []),
]


@pytest.mark.parametrize(
    ("path", "value"), BROKEN, ids=[f"{path}={value}" for path, value in BROKEN]
)
def test_the_schema_refuses_a_wrong_shape_as_the_loader_does(path: str, value: Any):
    document = changed(FULL, path, value)
    assert refused_by_loader(document)
    assert refused_by_schema(document)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("spec.activity", ...),
        ("spec.activity", "No Name"),
        ("spec.params", []),
        ("spec.paused", "yes"),
        ("spec.triggers", ["beat"]),
        ("spec.triggers.Beat", None),
        ("spec.triggers.beat", "off"),
        ("spec.triggers.beat", 5),
        ("spec.param", {}),
    ],
)
def test_the_schema_refuses_a_wrong_subscription_as_the_loader_does(path: str, value: Any):
    document = changed(SUBSCRIPTION, path, value)
    assert refused_by_loader(document)
    assert refused_by_schema(document)


@pytest.mark.parametrize(
    "override", [{}, {"crom": {}}, {"cron": {"schedul": "x"}}, {"cron": {}, "interval": {}}]
)
def test_an_override_is_one_kind_with_its_fields(override: dict[str, Any]):
    assert refused_by_schema(changed(SUBSCRIPTION, "spec.triggers.cron", override))


TEMPLATED = [
    ("spec.tasks.0.http", "${ state }"),
    ("spec.tasks.0.http.method", "${ state.method }"),
    ("spec.tasks.0.http.headers", "${ state.headers }"),
    ("spec.tasks.0.http.expect", "${ state.expect }"),
    ("spec.tasks.0.http.expect", ["${ state.status }"]),
    ("spec.tasks.0.http.query", {"page": ["${ state.page }"]}),
    ("spec.tasks.1.forEach", "${ state.items }"),
    ("spec.tasks.1.command.successCodes", ["${ state.code }"]),
    ("spec.tasks.1.command.parse", "${ state.how }"),
    ("spec.context.0.runs.limit", "${ params.n }"),
    ("spec.context.0.runs", "${ state.n }"),
]


@pytest.mark.parametrize(("path", "value"), TEMPLATED)
def test_templates_are_allowed_in_typed_fields(path: str, value: Any):
    document = changed(FULL, path, value)
    assert not refused_by_loader(document)
    assert not refused_by_schema(document)
    escaped = json.loads(json.dumps(value).replace("${", "$${"))
    assert refused_by_schema(changed(FULL, path, escaped)) == refused_by_loader(
        changed(FULL, path, escaped)
    )


def leaves(value: Any, path: tuple[str, ...] = ()) -> list[str]:
    children = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    below = [leaf for key, child in children for leaf in leaves(child, (*path, str(key)))]
    return [*([".".join(path)] if path else []), *below]


PLAIN_VALUES: list[Any] = [
    None,
    True,
    0,
    3,
    404,
    0.5,
    "",
    "x",
    "30s",
    "@daily",
    "succeeded",
    "POST",
]
OTHER_VALUES: list[Any] = [[], ["a"], [{}], [200], {}, {"name": "x"}, {"a": "b"}, "PT1H", ...]
VALUES = st.sampled_from([*PLAIN_VALUES, *OTHER_VALUES, "${ state.x }", "$${ x }"])


@settings(max_examples=examples(300))
@given(st.sampled_from(leaves(FULL)), VALUES)
def test_the_schema_refuses_nothing_that_the_loader_accepts(path: str, value: Any):
    document = changed(FULL, path, value)
    if not refused_by_loader(document):
        assert [error.message for error in VALIDATOR.iter_errors(document)] == []


@given(st.text("0123456789dhms.PTWDHMSY", max_size=8))
def test_the_pattern_of_durations_agrees_with_the_parser(text: str):
    try:
        parse_duration(text)
    except ValueError as error:
        if "over ten years" not in str(error):
            assert not re.search(DURATION_PATTERN, text)
    else:
        assert re.search(DURATION_PATTERN, text)


def test_defaults_are_written_as_in_yaml():
    definitions = SCHEMA["$defs"]
    assert definitions["RetryPolicy"]["properties"]["initialInterval"]["default"] == "1s"
    assert definitions["DefinitionSpec"]["properties"]["timeout"]["default"] == "1d"


KEYWORDS: list[str] = [
    *("type", "required", "properties", "items", "enum", "minimum", "maxLength"),
    *("title", "default", "additionalProperties", "$ref", "allOf", "pattern", "examples"),
]
SCHEMAS = st.recursive(
    st.sampled_from([True, {}, 5, None, "x", {"type": "string"}, {"type": "strin"}]),
    lambda inner: st.dictionaries(
        st.sampled_from(KEYWORDS),
        inner
        | st.lists(inner, max_size=2)
        | st.sampled_from(["object", ["a"], ["a", "a"], -1, 1, 1.5, True])
        | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
        max_size=3,
    ),
    max_leaves=6,
)


@given(SCHEMAS)
def test_a_plainly_valid_schema_is_valid(schema: Any):
    if is_plainly_valid(schema):
        Draft202012Validator.check_schema(schema)


def test_common_schemas_are_plainly_valid():
    assert is_plainly_valid(FULL["spec"]["params"])
    assert not is_plainly_valid({"pattern": "["})


PAID = {"type": "order.paid"}
BOTH = [PAID, {"match": {"data.x": 1}}]
GAP = {"after": PAID, "of": PAID, "within": "1h"}
BATCH = {"size": 2, "within": "1h"}


def definition_with(body: Any) -> dict[str, Any]:
    return changed(FULL, "spec.triggers.0", {"name": "paid", "event": body})


@pytest.mark.parametrize(
    "body",
    [
        PAID,
        {"filter": "event.id != ''"},
        {**PAID, "debounce": {"for": "1s"}, "batch": None},
        {**PAID, "batch": BATCH, "match": {}},
        {"all": BOTH, "within": "1h", "key": "${ event.data.id }"},
        {"sequence": BOTH, "within": "1h", "type": None},
        {"absence": GAP, "ordered": True},
    ],
)
def test_a_trigger_of_each_form_is_valid(body: Any):
    document = definition_with(body)
    assert [error.message for error in VALIDATOR.iter_errors(document)] == []
    assert not refused_by_loader(document)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"ordered": True},
        {"match": {}},
        {"filter": ""},
        {"debounce": {"for": "1s"}},
        {"batch": BATCH},
        {**PAID, "debounce": {"for": "1s"}, "batch": BATCH},
        {"all": BOTH, "sequence": BOTH, "within": "1h"},
        {"all": BOTH, "within": "1h", "absence": GAP},
        {"all": BOTH},
        {"sequence": BOTH, "within": None},
        {"all": BOTH, "within": "1h", "type": "a"},
        {"sequence": BOTH, "within": "1h", "filter": "true"},
        {"sequence": [PAID, {}], "within": "1h"},
        {"absence": GAP, "source": "/a"},
        {"absence": GAP, "within": "1h"},
        {"absence": {**GAP, "of": {}}},
        {**PAID, "key": "${ event.data.id }"},
        {**PAID, "within": "1h"},
        {**PAID, "batch": BATCH, "within": "1h"},
        {**PAID, "debounce": {"for": "1s"}, "key": "${ event.id }"},
    ],
)
def test_a_trigger_with_clashing_fields_is_refused_as_by_the_loader(body: Any):
    assert refused_by_schema(definition_with(body))
    assert refused_by_loader(definition_with(body))


def test_an_override_may_have_any_fields_of_a_trigger():
    override = {"paid": {"event": {"within": "2h"}}}
    document = changed(SUBSCRIPTION, "spec.triggers", override)
    assert [error.message for error in VALIDATOR.iter_errors(document)] == []
