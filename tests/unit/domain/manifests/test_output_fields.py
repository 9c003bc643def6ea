"""An expression that reads a field which the output of a task never has is found by `validate`."""

import json
from typing import Any

import pytest
from pydantic import BaseModel

from activityctl.domain.manifests.checks import Kinds, check_definition
from activityctl.domain.manifests.definition import DefinitionSpec


class AnyBody(BaseModel, extra="allow"):
    """Takes any fields."""


def reasons(kind: str, when: str, **fields: Any) -> list[str]:
    tasks = [
        {"name": "score", kind: {"url": "x"}, **fields},
        {"name": "next", "needs": ["score"], "when": when, "say": {}},
    ]
    spec = DefinitionSpec.model_validate_json(json.dumps({"tasks": tasks}))
    kinds = Kinds(dict.fromkeys(("http", "command", "added", "say"), AnyBody), {})
    return [finding.reason for finding in check_definition(spec, kinds)]


def test_the_body_of_an_answer_is_looked_for_in_its_place():
    (reason,) = reasons("http", "tasks.score.output.risk > 0.8")
    assert reason == (
        "`tasks.score.output` has no `risk`; what the server has answered is in output.json, or as "
        "text in output.body"
    )
    assert reasons("http", "tasks.score.output.json.risk > tasks.score.output.pages") == []


def test_what_a_program_printed_is_looked_for_in_its_place():
    (reason,) = reasons("command", "tasks.score.output.risk > 0.8")
    assert reason.endswith("with parse: json, what the program has printed is in output.json")


@pytest.mark.parametrize(
    ("kind", "when", "fields"),
    [
        ("added", "tasks.score.output.risk > 0.8", {}),
        ("http", "size(tasks.score.output) > 0", {"forEach": [1]}),
        ("http", "has(tasks.score.output.json)", {"continueOnError": True}),
    ],
)
def test_other_outputs_are_not_known(kind: str, when: str, fields: dict[str, Any]):
    assert reasons(kind, when, **fields) == []
