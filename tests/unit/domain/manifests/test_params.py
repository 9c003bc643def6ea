"""Params: checks of their schema and their values, and the defaults."""

import gc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from activityctl.domain.manifests.param_defaults import fill_defaults
from activityctl.domain.manifests.params import check_params, check_params_here, check_schema
from activityctl.domain.values.finding import Finding
from support.examples import examples

Path = tuple[str | int, ...]


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "object"},
        {"properties": {"a": {"$ref": "#/$defs/b"}}, "$defs": {"b": {"type": "string"}}},
        {"properties": {"a": {"$ref": "#named"}}, "$defs": {"b": {"$anchor": "named"}}},
        {"properties": {"children": {"type": "array", "items": {"$ref": "#"}}}},
        {"properties": {"$ref": {"type": "string"}}},
        {"properties": {"a": {"const": {"$ref": "https://example.com/a"}}}},
        {"properties": {"a": {"enum": [{"$ref": "x"}, {"b": {"$ref": "#/no"}}]}}},
        {"properties": {"a": {"default": {"$ref": "x"}, "examples": [{"$ref": "x"}]}}},
        {
            "default": {"$ref": "x"},
            "properties": {"enum": {"$ref": "#/$defs/b"}},
            "$defs": {"b": {}},
        },
    ],
)
def test_a_valid_schema_has_no_findings(schema: dict[str, Any]):
    assert check_schema(schema) == []


@pytest.mark.parametrize(
    ("schema", "place", "reason"),
    [
        ({"type": "objekt"}, ("type",), "not a JSON Schema: 'objekt' is not valid"),
        ({"type": "array"}, ("type",), "must be object, because params are an object"),
        (
            {"properties": {"a": {"minimum": "1"}}},
            ("properties", "a", "minimum"),
            "not a JSON Schema: '1' is not of type 'number'",
        ),
        (
            {"properties": {"a": {"pattern": "("}}},
            ("properties", "a", "pattern"),
            "not a JSON Schema: '(' is not a 'regex'",
        ),
        (
            {"properties": {"a": {"$ref": "https://example.com/a.json"}}},
            ("properties", "a", "$ref"),
            "$ref 'https://example.com/a.json' leads outside the schema; use #/...",
        ),
        (
            {"properties": {"a": {"anyOf": [{}, {"$ref": "file:///etc/passwd"}]}}},
            ("properties", "a", "anyOf", 1, "$ref"),
            "$ref 'file:///etc/passwd' leads outside the schema; use #/...",
        ),
        (
            {"properties": {"enum": {"$ref": "https://example.com/a.json"}}},
            ("properties", "enum", "$ref"),
            "$ref 'https://example.com/a.json' leads outside the schema; use #/...",
        ),
        (
            {"properties": {"a": {"$ref": "#/$defs/b"}}},
            ("properties", "a", "$ref"),
            "$ref '#/$defs/b' has no target",
        ),
    ],
)
def test_a_wrong_schema_is_found(schema: dict[str, Any], place: Path, reason: str):
    (finding,) = check_schema(schema)
    assert finding.path == place
    assert finding.reason.startswith(reason)


SCHEMA = {
    "type": "object",
    "required": ["url"],
    "properties": {
        "url": {"type": "string", "minLength": 1},
        "codes": {"type": "array", "items": {"type": "integer"}},
        "deep": {"type": "object", "properties": {"n": {"maximum": 5}}},
    },
}


@pytest.mark.parametrize(
    "params", [{"url": "/"}, {"url": "/", "codes": [1, 2], "deep": {"n": 5}}, {"url": "/", "x": 1}]
)
def test_params_that_match_have_no_findings(params: dict[str, Any]):
    assert check_params(SCHEMA, params) == []


@pytest.mark.parametrize(
    ("params", "findings"),
    [
        ({}, [((), "'url' is a required property")]),
        ({"url": ""}, [(("url",), "'' should be non-empty")]),
        ({"url": "/", "codes": [1, "2"]}, [(("codes", 1), "'2' is not of type 'integer'")]),
        (
            {"url": None, "deep": {"n": 6}},
            [
                (("deep", "n"), "6 is greater than the maximum of 5"),
                (("url",), "None is not of type 'string'"),
            ],
        ),
    ],
)
def test_params_that_do_not_match_are_found(
    params: dict[str, Any], findings: list[tuple[Path, str]]
):
    assert check_params(SCHEMA, params) == [Finding(*finding) for finding in findings]


def test_a_long_value_does_not_hide_the_reason():
    (finding,) = check_params({"properties": {"a": {"type": "number"}}}, {"a": "x" * 5_000})
    assert finding.reason.startswith("'xxxx")
    assert finding.reason.endswith("xxx' is not of type 'number'")
    assert len(finding.reason) < 250


