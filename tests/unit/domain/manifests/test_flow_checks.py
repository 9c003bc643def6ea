"""What `validate` says of groups, choices, loops, undo tasks and early ends."""

import json
from typing import Any

import pytest
from pydantic import BaseModel

from activityctl.domain.manifests.checks import Kinds, check_definition
from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.tasks.engine_kinds import ENGINE_KINDS
from activityctl.domain.values.model import WRITTEN


class AnyBody(BaseModel, extra="allow"):
    """Takes any fields."""


ALL_KINDS = sorted(["say", "switch", "tasks", *ENGINE_KINDS])
KINDS = Kinds({"say": AnyBody, **ENGINE_KINDS}, {})


def found(*tasks: dict[str, Any], **fields: Any) -> list[tuple[str, str]]:
    document = json.dumps({"tasks": list(tasks), **fields})
    spec = DefinitionSpec.model_validate_json(document, context=WRITTEN)
    findings = check_definition(spec, KINDS)
    return [(".".join(map(str, finding.path)), finding.reason) for finding in findings]


def task(name: str, text: str = "hello", **fields: Any) -> dict[str, Any]:
    return {"name": name, "say": {"text": text}, **fields}


def group(name: str, *tasks: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"name": name, "tasks": list(tasks), **fields}


def switch(name: str, *cases: tuple[str, list[Any]], default: list[Any] | None = None) -> Any:
    listed = [{"when": when, "tasks": tasks} for when, tasks in cases]
    return {"name": name, "switch": {"cases": listed, "default": default or []}}


PARAMS = {"type": "object", "properties": {"n": {"type": "integer"}}}


def test_a_whole_tree_without_a_fault():
    tree = group(
        "g",
        task("a", "${ item }"),
        switch("s", ("params.n > 1", [task("b", "${ tasks.a.output }")]), default=[task("c")]),
        forEach=[1, 2],
        undo=[task("u", "${ tasks.g.output.a }")],
    )
    tree["tasks"][1]["needs"] = ["a"]
    loop = task("l", "${ size(tasks.l.rounds) }", repeat={"max": 3, "until": "tasks.l.output == 1"})
    last = task("z", "${ tasks.g.output }", needs=["g", "l"])
    assert found(tree, loop, last, params=PARAMS) == []


def test_until_reads_fields_of_a_round_and_the_task_itself_must_test_them():
    repeat = {"max": 3, "until": "tasks.l.output.state == 'done'"}
    assert found(task("l", repeat=repeat)) == []
    inner = {"max": 3, "until": "tasks.l.output.a.state == 'done'"}
    assert found(group("l", task("a"), repeat=inner)) == []
    sometimes = group("l", task("a", when="params.n > 1"), repeat=inner)
    assert "a may not have run" in str(found(sometimes, params=PARAMS))
    first = task("l", "${ tasks.l.output.stdout }", repeat={"max": 3})
    assert "l may not have run" in str(found(first))


@pytest.mark.parametrize(
    ("tasks", "place", "reason"),
    [
        (
            [group("g", task("a", needs=["x"]))],
            "tasks.0.tasks.0.needs.0",
            "no such task: 'x'; known: a",
        ),
        (
            [task("o"), group("g", task("a", needs=["o"]))],
            "tasks.1.tasks.0.needs.0",
            "o is outside of g: let g need it",
        ),
        (
            [group("g", task("a", needs=["g"]))],
            "tasks.0.tasks.0.needs.0",
            "a is in g, so it cannot wait for it",
        ),
        (
            [group("g", task("a")), task("b", needs=["a"])],
            "tasks.1.needs.0",
            "a is in g: need g",
        ),
        (
            [group("g", task("a", needs=["b"]), task("b", needs=["a"]))],
            "tasks.0.tasks.0.needs",
            "these tasks wait for one another: a, b",
        ),
        (
            [task("a"), group("g", task("a"))],
            "tasks.1.tasks.0.name",
            "'a' is also the name of a task around g; expressions could not tell them apart",
        ),
        (
            [switch("s", ("params.n > 1", [task("a")]), default=[task("a")])],
            "tasks.0.switch.default.0.name",
            "'a' is used twice in s",
        ),
        (
            [switch("s", ("true", [task("a")]), ("params.n > 1", [task("b")]))],
            "tasks.0.switch.cases.1.when",
            "is never chosen: case 1 above it is always true",
        ),
        (
            [switch("s", ("1 > 2", [task("a")]))],
            "tasks.0.switch.cases.0.when",
            "is never chosen: it is always false",
        ),
        (
            [switch("s", ("params.n > 1", [task("a")]), ("params.n  > 1", [task("b")]))],
            "tasks.0.switch.cases.1.when",
            "is never chosen: case 1 has the same condition",
        ),
        (
            [switch("s", ("true", [task("a")]), default=[task("b")])],
            "tasks.0.switch.default",
            "never runs: a case above it is always true",
        ),
        (
            [{"name": "s", "stop": {}}, task("b", needs=["s"])],
            "tasks.1.needs.0",
            "never runs: s ends the run",
        ),
        (
            [group("g", task("a"), timeout={"startToClose": "1s"})],
            "tasks.0.timeout",
            "has no effect on a task with tasks in it: write it at these tasks",
        ),
        (
            [task("a", undo=[task("u", undo=[task("v")])])],
            "tasks.0.undo.0.undo",
            "has no effect here: only what the main tasks have done is undone",
        ),
        (
            [{"name": "v", "value": 1, "repeat": {"max": 2, "delay": "1s"}}],
            "tasks.0.repeat.delay",
            "has no effect on value: repeat a group that has it",
        ),
        (
            [task("a", tasks=[task("b")])],
            "tasks.0",
            f"exactly one kind is needed ({', '.join(ALL_KINDS)}); found say, tasks",
        ),
    ],
)
def test_a_fault_is_said_at_its_place(tasks: list[Any], place: str, reason: str):
    assert (place, reason) in found(*tasks, params=PARAMS)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("tasks.a.output", "tasks.a is a task in s: need s and read tasks.s.tasks.a"),
        ("tasks.s.output.a.x", "a may not have run, or may have failed"),
        ("tasks.s.tasks.a.output.x", "a may not have run, or may have failed"),
        ("tasks.s.output.zz", "`tasks.s.output` has no `zz`"),
        ("tasks.s.output.a != null ? tasks.s.output.a.x : 0", None),
        ("tasks.s.tasks.a.status == 'succeeded' ? tasks.s.output.a.x : 0", None),
        ("has(tasks.s.output.a.x)", "a may not have run, or may have failed"),
        ("tasks.s.output.a", None),
    ],
)
def test_what_may_not_have_run_is_tested_before_its_fields_are_read(text: str, reason: str | None):
    choice = switch("s", ("params.n > 1", [task("a")]))
    reasons = [
        found_reason
        for _, found_reason in found(
            choice, task("z", f"${{ {text} }}", needs=["s"]), params=PARAMS
        )
    ]
    assert [text for text in reasons if reason is None or not text.startswith(reason)] == []
    assert bool(reasons) == (reason is not None)


