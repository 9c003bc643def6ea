"""Only what whoever applies has written may name a secret."""

import json
from typing import Any

import pytest

from activityctl.domain.bodies.secret_choices import (
    check_secret_names,
    needed_secrets,
    refuse_chosen_secrets,
)
from activityctl.domain.cel.expression import render
from activityctl.domain.manifests.checks import check_definition
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.errors import ExpressionError
from activityctl.executors.registry import known_kinds

CRM = {"secretRef": "crm-token"}


def findings(*tasks: dict[str, Any]) -> list[tuple[str, str]]:
    spec = {"params": {"properties": {"name": {"type": "string"}}}, "tasks": []}
    spec["tasks"] = [{"name": f"t{index}", **task} for index, task in enumerate(tasks)]
    manifest = {"metadata": {"name": "mine"}, "spec": spec}
    definition = ActivityDefinition.model_validate_json(json.dumps(manifest))
    found = check_definition(definition.spec, known_kinds())
    return [(".".join(map(str, finding.path)), finding.reason) for finding in found]


def http(**fields: Any) -> dict[str, Any]:
    return {"http": {"url": "https://crm.example/", **fields}}


def test_a_secret_may_stand_in_headers_json_and_variables():
    env = {"argv": ["true"], "env": {"TOKEN": CRM}}
    inside = {"clientSecret": CRM, "deep": [{"x": CRM}]}
    assert (
        findings(
            http(headers={"Authorization": CRM}, json=inside, query={"k": CRM}), {"command": env}
        )
        == []
    )


@pytest.mark.parametrize(
    ("task", "path", "reason"),
    [
        (http(body=CRM), "tasks.0.http.body", "cannot be used here"),
        ({"emit": {"type": "a.b", "data": {"x": CRM}}}, "tasks.0.emit.data.x", "cannot be used"),
        ({"command": {"argv": ["a", CRM]}}, "tasks.0.command.argv.1", "cannot be used here"),
        (
            http(headers={"Authorization": {"secretRef": "Crm Token"}}),
            "tasks.0.http.headers.Authorization",
            "is not the name of a secret",
        ),
        (
            http(headers={"Authorization": {"secretRef": "a", "x": 1}}),
            "tasks.0.http.headers.Authorization",
            "alone, without other fields",
        ),
        (
            http(headers={"Authorization": {"secretRef": "${ event.data.name }"}}),
            "tasks.0.http.headers.Authorization.secretRef",
            "a value must not choose a secret",
        ),
        (
            {"http": {"url": "${ event.data.url }", "headers": {"X-Plain": CRM}}},
            "tasks.0.http.headers.X-Plain",
            "the secret would be sent to a host that a value chooses",
        ),
    ],
)
def test_a_secret_is_refused_elsewhere(task: dict[str, Any], path: str, reason: str):
    assert [(at, reason in why) for at, why in findings(task)] == [(path, True)]


def test_the_name_of_a_secret_may_come_from_params_alone():
    body = {"env": {"TOKEN": {"secretRef": "${ params.name }-token"}}}
    assert list(check_secret_names(body)) == []
    rendered = render(body, {"params": {"name": "eu"}})
    refuse_chosen_secrets(body, rendered)
    assert rendered == {"env": {"TOKEN": {"secretRef": "eu-token"}}}
    assert list(needed_secrets(body, {"name": "eu"})) == ["eu-token"]
    assert list(needed_secrets(body, None)) == []


@pytest.mark.parametrize(
    "body",
    [
        {"headers": "${ event.headers }"},
        {"json": {"a": "${ event.headers }"}},
        "${ event.headers }",
        {"headers": {"Authorization": "${ event.headers.Authorization }"}},
    ],
)
def test_a_value_of_a_stranger_cannot_become_a_reference(body: Any):
    event = {"headers": {"Authorization": {"secretRef": "crm-token"}}}
    with pytest.raises(ExpressionError, match="must not choose a secret"):
        refuse_chosen_secrets(body, render(body, {"event": event}))


def test_a_map_that_only_looks_like_a_reference_is_data():
    event = {"ref": {"secretRef": {"name": "a"}}, "more": {"secretRef": "a", "key": "b"}}
    refuse_chosen_secrets({"json": "${ event }"}, render({"json": "${ event }"}, {"event": event}))
