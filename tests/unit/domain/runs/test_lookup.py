"""Where the context of a run is looked up."""

import json
from typing import Any

import pytest

from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.runs.lookup import is_looked_up_apart, longest_lookup

RUNS = {"name": "a", "runs": {}}
HTTP = {"name": "b", "http": {"url": "https://crm.example/"}}


def spec(*context: dict[str, Any]) -> DefinitionSpec:
    named = [{**source, "name": f"c{index}"} for index, source in enumerate(context)]
    tasks = [{"name": "t", "command": {"argv": ["true"]}}]
    return DefinitionSpec.model_validate_json(json.dumps({"context": named, "tasks": tasks}))


@pytest.mark.parametrize(
    ("context", "is_apart"),
    [
        ([], False),
        ([RUNS], False),
        ([RUNS, HTTP], True),
        ([{**RUNS, "retry": {"maxAttempts": 2}}], True),
        ([{**RUNS, "timeout": "31s"}], True),
        ([RUNS] * 4, True),
        ([{**RUNS, "timeout": "5s"}] * 6, False),
    ],
)
def test_only_what_is_quick_is_looked_up_while_a_run_is_admitted(
    context: list[dict[str, Any]], *, is_apart: bool
):
    assert is_looked_up_apart(spec(*context)) is is_apart


def test_a_lookup_may_take_all_its_attempts_and_waits():
    retry = {"maxAttempts": 3, "maxInterval": "1m"}
    longest = longest_lookup(spec({**HTTP, "timeout": "20s", "retry": retry}, RUNS))
    assert longest.total_seconds() == 3 * 20 + 2 * 60 + 10
