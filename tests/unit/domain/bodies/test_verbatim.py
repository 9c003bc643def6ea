"""In the source of `code`, `${ … }` is part of the text; everywhere else it is an expression."""

import json

import pytest

from activityctl import wiring
from activityctl.domain.bodies.verbatim import render_body
from activityctl.domain.manifests.checks import check_definition
from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.errors import ExpressionError

BODY = {
    "javascript": "`${x}` + '$${'",
    "inputs": {"x": "${ params.a }", "text": "<${ params.a }>"},
}


def findings(body: object) -> list[str]:
    document = {"params": {"type": "object"}, "tasks": [{"name": "t", "code": body}]}
    spec = DefinitionSpec.model_validate_json(json.dumps(document))
    return [
        f"{'.'.join(map(str, found.path))}: {found.reason}"
        for found in check_definition(spec, wiring.known_kinds())
    ]


def test_source_stays_and_inputs_are_rendered():
    rendered = render_body("code", BODY, {"params": {"a": 7}})
    assert rendered == {"javascript": "`${x}` + '$${'", "inputs": {"x": 7, "text": "<7>"}}


def test_validate_reads_no_expression_in_source_but_in_inputs():
    assert findings(BODY) == []
    assert findings({"python": "f'${nothing.x}'"}) == []
    (found,) = findings({"python": "1", "inputs": {"x": "${ unknown.x }"}})
    assert found.startswith("tasks.0.code.inputs.x: ")


def test_a_value_cannot_be_the_whole_body():
    assert "a value must not choose what runs" in findings("${ params.code }")[0]
    with pytest.raises(ExpressionError):
        render_body("code", "${ params.code }", {"params": {"code": {"python": "1"}}})
