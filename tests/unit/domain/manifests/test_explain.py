"""Explanations of the fields of manifests."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from activityctl.domain.manifests.explain import (
    explain_field,
    explanation_json,
    kind_named,
    kinds_explained,
    schema_at,
)
from activityctl.domain.manifests.schema import DOCUMENT_KINDS
from activityctl.errors import NotFoundError
from support.schema import SCHEMA, refused_by_loader, refused_by_schema

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
    found = explain_field(SCHEMA, path)
    assert found.description
    assert found.type
    assert found.example is not None
    for line in found.fields:
        assert line.description, line.name
        below = explain_field(SCHEMA, f"{path}.{line.name}")
        assert (below.type, below.is_required) == (line.type, line.is_required)


@pytest.mark.parametrize("kind", ["definition", "subscription"])
def test_the_example_of_a_kind_is_a_valid_manifest(kind: str):
    example = explain_field(SCHEMA, kind).example
    assert not refused_by_schema(example)
    assert not refused_by_loader(example)


def explained_paths(
    path: str, depth: int = 8, seen: dict[tuple[str, ...], int] | None = None
) -> Iterator[str]:
    """Yield the path and all paths below it; a key that the user chooses is `<name>`.

    A field in a field of its name, as tasks in tasks, has the fields of the one above it, so what
    is below it is left out; so is a path that ends in the same three words as an earlier one
    that was followed as far, as `undo.http.body` does below each list of tasks.
    """
    seen = {} if seen is None else seen
    *above, last = path.split(".")
    if seen.get(end := (*above[-2:], last), -1) >= depth:
        return
    seen[end] = depth
    try:
        fields = explain_field(SCHEMA, path).fields
    except NotFoundError:  # the parent is no map
        return
    yield path
    if last in above:
        return
    for name in [line.name for line in fields] + ["<name>"]:
        if depth:
            yield from explained_paths(f"{path}.{name}", depth - 1, seen)


@pytest.mark.parametrize("kind", ["calendar", "definition", "subscription"])
def test_every_printed_example_is_valid(kind: str):
    paths = list(explained_paths(kind))
    assert len(paths) > 5
    for path in paths:
        found = explain_field(SCHEMA, path)
        parent, _, last = path.rpartition(".")
        if found.example is None:
            assert ".params." in path, path
        elif parent:
            assert last in {found.example_key, "<name>"}, path
            validator = Draft202012Validator(schema_at(SCHEMA, path))
            assert validator.is_valid(found.example), (path, found.example)
            assert re.fullmatch(r"[\w.-]+", found.example_key)


@pytest.mark.parametrize("name", ["<name>", "nightly", "unknown"])
def test_the_example_of_an_override_names_a_trigger(name: str):
    found = explain_field(SCHEMA, f"subscription.spec.triggers.{name}")
    example = {found.example_key: found.example}
    assert example == {"nightly": {"cron": {"schedule": "0 4 * * *"}}}


def test_the_example_of_an_item_has_the_key_of_its_list():
    assert explain_field(SCHEMA, "def.spec.tasks[0]").example_key == "tasks"


def examples(value: Any) -> Any:
    if isinstance(value, dict):
        for example in value.get("examples", ()):
            yield example, value
        for child in value.values():
            yield from examples(child)
    elif isinstance(value, list):
        for child in value:
            yield from examples(child)


def test_every_example_is_valid():
    found = list(examples(SCHEMA["$defs"]))
    assert len(found) > 40
    for example, place in found:
        schema = {**place, "$defs": SCHEMA["$defs"]}
        assert Draft202012Validator(schema).is_valid(example), (example, place)


def test_an_explanation_has_all_facts_of_the_schema():
    found = explanation_json(explain_field(SCHEMA, "def.spec.tasks[0].retry.maxAttempts"))
    assert found == {
        "apiVersion": "activityctl/v1",
        "kind": "Explanation",
        "path": "def.spec.tasks[0].retry.maxAttempts",
        "type": "integer 1 to 1000",
        "description": "The maximum number of attempts, the first included. Default: 3 with any "
        "other field of `retry`, and for tasks that are safe to repeat (`ai`, `emit`, "
        "`webhook`, `python` with `relay`, and `http` with GET, HEAD, OPTIONS, PUT or DELETE); "
        "otherwise 1.",
        "required": False,
        "default": None,
        "allowed": [],
        "example": 5,
        "takesTemplates": False,
        "oneOf": [],
        "fields": [],
    }
    kinds = ("cron", "interval", "event", "chain")
    assert explain_field(SCHEMA, "definition.spec.triggers").one_of == kinds
    assert explain_field(SCHEMA, "def.spec.context.runs.limit").takes_templates
    assert explain_field(SCHEMA, "def.spec.tasks.http.method").allowed[:2] == ("GET", "HEAD")
    assert explain_field(SCHEMA, "def.spec.timeout").default == "1d"


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
        ("", "kinds: Calendar, EventSource, ActivityDefinition, Subscription"),
    ],
)
def test_an_unknown_path_has_the_most_similar_one_as_its_hint(path: str, hint: str):
    with pytest.raises(NotFoundError) as caught:
        explain_field(SCHEMA, path)
    assert caught.value.hint == hint


def test_a_kind_has_short_and_plural_names():
    words = ["definition", "def", "definitions", "ActivityDefinition", "activitydefinitions"]
    assert {kind_named(word) for word in words} == {"ActivityDefinition"}
    assert {kind_named(word) for word in ("sub", "subs", "Subscription")} == {"Subscription"}
    assert [line.name for line in kinds_explained(SCHEMA).fields] == list(DOCUMENT_KINDS)


@pytest.mark.parametrize("form", ["all", "sequence", "absence.after", "absence.of"])
def test_the_events_that_a_trigger_waits_for_have_their_own_fields(form: str):
    found = explain_field(SCHEMA, f"definition.spec.triggers.event.{form}")
    fields = {line.name: line for line in found.fields}
    assert fields.keys() >= {"type", "source", "subject", "match", "filter"}
    assert all(line.description for line in found.fields)
    assert not fields["type"].is_required
    assert "object" in found.type
