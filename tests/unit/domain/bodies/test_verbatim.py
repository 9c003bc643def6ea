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


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"statement": "SELECT ${ params.a }"}, "sql.statement: a statement cannot use ${ … }"),
        (
            {"statements": [{"statement": "SELECT '${ params.a }'"}]},
            "sql.statements.0.statement: a statement cannot use ${ … }",
        ),
        ({"statements": "${ params.all }"}, "sql.statements: write out the fields"),
    ],
)
def test_a_statement_has_no_expression(body: dict[str, object], where: str):
    whole = {"connection": {"secretRef": "db"}, **body}
    for part in ("tasks", "context"):
        if part == "context" and "statements" in body:
            continue
        document = {"params": {"type": "object"}, part: [{"name": "t", "sql": whole}]}
        document.setdefault("tasks", [{"name": "t", "command": {"argv": ["true"]}}])
        spec = DefinitionSpec.model_validate_json(json.dumps(document))
        found = [
            f"{'.'.join(map(str, finding.path[2:]))}: {finding.reason}"
            for finding in check_definition(spec, wiring.known_kinds())
        ]
        assert any(text.startswith(where) for text in found), found
    with pytest.raises(ExpressionError):
        render_body("sql", whole, {"params": {"a": 1, "all": []}})


def test_parameters_of_a_statement_are_rendered():
    body = {"statement": "SELECT :a", "parameters": {"a": "${ params.a }"}}
    assert render_body("sql", body, {"params": {"a": 1}})["parameters"] == {"a": 1}
