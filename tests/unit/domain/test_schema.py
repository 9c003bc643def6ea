import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from activityctl import wiring
from activityctl.adapters.manifests.manifests import _shape
from activityctl.domain.checking import check_definition
from activityctl.domain.definition import ActivityDefinition
from activityctl.domain.duration import DURATION_PATTERN, parse_duration
from activityctl.domain.explain import explain, kind_named, kinds_explained, view
from activityctl.domain.params import is_plainly_valid
from activityctl.domain.schema import DIALECT, DOCUMENT_KINDS, document_schema
from activityctl.errors import NotFoundError

ROOT = Path(__file__).parents[3]
KINDS = wiring.known_kinds()
SCHEMA = document_schema(KINDS)
VALIDATOR = Draft202012Validator(SCHEMA)

FULL: dict[str, Any] = {
    "apiVersion": "activityctl/v1",
    "kind": "ActivityDefinition",
    "metadata": {"name": "full", "labels": {"a": "b"}, "annotations": {"c": "d"}},
    "spec": {
        "description": "All of it.",
        "params": {"type": "object", "required": ["n"], "properties": {"n": {"type": "number"}}},
        "triggers": [
            {"name": "cron", "cron": {"schedule": "0 2 * * 1-5", "timezone": "Europe/Berlin"}},
            {"name": "beat", "interval": {"every": "30m", "offset": "PT5M", "jitter": "1s"}},
        ],
        "timeout": "1h30m",
        "context": [{"name": "before", "runs": {"limit": 5, "status": "succeeded"}}],
        "rules": [{"when": "params.n > 1.0", "otherwise": "too small"}],
        "tasks": [
            {
                "name": "call",
                "http": {
                    "method": "POST",
                    "url": "https://x.example/${ params.n }",
                    "headers": {"X-A": "b"},
                    "query": {"page": 1, "tag": ["a", True]},
                    "json": {"n": "${ params.n }"},
                    "expect": ["2xx", 404],
                },
                "retry": {"maxAttempts": 3, "initialInterval": "1s", "backoff": 2.5},
                "timeout": {"startToClose": "30s", "scheduleToStart": "10m"},
            },
            {
                "name": "many",
                "needs": ["call"],
                "when": "tasks.call.status == 'succeeded'",
                "forEach": [1, 2],
                "maxParallel": 2,
                "command": {"shell": "echo ${ item }", "env": {"A": "b"}, "successCodes": [0, 1]},
            },
        ],
        "onFailure": [{"name": "page", "command": {"argv": ["echo", "${ run.error }"]}}],
        "state": {"n": "${ params.n }"},
    },
}
SUBSCRIPTION: dict[str, Any] = {
    "apiVersion": "activityctl/v1",
    "kind": "Subscription",
    "metadata": {"name": "sub"},
    "spec": {
        "activity": "full",
        "params": {"n": 1},
        "triggers": {"beat": None, "cron": {"cron": {"schedule": "@daily"}}},
        "paused": True,
    },
}


def refused_by_schema(document: Any) -> bool:
    return not VALIDATOR.is_valid(document)


def refused_by_loader(document: Any) -> bool:
    findings, model = _shape(document)
    if findings or model is None:
        return True
    return isinstance(model, ActivityDefinition) and bool(check_definition(model.spec, KINDS))


