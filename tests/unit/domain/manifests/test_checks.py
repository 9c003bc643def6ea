"""The findings of `check_definition`: kinds, names, needs and expressions."""

import json
from typing import Any, Literal

import pytest
from pydantic import Field

from activityctl.domain.manifests.checks import Kinds, check_definition
from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.tasks.stop import StopBody
from activityctl.domain.values.finding import Finding
from activityctl.domain.values.model import Manifest


class Call(Manifest):
    """A task kind with fields of several types."""

    url: str = "/"
    method: Literal["GET", "POST"] = "GET"
    times: int = Field(default=1, ge=1)
    codes: list[int] = Field(default=[200], min_length=1)
    headers: dict[str, str] = Field(default={})


class Past(Manifest):
    """A context kind."""

    limit: int = 1


KINDS = Kinds({"call": Call, "shout": Manifest}, {"past": Past})
INTERVAL = {"name": "beat", "interval": {"every": "30m"}}
TASK_FIELDS = (
    "breaker, call, continueOnError, forEach, limit, maxParallel, name, needs, repeat, retry, "
    "shout, switch, tasks, timeout, undo, when"
)
Path = tuple[str | int, ...]


def task(name: str = "a", **fields: Any) -> dict[str, Any]:
    return {"name": name, "call": {}, **fields}


def definition(*tasks: dict[str, Any], **fields: Any) -> DefinitionSpec:
    document = {"tasks": tasks or [task()], "params": {"type": "object"}, **fields}
    return DefinitionSpec.model_validate_json(json.dumps(document))


def found(*tasks: dict[str, Any], **fields: Any) -> list[tuple[Path, str]]:
    findings = check_definition(definition(*tasks, **fields), KINDS)
    return [(finding.path, finding.reason) for finding in findings]


def test_an_expression_in_a_key_is_found_in_every_place_of_a_template():
    keyed = {"${ params.n }": "a"}
    spec = definition(
        task(call={"headers": keyed}),
        context=[{"name": "before", "past": keyed}],
        onFailure=[task("page", call={"headers": keyed})],
        state=keyed,
        params={"type": "object", "properties": {"n": {"type": "string"}}},
    )
    found = {item.path for item in check_definition(spec, KINDS) if "a key cannot" in item.reason}
    places = [
        ("tasks", 0, "call", "headers"),
        ("context", 0, "past"),
        ("onFailure", 0, "call", "headers"),
        ("state",),
    ]
    assert found == {(*place, "${ params.n }") for place in places}
    trigger = {"name": "t", "cron": {"schedule": "@daily", "window": keyed}}
    (finding,) = check_definition(definition(triggers=[trigger]), KINDS)
    assert finding.path == ("triggers", 0, "cron", "window", "${ params.n }")
    assert finding.reason.startswith("a trigger cannot use ${ … }")


def test_a_valid_definition_has_no_findings():
    full = definition(
        task("a", forEach="${ params.list }", maxParallel=2, call={"url": "${ item }"}),
        task("b", needs=["a"], when="tasks.a.status == 'succeeded'"),
        params={"type": "object", "properties": {"list": {"type": "array"}}},
        triggers=[INTERVAL, {"name": "nightly", "cron": {"schedule": "@daily"}}],
        context=[{"name": "before", "past": {"limit": 2}}],
        rules=[{"when": "context.before.size() > 0"}],
        onFailure=[task("page", call={"url": "${ run.error }"})],
        onSuccess=[task("tell", call={"url": "${ tasks.b.output }"})],
        state={"n": "${ tasks.b.output }"},
    )
    assert check_definition(full, KINDS) == []


