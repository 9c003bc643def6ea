"""Checks of the tasks that the engine carries out."""

import json
from typing import Any

import pytest

from activityctl import wiring
from activityctl.domain.manifests.checks import check_definition
from activityctl.domain.manifests.definition import DefinitionSpec


def found(*tasks: dict[str, Any], **fields: Any) -> dict[str, str]:
    """Return the reasons of all findings, by path."""
    spec = DefinitionSpec.model_validate_json(json.dumps({"tasks": tasks, **fields}))
    findings = check_definition(spec, wiring.known_kinds())
    return {".".join(map(str, finding.path)): finding.reason for finding in findings}


@pytest.mark.parametrize(
    "body",
    [1, "text", True, None, ["a", 1], {"deep": {"x": "${ params.x }"}}, "${ trigger.name }"],
)
def test_a_value_may_be_anything(body: Any):
    params = {"type": "object", "properties": {"x": {}}}
    assert found({"name": "v", "value": body}, params=params) == {}


def test_the_expressions_of_a_value_are_checked():
    assert "tasks.0.value.a" in found({"name": "v", "value": {"a": "${ tasks.other.output }"}})


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({}, "tasks.0.wait"),
        ({"for": "1m", "until": "2026-01-01T00:00:00Z"}, "tasks.0.wait"),
        ({"for": "soon"}, "tasks.0.wait.for"),
        ({"for": "0s"}, "tasks.0.wait.for"),
        ({"until": "tomorrow"}, "tasks.0.wait.until"),
        ({"untill": "2026-01-01T00:00:00Z"}, "tasks.0.wait.untill"),
    ],
)
def test_what_is_wrong_with_a_wait_is_said(body: Any, path: str):
    assert path in found({"name": "w", "wait": body})


def test_fields_of_attempts_have_no_effect():
    tasks = {"name": "w", "wait": {"for": "1m"}, "retry": {"maxAttempts": 2}, "timeout": {}}
    assert found(tasks) == {
        "tasks.0.retry": "has no effect on wait: it has no attempts",
        "tasks.0.timeout": "has no effect on wait: it has no attempts",
    }


def test_a_wait_that_the_runs_timeout_would_cut_off_is_said():
    day = {"name": "a", "wait": {"for": "1d"}}
    reason = found(day)["tasks.0.wait.for"]
    assert reason == (
        "1d is not shorter than the default timeout of 1d, so the run would end first; set "
        "spec.timeout to more than 1d"
    )
    assert "the run's timeout of 1h" in found(day, timeout="1h")["tasks.0.wait.for"]
    assert found(day, timeout="25h") == {}
    onfailure = found({"name": "v", "value": 1}, timeout="1h", onFailure=[day])
    assert onfailure == {}  # onFailure tasks have no time limit


def test_waits_in_a_row_count_together():
    first = {"name": "a", "wait": {"for": "40m"}}
    second = {"name": "b", "needs": ["a"], "wait": {"for": "30m"}}
    third = {"name": "c", "needs": ["b"], "wait": {"for": "1m"}}
    reasons = found(first, second, third, timeout="1h")
    assert list(reasons) == ["tasks.1.wait.for"]
    assert reasons["tasks.1.wait.for"].startswith("with the waits before it, this is 1h10m: not")
    assert found(first, {"name": "b", "wait": {"for": "30m"}}, timeout="1h") == {}


def test_the_form_of_a_manual_task_is_checked():
    form = {"type": "object", "properties": {"verdict": {"enum": ["yes", "no"]}}}
    good = {"form": form, "onTimeout": {"output": {"verdict": "no"}}, "due": "1h"}
    assert found({"name": "m", "manual": good}) == {}
    bad_default = {**good, "onTimeout": {"output": {"verdict": "maybe"}}}
    reasons = found({"name": "m", "manual": bad_default})
    assert list(reasons) == ["tasks.0.manual.onTimeout.output.verdict"]
    templated = {**good, "onTimeout": {"output": {"verdict": "${ params }"}}}
    assert found({"name": "m", "manual": templated}) == {}
    for broken in ({"type": "array"}, {"properties": {"a": {"type": "txt"}}}):
        paths = found({"name": "m", "manual": {**good, "form": broken}})
        assert all(path.startswith("tasks.0.manual.form") for path in paths)
        assert paths


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"due": "soon"}, "tasks.0.manual.due"),
        ({"due": 3}, "tasks.0.manual.due"),
        ({"onTimeout": "ignore"}, "tasks.0.manual.onTimeout"),
        ({"instructions": None}, "tasks.0.manual.instructions"),
        ({"asignee": "anna"}, "tasks.0.manual.asignee"),
    ],
)
def test_what_is_wrong_with_a_manual_task_is_said(body: Any, path: str):
    assert any(where.startswith(path) for where in found({"name": "m", "manual": body}))


def test_a_due_time_after_the_runs_timeout_is_said():
    manual = {"name": "m", "manual": {"due": "2d"}}
    assert "so the run would end first" in found(manual)["tasks.0.manual.due"]
    assert found(manual, timeout="3d") == {}