def changed(document: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """Return a copy with one value set, `...` meaning that the key is taken away."""
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


def test_it_is_a_schema_of_its_dialect():
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == DIALECT
    for kind in DOCUMENT_KINDS:
        Draft202012Validator.check_schema(document_schema(KINDS, kind))


@pytest.mark.parametrize(
    "path", sorted((ROOT / "definitions").rglob("*.yaml")), ids=lambda p: p.stem
)
def test_every_sample_fits(path: Path):
    for document in yaml.safe_load_all(path.read_text("utf-8")):
        assert [error.message for error in VALIDATOR.iter_errors(document)] == []
        only = Draft202012Validator(document_schema(KINDS, document["kind"]))
        assert only.is_valid(document)


def test_a_document_of_the_other_kind_does_not_fit():
    assert not Draft202012Validator(document_schema(KINDS, "Subscription")).is_valid(FULL)
    assert not Draft202012Validator(document_schema(KINDS, "ActivityDefinition")).is_valid(
        SUBSCRIPTION
    )


@pytest.mark.parametrize("document", [FULL, SUBSCRIPTION], ids=["definition", "subscription"])
def test_a_document_that_uses_everything_fits(document: dict[str, Any]):
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
    ("metadata.labels.a", 1),
    ("metadata.nmae", "x"),
    ("spec.tusks", []),
    ("spec.tasks", []),
    ("spec.tasks", ...),
    ("spec.timeout", 7),
    ("spec.timeout", "7"),
    ("spec.timeout", "1h1h"),
    ("spec.timeout", "P1Y"),
    ("spec.description", 5),
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
    ("spec.tasks.0.http.method", "FETCH"),
    ("spec.tasks.0.http.url", ...),
    ("spec.tasks.0.http.url", 5),
    ("spec.tasks.0.http.headers", {"a b": "c"}),
    ("spec.tasks.0.http.headers.X-A", 5),
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


@pytest.mark.parametrize(("path", "value"), BROKEN, ids=[f"{p}={v}" for p, v in BROKEN])
def test_what_the_loader_refuses_by_shape_the_schema_refuses(path: str, value: Any):
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
def test_what_is_refused_of_a_subscription(path: str, value: Any):
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
    ("spec.context.0.runs", "${ params.n }"),
]


@pytest.mark.parametrize(("path", "value"), TEMPLATED)
def test_templates_stand_where_typed_fields_do(path: str, value: Any):
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


@settings(max_examples=300)
@given(st.sampled_from(leaves(FULL)), VALUES)
def test_the_schema_refuses_nothing_that_the_loader_takes(path: str, value: Any):
    document = changed(FULL, path, value)
    if not refused_by_loader(document):
        assert [error.message for error in VALIDATOR.iter_errors(document)] == []


@given(st.text("0123456789dhms.PTWDHMSY", max_size=8))
def test_the_pattern_of_durations_is_what_the_parser_takes(text: str):
    try:
        parse_duration(text)
    except ValueError as error:
        if "over ten years" not in str(error):
            assert not re.search(DURATION_PATTERN, text)
    else:
        assert re.search(DURATION_PATTERN, text)


def test_defaults_stand_as_in_yaml():
    definitions = SCHEMA["$defs"]
    assert definitions["RetryPolicy"]["properties"]["initialInterval"]["default"] == "1s"
    assert definitions["DefinitionSpec"]["properties"]["timeout"]["default"] == "1d"


# ---- explain


PATHS = [
    "definition",
    "definition.metadata",
    "definition.spec",
    "definition.spec.params",
    "definition.spec.triggers",
    "definition.spec.triggers.cron",
    "definition.spec.triggers.cron.schedule",
    "definition.spec.triggers.interval.every",
    "definition.spec.context.runs",
    "definition.spec.rules",
    "definition.spec.tasks",
    "definition.spec.tasks.http",
    "definition.spec.tasks.http.expect",
    "definition.spec.tasks.command",
    "definition.spec.tasks.retry",
    "definition.spec.tasks.forEach",
    "subscription",
    "subscription.spec.triggers",
    "subscription.spec.triggers.nightly.cron",
]


@pytest.mark.parametrize("path", PATHS)
def test_every_field_is_explained_with_an_example(path: str):
    found = explain(SCHEMA, path)
    assert found.description
    assert found.type
    assert found.example is not None
    for line in found.fields:
        assert line.description, line.name
        below = explain(SCHEMA, f"{path}.{line.name}")
        assert (below.type, below.is_required) == (line.type, line.is_required)


@pytest.mark.parametrize("kind", ["definition", "subscription"])
def test_the_example_of_a_kind_is_a_manifest_that_loads(kind: str):
    example = explain(SCHEMA, kind).example
    assert not refused_by_schema(example)
    assert not refused_by_loader(example)


