"""Schemas whose check would take for ever: `validate` answers, with the place and the reason."""

import json
import resource

import pytest

DEFINITION = """
apiVersion: activityctl/v1
kind: ActivityDefinition
metadata: {name: sample}
spec:
  params: %s
  tasks: [{name: one, command: {argv: ["true"]}}]
---
apiVersion: activityctl/v1
kind: Subscription
metadata: {name: sample}
spec:
  activity: sample
  params: {name: %s}
"""
DOUBLED = {
    "properties": {"name": {"$ref": "#/$defs/d0"}},
    "$defs": {
        **{
            f"d{number}": {"allOf": [{"$ref": f"#/$defs/d{number + 1}"}] * 2}
            for number in range(25)
        },
        "d25": {"type": "string"},
    },
}
SCHEMAS = {
    "pattern": {"properties": {"name": {"type": "string", "pattern": "^(a+)+$"}}},
    "patternProperties": {"patternProperties": {"^(n?a?m?e?)+$": {"pattern": "(a|aa)+$"}}},
    "doubled $ref": DOUBLED,
}
CPU_SECONDS = 4.0
"""Of the command and its evaluator process; it is below 2 on a machine of one's own."""


def used() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


@pytest.mark.parametrize("name", SCHEMAS)
def test_validate_answers_with_the_place_and_the_reason(shell, name: str):
    text = DEFINITION % (json.dumps(SCHEMAS[name]), f"{'a' * 60}b")
    (shell.folder / "dear.yaml").write_text(text)
    before = used()
    done = shell("validate", "-f", "dear.yaml", code=3)
    assert used() - before < CPU_SECONDS
    line = text.splitlines().index("  params: {name: " + "a" * 60 + "b}") + 1
    assert f"dear.yaml:{line}:" in done.stderr
    assert "cannot be checked against the definition's schema: too much work" in done.stderr


def test_an_ordinary_pattern_is_still_checked(shell):
    schema = {"properties": {"name": {"pattern": "^[a-z]+(-[a-z]+)*$"}}}
    (shell.folder / "good.yaml").write_text(DEFINITION % (json.dumps(schema), "some-name"))
    shell("validate", "-f", "good.yaml")
    (shell.folder / "good.yaml").write_text(DEFINITION % (json.dumps(schema), "some_name"))
    done = shell("validate", "-f", "good.yaml", code=3)
    assert "does not match" in done.stderr