@pytest.mark.parametrize(
    ("wrong", "place", "reason"),
    [
        (
            {"tasks": [{"name": "a", "cal": {}}]},
            ("tasks", 0, "cal"),
            "unknown field 'cal'; did you mean 'call'?",
        ),
        (
            {"tasks": [task(need=["b"])]},
            ("tasks", 0, "need"),
            "unknown field 'need'; did you mean 'needs'?",
        ),
        (
            {"tasks": [{"name": "a"}]},
            ("tasks", 0),
            "exactly one kind is needed (call, shout, switch, tasks)",
        ),
        (
            {"tasks": [task(shout={})]},
            ("tasks", 0),
            "exactly one kind is needed (call, shout, switch, tasks); found call, shout",
        ),
        (
            {"onFailure": [{"name": "p", "xyz": {}}]},
            ("onFailure", 0, "xyz"),
            f"unknown field 'xyz'; known: {TASK_FIELDS}",
        ),
        (
            {"context": [{"name": "c", "pst": {}}]},
            ("context", 0, "pst"),
            "unknown field 'pst'; did you mean 'past'?",
        ),
        (
            {"triggers": [{"name": "t", "crom": {"schedule": "@daily"}}]},
            ("triggers", 0, "crom"),
            "unknown field 'crom'; did you mean 'cron'?",
        ),
        (
            {"triggers": [{"name": "t"}]},
            ("triggers", 0),
            "exactly one kind is needed (chain, cron, event, interval)",
        ),
    ],
)
def test_an_item_has_exactly_one_known_kind(wrong: dict[str, Any], place: Path, reason: str):
    assert found(*wrong.pop("tasks", []), **wrong) == [(place, reason)]


def test_the_finding_of_an_unknown_kind_points_at_its_key():
    (finding,) = check_definition(definition({"name": "a", "cal": {}}), KINDS)
    assert finding == Finding(
        ("tasks", 0, "cal"), "unknown field 'cal'; did you mean 'call'?", at_key=True
    )


@pytest.mark.parametrize(
    ("body", "place", "reason"),
    [
        ({"times": "many"}, ("times",), "should be a valid integer"),
        ({"times": 0}, ("times",), "should be greater than or equal to 1"),
        ({"method": "PUT"}, ("method",), "should be 'GET' or 'POST'"),
        ({"codes": []}, ("codes",), "should have at least 1 item"),
        ({"codes": [200, "x"]}, ("codes", 1), "should be a valid integer"),
        ({"urll": "/"}, ("urll",), "unknown field 'urll'; did you mean 'url'?"),
        ({"urll": "${ params.url }"}, ("urll",), "unknown field 'urll'; did you mean 'url'?"),
        ("text", (), "should be an object"),
        (None, (), "should be an object"),
        ({"times": "$${ 1 }"}, ("times",), "should be a valid integer"),
    ],
)
def test_a_body_is_checked_against_its_kind(body: Any, place: Path, reason: str):
    assert found(task(call=body)) == [(("tasks", 0, "call", *place), reason)]


@pytest.mark.parametrize(
    "body",
    [
        "${ params.request }",
        {"times": "${ params.n }"},
        {"method": "${ params.m }"},
        {"codes": "${ params.codes }"},
        {"codes": [200, "${ params.code }"]},
        {"headers": {"x": "${ params.n }"}},
        {"headers": "${ params.h }"},
    ],
)
def test_a_template_is_allowed_for_a_value_of_any_type(body: Any):
    assert found(task(call=body)) == []


def test_a_context_body_is_checked_too():
    context = [
        {"name": "a", "past": {"limit": "few"}},
        {"name": "b", "past": {"limit": "${ params.n }"}},
    ]
    assert found(context=context) == [
        (("context", 0, "past", "limit"), "should be a valid integer")
    ]


@pytest.mark.parametrize(
    ("trigger", "place", "reason"),
    [
        ({"cron": {"schedule": "0 0 31 2 *"}}, ("cron", "schedule"), "'0 0 31 2 *' never fires"),
        ({"cron": {}}, ("cron", "schedule"), "required field is missing"),
        ({"interval": {"every": "0s"}}, ("interval", "every"), "0s is too short"),
        ({"interval": "5m"}, ("interval",), "should be an object"),
        (
            {"cron": {"schedule": "${ params.when }"}},
            ("cron", "schedule"),
            "a trigger cannot use ${ … }",
        ),
    ],
)
def test_a_trigger_that_cannot_fire_is_found(trigger: dict[str, Any], place: Path, reason: str):
    ((path, found_reason),) = found(triggers=[{"name": "t", **trigger}])
    assert path == ("triggers", 0, *place)
    assert found_reason.startswith(reason)