def examples(value: Any) -> Any:
    if isinstance(value, dict):
        for one in value.get("examples", ()):
            yield one, value
        for child in value.values():
            yield from examples(child)
    elif isinstance(value, list):
        for child in value:
            yield from examples(child)


def test_every_example_fits_its_field():
    found = list(examples(SCHEMA["$defs"]))
    assert len(found) > 40
    for example, place in found:
        schema = {**place, "$defs": SCHEMA["$defs"]}
        assert Draft202012Validator(schema).is_valid(example), (example, place)


def test_an_explanation_has_all_that_is_known():
    found = view(explain(SCHEMA, "def.spec.tasks[0].retry.maxAttempts"))
    assert found == {
        "apiVersion": "activityctl/v1",
        "kind": "Explanation",
        "path": "def.spec.tasks[0].retry.maxAttempts",
        "type": "integer 1 to 1000",
        "description": "The first one included.",
        "required": False,
        "default": 1,
        "allowed": [],
        "example": 5,
        "takesTemplates": False,
        "oneOf": [],
        "fields": [],
    }
    assert explain(SCHEMA, "definition.spec.triggers").one_of == ("cron", "interval", "event")
    assert explain(SCHEMA, "def.spec.context.runs.limit").takes_templates
    assert explain(SCHEMA, "def.spec.tasks.http.method").allowed[:2] == ("GET", "HEAD")
    assert explain(SCHEMA, "def.spec.timeout").default == "1d"


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("defintion", "did you mean definition?"),
        ("definition.spec.trigers.cron", "activityctl explain definition.spec.triggers"),
        ("definition.spec.tasks.htp", "activityctl explain definition.spec.tasks.http"),
        (
            "definition.spec.rules.xyz",
            "activityctl explain definition.spec.rules; it has when, otherwise",
        ),
        ("definition.spec.timeout.x", "activityctl explain definition.spec.timeout"),
        ("", "kinds: Calendar, ActivityDefinition, Subscription"),
    ],
)
def test_an_unknown_path_has_the_nearest_as_its_hint(path: str, hint: str):
    with pytest.raises(NotFoundError) as caught:
        explain(SCHEMA, path)
    assert caught.value.hint == hint


def test_kinds_have_short_names():
    words = ["definition", "def", "definitions", "ActivityDefinition", "activitydefinitions"]
    assert {kind_named(word) for word in words} == {"ActivityDefinition"}
    assert {kind_named(word) for word in ("sub", "subs", "Subscription")} == {"Subscription"}
    assert [line.name for line in kinds_explained(SCHEMA).fields] == list(DOCUMENT_KINDS)


# ---- the short cut of params' schemas


KEYWORDS: list[str] = ["type", "required", "properties", "items", "enum", "minimum", "maxLength"]
KEYWORDS += ["title", "default", "additionalProperties", "$ref", "allOf", "pattern", "examples"]
SCHEMAS = st.recursive(
    st.sampled_from([True, {}, 5, None, "x", {"type": "string"}, {"type": "strin"}]),
    lambda inner: st.dictionaries(
        st.sampled_from(
            [
                "type",
                "required",
                "properties",
                "items",
                "enum",
                "minimum",
                "maxLength",
                "title",
                "default",
                "additionalProperties",
                "$ref",
                "allOf",
                "pattern",
                "examples",
            ]
        ),
        inner
        | st.lists(inner, max_size=2)
        | st.sampled_from(["object", ["a"], ["a", "a"], -1, 1, 1.5, True])
        | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
        max_size=3,
    ),
    max_leaves=6,
)


@given(SCHEMAS)
def test_what_is_plainly_a_schema_is_one(schema: Any):
    if is_plainly_valid(schema):
        Draft202012Validator.check_schema(schema)


def test_common_schemas_take_the_short_cut():
    assert is_plainly_valid(FULL["spec"]["params"])
    assert not is_plainly_valid({"pattern": "["})
