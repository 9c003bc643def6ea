"""An expression that reads a field which the output of a task never has is found by `validate`."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from pydantic import BaseModel

from activityctl.domain.manifests.checks import Kinds, check_definition
from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.manifests.output_fields import output_as_read


class AnyBody(BaseModel, extra="allow"):
    """Takes any fields."""


def reasons(
    kind: str, when: str, body: Mapping[str, Any] | None = None, **fields: Any
) -> list[str]:
    tasks = [
        {"name": "score", kind: {"url": "x", **(body or {})}, **fields},
        {"name": "next", "needs": ["score"], "when": when, "say": {}},
    ]
    spec = DefinitionSpec.model_validate_json(json.dumps({"tasks": tasks}))
    kinds = Kinds(dict.fromkeys(("http", "command", "added", "say"), AnyBody), {})
    return [finding.reason for finding in check_definition(spec, kinds)]


def test_a_field_of_the_answer_is_read_beside_those_of_the_output():
    when = "tasks.score.output.risk > tasks.score.output.json.risk"
    assert reasons("http", when) == []
    assert reasons("command", when, {"parse": "json"}) == []
    answered = {"json": {"risk": 0.9, "status": "scored"}, "status": 200}
    assert output_as_read("http", answered) == {**answered, "risk": 0.9}
    for output in ({"json": [1]}, {"json": None}, "text", None):
        assert output_as_read("http", output) == output
    assert output_as_read("value", answered) == answered


def test_a_program_that_prints_text_has_no_fields_of_an_answer():
    (reason,) = reasons("command", "tasks.score.output.risk > 0.8")
    assert reason == (
        "`tasks.score.output` has no `risk`; with parse: json, the fields of what the program has "
        "printed can be read"
    )


@pytest.mark.parametrize(
    ("kind", "when", "fields"),
    [
        ("added", "tasks.score.output.risk > 0.8", {}),
        ("http", "size(tasks.score.output) > 0", {"forEach": [1]}),
        (
            "http",
            "tasks.score.output != null && has(tasks.score.output.json)",
            {"continueOnError": True},
        ),
    ],
)
def test_other_outputs_are_not_known(kind: str, when: str, fields: dict[str, Any]):
    assert reasons(kind, when, **fields) == []