def test_a_schema_that_refers_to_itself_is_a_finding():
    gc.disable()  # what another test left would be finalized on a full stack, and fail
    try:
        findings = check_params({"$ref": "#"}, {})
    finally:
        gc.enable()
    assert findings == [Finding((), "the definition's schema refers to itself in an endless loop")]


def test_a_reference_without_a_target_under_an_id_is_a_finding():
    child = {"$id": "https://example.com/a", "$ref": "#/$defs/b"}
    (finding,) = check_params({"properties": {"a": child}, "$defs": {"b": {}}}, {"a": 1})
    assert finding.reason == "a $ref in the definition's schema has no target: /$defs/b"


@pytest.mark.parametrize(
    ("schema", "params", "filled"),
    [
        ({}, {"a": 1}, {"a": 1}),
        ({"properties": {"a": {"default": 1}}}, {}, {"a": 1}),
        ({"properties": {"a": {"default": 1}}}, {"a": None}, {"a": None}),
        ({"properties": {"a": {"default": None}}}, {}, {"a": None}),
        ({"properties": {"a": True, "b": {}}}, {}, {}),
        (
            {"properties": {"a": {"properties": {"b": {"default": 2}}}}},
            {"a": {"c": 3}},
            {"a": {"b": 2, "c": 3}},
        ),
        ({"properties": {"a": {"properties": {"b": {"default": 2}}}}}, {}, {}),
        (
            {"properties": {"a": {"default": {}, "properties": {"b": {"default": 2}}}}},
            {},
            {"a": {"b": 2}},
        ),
    ],
)
def test_a_default_is_filled_in_where_a_param_is_missing(
    schema: dict[str, Any], params: dict[str, Any], filled: dict[str, Any]
):
    before = repr((schema, params))
    assert fill_defaults(schema, params) == filled
    assert repr((schema, params)) == before


names = st.sampled_from("abc")
schemas = st.recursive(
    st.sampled_from([{}, {"default": 1}, True]),
    lambda inner: st.builds(
        lambda children: {"properties": children}, st.dictionaries(names, inner, max_size=3)
    ),
    max_leaves=6,
).filter(lambda schema: isinstance(schema, dict))
values = st.recursive(
    st.integers(0, 3), lambda inner: st.dictionaries(names, inner, max_size=3), max_leaves=6
)


@settings(max_examples=examples(60), deadline=None)
@given(schemas, st.dictionaries(names, values, max_size=3))
def test_filling_in_defaults_twice_changes_nothing(schema: Any, params: dict[str, Any]):
    filled = fill_defaults(schema, params)
    assert fill_defaults(schema, filled) == filled
    assert set(params) <= set(filled)


def test_a_reference_to_a_value_with_an_outside_reference_reads_nothing():
    child = {"default": {"$ref": "http://127.0.0.1:9/a.json"}}
    schema = {"properties": {"a": {"$ref": "#/properties/b/default"}, "b": child}}
    (finding,) = check_params(schema, {"a": 1})
    assert finding.reason == (
        "a $ref in the definition's schema has no target: http://127.0.0.1:9/a.json"
    )


def test_params_are_checked_against_a_schema_with_references_as_values():
    schema = {"properties": {"a": {"enum": [{"$ref": "x"}], "default": {"$ref": "x"}}}}
    assert check_params(schema, fill_defaults(schema, {})) == []
    assert len(check_params(schema, {"a": {"$ref": "y"}})) == 1


PARAM_TYPES = st.sampled_from(
    [
        *({"type": name} for name in ("string", "number", "integer", "boolean", "null", "array")),
        {"type": ["string", "null"]},
        {"type": "integer", "default": 1, "description": "a count"},
        {"type": "string", "minLength": 2},
        {"enum": ["a", 1]},
        {},
        True,
        False,
    ]
)
PARAM_SCHEMAS = st.fixed_dictionaries(
    {"type": st.sampled_from(["object", "array"])},
    optional={
        "properties": st.dictionaries(st.sampled_from("abc"), PARAM_TYPES),
        "required": st.lists(st.sampled_from("abc"), unique=True),
        "additionalProperties": st.booleans(),
        "minProperties": st.integers(0, 2),
    },
)
PARAM_VALUES = st.sampled_from(["a", "ab", "", 1, 1.0, 1.5, True, None, [], {}, 2**70])


@settings(deadline=None)
@given(PARAM_SCHEMAS, st.dictionaries(st.sampled_from("abcd"), PARAM_VALUES) | PARAM_VALUES)
def test_the_short_way_for_plain_types_finds_the_same_as_the_validator(
    schema: dict[str, Any], params: Any
):
    assert check_params(schema, params) == check_params_here(schema, params)