def test_a_written_timeout_may_end_before_a_person_or_an_event_has_to_come():
    manual = {"name": "m", "manual": {"due": "2d"}}
    event = {"name": "e", "needs": ["m"], "waitFor": {"type": "a", "timeout": "2d"}}
    assert found(manual, event, timeout="1h") == {}


@pytest.mark.parametrize(
    "body",
    [
        {"type": "order.paid", "match": {"data.id": "${ trigger.name }"}, "timeout": "1h"},
        {"type": ["a", "b.*"], "filter": "event.data.amount > params.x", "since": "task"},
        {"source": "${ trigger.name }", "onTimeout": {"output": None}},
    ],
)
def test_a_wait_for_an_event_is_valid(body: Any):
    params = {"type": "object", "properties": {"x": {"type": "number"}}}
    assert found({"name": "w", "waitFor": body}, params=params) == {}


@pytest.mark.parametrize(
    ("body", "path", "reason"),
    [
        ({}, "tasks.0.waitFor", "names no event"),
        ("${ params }", "tasks.0.waitFor", "cannot be a template as a whole"),
        (
            {"filter": "event.data.id == '${ event.id }'"},
            "tasks.0.waitFor.filter",
            "put values of the run into match",
        ),
        ({"filter": "tasks.a.output == 1"}, "tasks.0.waitFor.filter", "tasks"),
        ({"type": "a", "timeout": "2d"}, "tasks.0.waitFor.timeout", "the run would end first"),
        ({"type": "a", "since": "ever"}, "tasks.0.waitFor.since", "should be 'run' or 'task'"),
    ],
)
def test_what_is_wrong_with_a_wait_for_an_event_is_said(body: Any, path: str, reason: str):
    assert reason in found({"name": "w", "waitFor": body}).get(path, "")


def test_waits_in_groups_and_choices_are_known():
    wait = {"name": "long", "manual": {"due": "2d"}}
    group = {"name": "g", "tasks": [{"name": "v", "value": 1}, wait]}
    assert list(found(group)) == ["tasks.0.tasks.1.manual.due"]
    first = {"name": "first", "wait": {"for": "20h"}}
    half = {"name": "half", "waitFor": {"type": "a", "timeout": "5h"}}
    case = {"when": "trigger.name == 'x'", "tasks": [half]}
    choice = {"name": "c", "needs": ["first"], "switch": {"cases": [case]}}
    (path,) = found(first, choice)
    assert path == "tasks.1.switch.cases.0.tasks.0.waitFor.timeout"


def test_the_rounds_of_repeat_count_together():
    hourly = {"name": "r", "tasks": [{"name": "w", "wait": {"for": "20m"}}]}
    reasons = found({**hourly, "repeat": {"max": 3, "delay": "5m"}}, timeout="1h")
    assert reasons == {
        "tasks.0.repeat.max": "3 rounds take 1h10m: not shorter than the run's timeout of 1h, so "
        "the run would end first; set spec.timeout to more than 1h10m"
    }
    assert found({**hourly, "repeat": {"max": 2, "delay": "5m"}}, timeout="1h") == {}
    poll = {"name": "p", "command": {"argv": ["true"]}, "repeat": {"max": 1000, "delay": "5m"}}
    assert list(found(poll)) == ["tasks.0.repeat.max"]
    # The end of a round may be long before: then only the default timeout is too short.
    early = {**poll, "repeat": {**poll["repeat"], "until": "params == {}"}}
    assert list(found(early)) == ["tasks.0.repeat.max"]
    assert found(early, timeout="1h") == {}
    asked = {"name": "r", "repeat": {"max": 3}, "tasks": [{"name": "m", "manual": {"due": "40m"}}]}
    assert found(asked, timeout="1h") == {}


def test_waits_after_a_group_or_its_rounds_count_from_its_end():
    group = {
        "name": "g",
        "tasks": [
            {"name": "a", "wait": {"for": "20m"}},
            {"name": "b", "needs": ["a"], "wait": {"for": "20m"}},
        ],
    }
    after = {"name": "z", "needs": ["g"], "wait": {"for": "25m"}}
    assert "this is 1h5m: not" in found(group, after, timeout="1h")["tasks.1.wait.for"]
    assert found(group, after, timeout="2h") == {}
    assert list(found({**group, "repeat": {"max": 2}}, after, timeout="100m")) == [
        "tasks.1.wait.for"
    ]


def test_items_one_after_the_other_count_together():
    each = {"name": "e", "forEach": [1, 2, 3], "maxParallel": 1, "wait": {"for": "30m"}}
    assert found(each, timeout="1h")["tasks.0.forEach"].startswith(
        "the items one after the other take 1h30m: not shorter than the run's timeout of 1h"
    )
    assert found({**each, "maxParallel": 2}, timeout="65m") == {}
    assert found({**each, "forEach": "${ trigger.events }"}, timeout="1h") == {}
    many = {**each, "forEach": list(range(1000)), "wait": {"for": "3650d"}}
    assert list(found(many, timeout="3650d")) == ["tasks.0.wait.for"]