@pytest.mark.parametrize(
    ("field", "items"),
    [
        ("triggers", [INTERVAL, {**INTERVAL, "name": "other"}, INTERVAL]),
        ("context", [{"name": name, "past": {}} for name in ("c", "d", "c")]),
        ("onFailure", [task("p"), task("q"), task("p")]),
    ],
)
def test_names_must_be_unique(field: str, items: list[dict[str, Any]]):
    assert found(**{field: items}) == [((field, 2, "name"), f"{items[0]['name']!r} is used twice")]
    assert found(**{field: items[:2]}) == []


def test_task_names_must_be_unique_over_all_lists():
    assert found(task("a"), task("a")) == [(("tasks", 1, "name"), "'a' is used twice")]
    assert found(task("a"), onFailure=[task("a")]) == [
        (("onFailure", 0, "name"), "'a' is also in tasks")
    ]
    assert found(task("a"), onFailure=[task("b")], onSuccess=[task("b")]) == [
        (("onSuccess", 0, "name"), "'b' is also in onFailure")
    ]


@pytest.mark.parametrize("phase", ["tasks", "onFailure"])
def test_a_needed_task_must_exist(phase: str):
    items = [task("score"), task("notify", needs=["score", "scoer"])]
    given = {phase: items} if phase == "onFailure" else {}
    assert found(*([] if given else items), **given) == [
        ((phase, 1, "needs", 1), "no such task: 'scoer'; did you mean 'score'?")
    ]


def test_tasks_on_failure_cannot_need_main_tasks():
    assert found(task("a"), onFailure=[task("page", needs=["a"])]) == [
        (("onFailure", 0, "needs", 0), "no such task: 'a'; known: page")
    ]


@pytest.mark.parametrize(
    ("needs", "index", "circle"),
    [
        ({"a": ["a"]}, 0, "a"),
        ({"a": [], "b": ["c"], "c": ["b"]}, 1, "b, c"),
        ({"last": ["late"], "late": ["b"], "a": ["b", "x"], "b": ["a"], "x": []}, 2, "a, b"),
        ({"a": ["c"], "b": ["a"], "c": ["b"]}, 0, "a, b, c"),
    ],
)
def test_tasks_must_not_wait_for_one_another(needs: dict[str, list[str]], index: int, circle: str):
    tasks = [task(name, needs=names) for name, names in needs.items()]
    assert found(*tasks) == [
        (("tasks", index, "needs"), f"these tasks wait for one another: {circle}")
    ]


def test_needs_in_a_diamond_are_no_circle():
    tasks = [task("d", needs=["b", "c"]), task("b", needs=["a"]), task("c", needs=["a"])]
    assert found(*tasks, task("a")) == []


@pytest.mark.parametrize(
    ("wrong", "place", "name"),
    [
        ({"rules": [{"when": "tasks.a.output"}]}, ("rules", 0, "when"), "tasks"),
        ({"context": [{"name": "c", "past": "${ tasks.a }"}]}, ("context", 0, "past"), "tasks"),
        ({"tasks": [task(call={"url": "${ item }"})]}, ("tasks", 0, "call", "url"), "item"),
        ({"tasks": [task(when="item > 1", forEach=[1])]}, ("tasks", 0, "when"), "item"),
        ({"tasks": [task(forEach=["${ item }"])]}, ("tasks", 0, "forEach", 0), "item"),
        ({"state": {"a": ["${ item }"]}}, ("state", "a", 0), "item"),
    ],
)
def test_an_expression_cannot_read_variables_out_of_scope(
    wrong: dict[str, Any], place: Path, name: str
):
    tasks = wrong.pop("tasks", [])
    assert found(*tasks, **wrong) == [(place, f"`{name}` is not available here")]


