"""Definitions: revisions, retries, and the shape of their fields."""

import json
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from activityctl.domain.manifests.definition import (
    ActivityDefinition,
    DefinitionSpec,
    Rule,
    revision_id_of,
)
from activityctl.domain.manifests.metadata import Metadata
from activityctl.domain.manifests.task_template import TaskTemplate
from activityctl.domain.tasks.repeat import Repeat
from activityctl.domain.tasks.retry import RetryPolicy
from activityctl.domain.tasks.time_limits import TaskTimeout
from activityctl.domain.values.finding import findings_of
from activityctl.domain.values.model import canonical

SPEC: dict[str, Any] = {
    "tasks": [{"name": "a", "say": {"x": 1, "y": [1, 2]}}],
    "triggers": [{"name": "t", "interval": {"every": "30m"}}],
    "context": [{"name": "c", "runs": {"limit": 1}}],
    "rules": [{"when": "true"}],
}


def revision(spec: dict[str, Any], **metadata: Any) -> str:
    document = {"metadata": {"name": "digest", **metadata}, "spec": spec}
    return revision_id_of(ActivityDefinition.model_validate_json(json.dumps(document)))


def changed(field: str, **fields: Any) -> dict[str, Any]:
    """Return the spec with some fields replaced in the only item of a list."""
    return {**SPEC, field: [{**SPEC[field][0], **fields}]}


DEFAULTS = [
    {**SPEC, "description": "", "params": {}, "onFailure": [], "onSuccess": [], "onSkip": []},
    {**SPEC, "state": {}},
    {**SPEC, "timeout": "1d"},
    {**SPEC, "timeout": "24h"},
    changed("tasks", needs=[], when=None, forEach=None, maxParallel=None),
    changed("tasks", retry={}, timeout={}),
    changed(
        "tasks",
        retry={"initialInterval": "1s", "backoff": 2, "maxInterval": "300s", "jitter": 0.2},
    ),
    changed("tasks", timeout={"startToClose": "10m", "scheduleToStart": None, "total": None}),
    changed("rules", otherwise=None),
]
TASKS = [
    changed("tasks", name="b"),
    changed("tasks", needs=["b"]),
    changed("tasks", when="true"),
    changed("tasks", forEach=[1]),
    changed("tasks", maxParallel=2),
    changed("tasks", retry={"maxAttempts": 2}),
    changed("tasks", timeout={"startToClose": "1s"}),
]
WHEN = {"when": "true", "tasks": [{"name": "b", "say": {}}]}
CHANGES = [
    *TASKS,
    changed("tasks", forEach=[True]),
    changed("tasks", say={"x": 2, "y": [1, 2]}),
    changed("tasks", say={"x": 1, "y": [2, 1]}),
    changed("tasks", say={"x": True, "y": [1, 2]}),
    {**SPEC, "tasks": [{"name": "a", "shout": SPEC["tasks"][0]["say"]}]},
    changed("tasks", retry={"initialInterval": "2s"}),
    changed("tasks", retry={"maxAttempts": 1}),
    changed("tasks", retry={"backoff": 3}),
    changed("tasks", retry={"jitter": 0}),
    changed("tasks", retry={"maxAge": "1h"}),
    changed("tasks", retry={"retryable": {"status": [404]}}),
    changed("tasks", retry={"nonRetryable": {"status": 503, "code": "timeout"}}),
    changed("tasks", repeat={"max": 3}),
    changed("tasks", repeat={"max": 3, "until": "true"}),
    changed("tasks", repeat={"max": 3, "delay": "1s"}),
    changed("tasks", continueOnError=True),
    changed("tasks", undo=[{"name": "b", "say": {}}]),
    {**SPEC, "tasks": [{"name": "a", "tasks": [{"name": "b", "say": {}}]}]},
    {**SPEC, "tasks": [{"name": "a", "switch": {"cases": [WHEN], "default": WHEN["tasks"]}}]},
    changed("tasks", retry={"maxInterval": "6m"}),
    changed("tasks", timeout={"scheduleToStart": "1s"}),
    changed("tasks", timeout={"heartbeat": "1s"}),
    changed("tasks", timeout={"total": "1h"}),
    changed("tasks", breaker={}),
    changed("tasks", breaker={"failures": 3}),
    changed("tasks", limit="crm"),
    {**SPEC, "limits": [{"name": "crm", "rate": 1}]},
    changed("triggers", name="u"),
    changed("triggers", interval={"every": "31m"}),
    changed("context", name="d"),
    changed("context", runs={"limit": 2}),
    changed("rules", when="false"),
    changed("rules", otherwise="no"),
    {**SPEC, "description": "x"},
    {**SPEC, "params": {"type": "object"}},
    {**SPEC, "triggers": []},
    {**SPEC, "concurrency": {"limit": 2}},
    {**SPEC, "throttle": {"limit": 2, "per": "1h"}},
    {**SPEC, "pauseAfter": {"failures": 2}},
    {**SPEC, "slo": {"startWithin": "1m"}},
    {**SPEC, "timeout": "2d"},
    {**SPEC, "context": []},
    {**SPEC, "rules": []},
    {**SPEC, "tasks": [*SPEC["tasks"], {"name": "b", "say": {}}]},
    {**SPEC, "onFailure": [{"name": "b", "say": {}}]},
    {**SPEC, "onSuccess": [{"name": "b", "say": {}}]},
    {**SPEC, "onSkip": [{"name": "b", "say": {}}]},
    {**SPEC, "onMissed": [{"name": "b", "say": {}}]},
    {**SPEC, "onRecovered": [{"name": "b", "say": {}}]},
    {**SPEC, "state": {"a": 1}},
]