def test_a_condition_around_it_counts_as_the_test():
    soft = task("a", continueOnError=True)
    read = "${ tasks.a.output.x }"
    assert found(soft, task("z", read, needs=["a"])) != []
    tested = {"when": "tasks.a.status == 'succeeded'", "needs": ["a"]}
    assert found(soft, task("z", read, **tested)) == []
    assert found(soft, group("g", task("z", read), **tested)) == []


READ = "${ tasks.b.output.x }"
IN_GROUP = "${ tasks.b.output.x.y }"
TESTED = "${ tasks.b.output != null ? tasks.b.output.x : 'none' }"


@pytest.mark.parametrize("phase", ["onFailure", "onSuccess", "onSkip"])
def test_after_the_main_tasks_an_output_that_may_be_null_is_tested_first(phase: str):
    ends = {"name": "end", "stop": {"status": "skipped"}, "when": "params.n > 2"}
    main = [ends, task("a"), task("b", needs=["a"], when="params.n > 1")]
    ((place, reason),) = found(*main, params=PARAMS, **{phase: [task("page", READ)]})
    assert place == f"{phase}.0.say.text"
    assert reason == (
        "b may not have run, or may have failed without an output; its output is null then: "
        "write tasks.b.output != null ? … : …"
    )
    when = {"when": "tasks.b.status == 'succeeded'"}
    sound = task("p", TESTED), task("p", READ, **when), group("g", task("p", READ), **when)
    for page in sound:
        assert found(*main, params=PARAMS, **{phase: [page]}) == []


def test_on_failure_any_task_may_have_no_output_but_on_success_only_some():
    main = [task("a", continueOnError=True), task("b", needs=["a"])]
    assert found(*main, onFailure=[task("page", READ)]) != []
    assert found(*main, onSuccess=[task("page", READ)]) == []
    assert found(*main, state={"x": READ}) == [], "b runs also if a fails, which it may"


@pytest.mark.parametrize(("phase", "status"), [("onSuccess", "succeeded"), ("onSkip", "skipped")])
def test_only_what_a_stop_needs_has_an_output_for_certain_after_it(phase: str, status: str):
    stop = {"name": "s", "stop": {"status": status}, "when": "params.n > 1"}
    after, reads = {**stop, "needs": ["b"]}, {phase: [task("page", READ)], "params": PARAMS}
    assert found(stop, task("b"), **reads) != []
    assert found(after, task("b"), **reads) == []
    assert found(group("b", stop, task("x")), **{**reads, phase: [task("p", IN_GROUP)]}) != []


def test_a_rule_that_skips_the_run_leaves_out_every_task():
    stop = {"name": "s", "stop": {"status": "skipped"}, "needs": ["b"]}
    rules = [{"when": "params.n > 1"}]
    reads = {"onSkip": [task("page", READ)], "params": PARAMS}
    assert found(task("b"), stop, **reads) == []
    assert found(task("b"), stop, rules=rules, **reads) != []


def test_a_state_that_reads_what_may_be_skipped_is_an_error():
    state = {"last": "${ tasks.a.output.x }"}
    assert found(task("a", when="params.n > 1"), state=state, params=PARAMS) != []
    assert found(task("a"), state=state) == []


def test_tasks_of_other_cases_cannot_be_read():
    reads = task("b", "${ tasks.a.output }")
    ((place, reason),) = found(
        switch("s", ("params.n > 1", [task("a")]), default=[reads]), params=PARAMS
    )
    assert place == "tasks.0.switch.default.0.say.text"
    assert reason == "tasks.a is in another case, which never runs together with this one"