@pytest.mark.parametrize(
    ("wrong", "place"),
    [
        ({"rules": [{"when": "1 +"}]}, ("rules", 0, "when")),
        ({"tasks": [task(when="1 +")]}, ("tasks", 0, "when")),
        ({"tasks": [task(call={"url": "a ${ 1 + }"})]}, ("tasks", 0, "call", "url")),
        ({"tasks": [task(forEach="${ 1 + }")]}, ("tasks", 0, "forEach")),
        ({"onFailure": [task("p", call={"url": "${ 1 + }"})]}, ("onFailure", 0, "call", "url")),
        ({"state": {"a": "${ 1 + }"}}, ("state", "a")),
    ],
)
def test_every_expression_must_compile(wrong: dict[str, Any], place: Path):
    tasks = wrong.pop("tasks", [])
    assert [path for path, _ in found(*tasks, **wrong)] == [place]


def test_the_finding_of_an_expression_has_its_offset():
    url = "see ${ 1 + nothing }"
    (finding,) = check_definition(definition(task(call={"url": url})), KINDS)
    assert finding.offset == url.index("nothing")


@pytest.mark.parametrize("items", [[], [1, {"a": "${ params.b }"}], "${ params.list }"])
def test_for_each_takes_a_list_or_an_expression(items: Any):
    assert found(task(forEach=items, call={"url": "${ item }"})) == []


@pytest.mark.parametrize("items", ["abc", "$${ params.list }"])
def test_for_each_refuses_plain_text(items: str):
    assert found(task(forEach=items)) == [
        (("tasks", 0, "forEach"), "should be a list, or a ${ … } whose value is a list")
    ]


def test_max_parallel_needs_a_for_each():
    (finding,) = check_definition(definition(task(maxParallel=2)), KINDS)
    path = ("tasks", 0, "maxParallel")
    assert finding == Finding(path, "has no effect without forEach", at_key=True)


def test_all_findings_are_returned_at_once():
    findings = found(
        task("a", needs=["x"], call={"times": 0}),
        task("a", when="nope", maxParallel=1),
        params={"type": 5},
        rules=[{"when": "nope"}],
    )
    assert [path for path, _ in findings] == [
        ("params", "type"),
        ("tasks", 1, "name"),
        ("rules", 0, "when"),
        ("tasks", 0, "call", "times"),
        ("tasks", 1, "when"),
        ("tasks", 1, "maxParallel"),
        ("tasks", 0, "needs", 0),
    ]


def test_on_skip_tasks_read_what_a_skipped_run_has():
    url = "${ run.reason } ${ context.one } ${ tasks.a.output }"
    parts: dict[str, Any] = {
        "onSkip": [task("tell", call={"url": url})],
        "context": [{"name": "one", "past": {}}],
    }
    path = ("onSkip", 0, "call", "url")
    no_task = (path, "tasks.a has not run when the run is skipped")
    assert found(task("a"), **parts) == [no_task], "after a rule, the context is known"
    for gate in ({"concurrency": {"policy": "skip"}}, {"throttle": {"limit": 1, "per": "1h"}}):
        (no_context, other) = found(task("a"), **parts, **gate)
        assert other == no_task
        assert no_context[1].startswith("context.one is not looked up when concurrency or a")
    kinds = Kinds({**KINDS.tasks, "stop": StopBody}, KINDS.contexts)
    halt = {"name": "halt", "needs": ["a"], "stop": {"status": "skipped"}}
    assert check_definition(definition(task("a"), halt, **parts), kinds) == []
    page = [task("page", call={"url": "${ tasks.tell.output }"})]
    assert found(task("a"), **{**parts, "onSkip": [task("tell")]}, onFailure=page) == [
        (("onFailure", 0, "call", "url"), "tasks.tell runs only when the run is skipped")
    ]