@pytest.mark.parametrize("spec", DEFAULTS)
def test_writing_out_defaults_makes_no_new_revision(spec: dict[str, Any]):
    assert revision(spec) == revision(SPEC)


def test_the_order_of_keys_makes_no_new_revision():
    def reversed_keys(value: Any) -> Any:
        match value:
            case dict():
                return {key: reversed_keys(child) for key, child in reversed(value.items())}
            case list():
                return [reversed_keys(child) for child in value]
            case _:
                return value

    assert list(reversed_keys(SPEC)) != list(SPEC)
    assert revision(reversed_keys(SPEC)) == revision(SPEC)


def test_every_change_of_content_makes_another_revision():
    revisions = [revision(spec) for spec in [SPEC, *CHANGES]]
    assert len(set(revisions)) == len(revisions)


@pytest.mark.parametrize(
    "model", [DefinitionSpec, TaskTemplate, Repeat, RetryPolicy, TaskTimeout, Rule]
)
def test_these_tests_change_every_field(model: type[BaseModel]):
    written = json.dumps(CHANGES)
    assert all(f'"{field.alias}":' in written for field in model.model_fields.values())


def test_another_name_makes_another_revision_but_labels_and_annotations_do_not():
    assert revision(SPEC, labels={"a": "b"}, annotations={"c": "d"}) == revision(SPEC)
    assert revision(SPEC, name="other") != revision(SPEC)


def test_a_spec_is_the_same_after_its_stored_form():
    full = {**CHANGES[0], "timeout": "90m", "state": {"a": None}, "params": {"type": "object"}}
    full["tasks"] = [{**TASKS[3]["tasks"][0], "maxParallel": 2, "retry": {"maxInterval": "1h30m"}}]
    spec = DefinitionSpec.model_validate_json(json.dumps(full))
    stored = canonical(spec)
    assert DefinitionSpec.model_validate_json(json.dumps(stored)) == spec
    assert stored["timeout"] == "1h30m"
    assert stored["tasks"][0]["forEach"] == [1]


NOT_A_NAME = "not a valid name: use a-z, 0-9 and -, at most 63 characters, no - at either end"


@pytest.mark.parametrize(
    ("spec", "place", "reason"),
    [
        ({"tasks": []}, ("tasks",), "should have at least 1 item"),
        ({}, ("tasks",), "required field is missing"),
        (changed("tasks", name="A b"), ("tasks", 0, "name"), NOT_A_NAME),
        (changed("tasks", needs="b"), ("tasks", 0, "needs"), "should be a valid array"),
        (changed("tasks", maxParallel=0), ("tasks", 0, "maxParallel"), "should be greater"),
        (changed("tasks", maxParallel="2"), ("tasks", 0, "maxParallel"), "should be a valid int"),
        (changed("tasks", retry={"attempts": 1}), ("tasks", 0, "retry", "attempts"), "unknown"),
        (
            changed("tasks", timeout={"startToClose": 5}),
            ("tasks", 0, "timeout", "startToClose"),
            "a plain number has no unit: write 5s",
        ),
        ({**SPEC, "timeout": "soon"}, ("timeout",), "'soon' is not a duration"),
        (
            {**SPEC, "onfailure": []},
            ("onfailure",),
            "unknown field 'onfailure'; did you mean 'onFailure'?",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_shape_is_refused_with_its_path(
    spec: dict[str, Any], place: tuple[Any, ...], reason: str
):
    with pytest.raises(ValidationError) as caught:
        DefinitionSpec.model_validate_json(json.dumps(spec))
    (finding,) = findings_of(caught.value, DefinitionSpec)
    assert finding.path == place
    assert finding.reason.startswith(reason)


@pytest.mark.parametrize("name", ["a", "0", "a-b", "a" * 63])
def test_a_valid_name_is_accepted(name: str):
    assert Metadata(name=name).name == name


@pytest.mark.parametrize("name", ["", "-a", "a-", "A", "a_b", "a.b", "a" * 64, "a\n", "ä", "a/b"])
def test_an_invalid_name_is_refused(name: str):
    with pytest.raises(ValidationError):
        Metadata(name=name)


def test_the_kind_of_an_item_is_its_only_key_that_is_no_field():
    task = DefinitionSpec.model_validate_json(json.dumps(SPEC)).tasks[0]
    assert (task.kinds, task.kind, task.body) == (("say",), "say", {"x": 1, "y": [1, 2]})
