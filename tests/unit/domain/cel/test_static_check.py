import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from activityctl.domain.cel.expression import check_expression, evaluate
from activityctl.domain.cel.static_check import check_meaning
from activityctl.domain.cel.static_type import ANY_TYPE, closed_map, params_type, type_of_kind
from activityctl.domain.manifests.checks import Kinds, check_definition
from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.manifests.outcome_types import OUTCOME
from activityctl.domain.manifests.scope import RUN, TRIGGER
from activityctl.domain.manifests.task_template import TaskTemplate
from activityctl.domain.runs.outcomes import Outcomes
from activityctl.domain.runs.scope import run_scope
from activityctl.domain.runs.task_rows import TaskRows
from activityctl.domain.values.model import Manifest
from activityctl.errors import ExpressionError


class Say(Manifest):
    """A kind of task and of context that accepts any text."""

    text: Any = Field(default=None)


KINDS = Kinds({"say": Say}, {"look": Say})
PARAMS: dict[str, Any] = {
    "type": "object",
    "required": ["name"],
    "properties": {
        "name": {"type": "string"},
        "count": {"type": "integer"},
        "ratio": {"type": "number"},
        "flag": {"type": "boolean"},
        "maybe": {"type": ["string", "null"]},
        "tags": {"type": "array", "items": {"type": "string"}},
        "who": {"type": "object", "properties": {"mail": {"$ref": "#/$defs/mail"}}},
        "free": {"type": "object", "additionalProperties": {"type": "integer"}},
        "any": {},
    },
    "$defs": {"mail": {"type": "object", "properties": {"host": {"type": "string"}}}},
}


def task(name: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "say": {}, **fields}


def problems(**fields: Any) -> list[tuple[str, int | None, str]]:
    document = {"params": PARAMS, "tasks": [task("a")], **fields}
    spec = DefinitionSpec.model_validate_json(json.dumps(document))
    return [
        (".".join(map(str, finding.path)), finding.offset, finding.reason)
        for finding in check_definition(spec, KINDS)
    ]


def rule_problems(source: str) -> list[tuple[int | None, str]]:
    context = [{"name": "before", "look": {}}, {"name": "my-past", "look": {}}]
    return [
        (offset, reason)
        for _, offset, reason in problems(context=context, rules=[{"when": source}])
    ]


@pytest.mark.parametrize(
    ("source", "wrong", "reason"),
    [
        ("params.nmae == 'x'", "nmae", "`params` has no `nmae`; did you mean `name`?"),
        ("params['nmae'] == 'x'", "'nmae'", "`params` has no `nmae`; did you mean `name`?"),
        ("'é😀' + params.nmae == ''", "nmae", "`params` has no `nmae`; did you mean `name`?"),
        ("has(params.nmae)", "nmae", "`params` has no `nmae`; did you mean `name`?"),
        (
            "params.zzz == 1",
            "zzz",
            "`params` has no `zzz`; declare it in the params schema",
        ),
        ("params.who.mial == 1", "mial", "`params.who` has no `mial`; did you mean `mail`?"),
        (
            "params.who.mail.hots == ''",
            "hots",
            "`params.who.mail` has no `hots`; did you mean `host`?",
        ),
        ("params.name.size == 1", "size", "`params.name` is a string; it has no field `size`"),
        ("context.befor == 1", "befor", "`context` has no `befor`; did you mean `before`?"),
        ("run.eror == ''", "eror", "`run` has no `eror`; did you mean `error`?"),
        ("trigger.dueat == ''", "dueat", "`trigger` has no `dueat`; did you mean `dueAt`?"),
        ("{'a': 1}.b == 1", "b ==", "this value has no `b`; it has a"),
        (
            "params.tags.exists(t, t == params.nmae)",
            "nmae",
            "`params` has no `nmae`; did you mean `name`?",
        ),
        ("params.tags.all(t, t.x)", "x)", "`t` is a string; it has no field `x`"),
    ],
)
def test_a_field_that_does_not_exist_is_found_with_its_offset(source: str, wrong: str, reason: str):
    assert rule_problems(source) == [(source.index(wrong), reason)]


@pytest.mark.parametrize(
    "source",
    [
        "params.name == 'x' && has(params.count)",
        "params.who.mail.host == ''",
        "params.free.whatever == 1",
        "params.any.thing == 1",
        "params.tags[0] == 'a'",
        "params.tags.exists(name, name == params.name)",
        "params.tags.map(t, t.upperAscii()).join() == ''",
        "context.before.anything == 1",
        "context['my-past'].size() > 0",
        "run.startedAt == null || trigger.payload.x == 1",
        "event.data.deep.field == 1",
        "has(state.count) ? state.count > 1 : true",
    ],
)
def test_a_field_that_may_exist_is_accepted(source: str):
    assert rule_problems(source) == []


def test_all_problems_of_an_expression_are_found():
    assert len(rule_problems("params.nmae == run.eror || params.cuont == 1")) == 3


def test_an_expression_cannot_read_params_of_a_definition_without_params():
    (problem,) = problems(params={}, rules=[{"when": "params.x == 1"}])
    assert problem == (
        "rules.0.when",
        7,
        "`params` has no `x`; the definition has no params",
    )


@pytest.mark.parametrize(
    ("schema", "exists"),
    [
        ({"type": "object"}, True),
        ({"type": "object", "additionalProperties": False}, False),
        ({"type": "object", "properties": {"y": {}}}, False),
        ({"type": "object", "properties": {"y": {}}, "additionalProperties": True}, True),
        ({"properties": {"y": {}}, "patternProperties": {"^x": {}}}, True),
        ({"allOf": [{"properties": {"x": {}}}]}, True),
        ({"anyOf": [{"properties": {"x": {}}}, {"properties": {"y": {}}}]}, True),
        ({"if": {}, "then": {"properties": {"x": {}}}}, True),
        ({"$ref": "#/$defs/p", "$defs": {"p": {"properties": {"x": {}}}}}, True),
        ({"$ref": "#/$defs/p", "$defs": {"p": {"properties": {"y": {}}}}}, False),
        ({"$ref": "#p", "$defs": {"p": {"$anchor": "p", "properties": {"y": {}}}}}, True),
        ({"dependentSchemas": {"y": {"properties": {"x": {}}}}}, True),
    ],
)
def test_a_param_exists_if_the_schema_allows_it(schema: dict[str, Any], exists: object):
    assert params_type(schema).cannot_have("x") is not exists


def test_a_recursive_schema_ends():
    grown = {
        f"d{n}": {"properties": {k: {"$ref": f"#/$defs/d{n + 1}"} for k in "ab"}} for n in range(60)
    }
    schema = {"$ref": "#/$defs/d0", "properties": {"me": {"$ref": "#"}}, "$defs": grown}
    assert not params_type({**schema, "$defs": {**grown, "d60": {}}}).cannot_have("me")
    loop = {"$ref": "#/$defs/l", "$defs": {"l": {"allOf": [{"$ref": "#/$defs/l"}]}}}
    assert not params_type(loop).cannot_have("x")


def test_a_task_may_read_only_tasks_that_it_needs():
    tasks = [
        task("score"),
        task("review", needs=["score"]),
        task("far", needs=["review"], when="tasks.score.status == 'succeeded'"),
        task("near", when="tasks.score.status == 'succeeded'"),
        task("own", say={"text": "${ tasks.own.output }"}),
        task("early", when="tasks.late.output == 1"),
        task("late", needs=["early"]),
        task("typo", needs=["score"], when="tasks.scroe.output == 1"),
        task("field", needs=["score"], when="tasks.score.outptu == 1"),
    ]
    assert problems(tasks=tasks) == [
        ("tasks.3.when", 6, "tasks.score is read but not needed: add score to needs"),
        ("tasks.4.say.text", 9, "tasks.own is the task itself, which has not run yet"),
        ("tasks.5.when", 6, "tasks.late runs after early, because it needs early"),
        ("tasks.7.when", 6, "`tasks` has no `scroe`; did you mean `score`?"),
        ("tasks.8.when", 12, "`tasks.score` has no `outptu`; did you mean `output`?"),
    ]


def test_failure_tasks_may_read_main_tasks_and_tasks_that_they_need():
    on_failure = [
        task("page", say={"text": "${ tasks.a.error } ${ run.error }"}),
        task("then", needs=["page"], when="tasks.page.status == 'succeeded'"),
        task("other", when="tasks.page.status == 'succeeded'"),
    ]
    tasks = [task("a"), task("b", when="tasks.page.output == 1")]
    assert problems(tasks=tasks, onFailure=on_failure) == [
        ("tasks.1.when", 6, "tasks.page runs only when the run fails"),
        ("onFailure.2.when", 6, "tasks.page is read but not needed: add page to needs"),
    ]


def test_tasks_of_one_phase_may_not_read_those_of_another_but_the_main_ones():
    page = task("page", say={"text": "${ tasks.tell.output }"})
    tell = task("tell", say={"text": "${ run.reason } ${ tasks.a.output } ${ tasks.page.output }"})
    assert problems(tasks=[task("a")], onFailure=[page], onSuccess=[tell]) == [
        ("onFailure.0.say.text", 9, "tasks.tell runs only when the run has succeeded"),
        ("onSuccess.0.say.text", 45, "tasks.page runs only when the run fails"),
    ]


def test_state_may_read_every_task():
    assert problems(state={"n": "${ tasks.a.output }"}) == []
    (problem,) = problems(state={"n": "${ tasks.b.output }"})
    assert problem == ("state.n", 9, "`tasks` has no `b`; no such task is declared")


def test_the_output_of_a_for_each_task_is_a_list():
    tasks = [
        task("many", forEach=[1, 2]),
        task("b", needs=["many"], when="tasks.many.output.risk > 1"),
        task("c", needs=["many"], when="tasks.many.output[0].risk > 1"),
    ]
    reason = "`tasks.many.output` is a list or null; it has no field `risk`"
    assert problems(tasks=tasks) == [("tasks.1.when", 18, reason)]


def test_context_may_read_only_earlier_context():
    context = [
        {"name": "one", "look": {"text": "${ context.two }"}},
        {"name": "two", "look": {"text": "${ context.one }"}},
    ]
    reason = "context.two is looked up later; move it above this one"
    assert problems(context=context) == [("context.0.look.text", 11, reason)]


@pytest.mark.parametrize(
    "source", ["tasks.my-run.output == 1", "tasks.my-run == 1", "tasks.my-run.output - 1 > 0"]
)
def test_a_name_with_a_hyphen_goes_in_brackets(source: str):
    tasks = [task("my-run"), task("b", needs=["my-run"], when=source)]
    reason = "a name with a hyphen goes in brackets: tasks['my-run']"
    assert problems(tasks=tasks) == [("tasks.1.when", 6, reason)]
    both = [task("my"), task("my-run"), task("b", needs=["my", "my-run"], when=source)]
    assert problems(tasks=both) == [("tasks.2.when", 6, reason)]


@pytest.mark.parametrize(
    "source",
    ["params.rows.exists(row, row.order-run > 3)", "params.rows.map(row, row.order-run)[0] > 1"],
)
def test_a_field_with_a_hyphen_of_a_loop_variable_goes_in_brackets(source: str):
    fields = {"order-run": {"type": "integer"}, "order": {"type": "string"}}
    for known in (fields, {"order-run": fields["order-run"]}):
        rows = {"type": "array", "items": {"type": "object", "properties": known}}
        schema = {"type": "object", "properties": {"rows": rows}}
        reason = "a name with a hyphen goes in brackets: row['order-run']"
        found = problems(params=schema, tasks=[task("a", when=source)])
        assert found == [("tasks.0.when", source.index("order-run"), reason)]


def test_the_static_scope_has_the_fields_of_a_run():
    from activityctl.domain.runs.run import Run, TaskInstance, TaskStatus

    fields = dict.fromkeys(Run.__dataclass_fields__)
    now = datetime(2026, 1, 1, tzinfo=UTC)
    run = Run(**{**fields, "due_at": now, "started_at": now, "events": ()})
    scope = run_scope(run, now)
    assert set(scope["run"]) == set(RUN.fields)
    assert set(scope["trigger"]) == set(TRIGGER.fields)
    blank = dict.fromkeys(TaskInstance.__dataclass_fields__)
    done = TaskInstance(**{**blank, "status": TaskStatus.SUCCEEDED, "attempts": 1})
    template = TaskTemplate.model_validate({"name": "a", "http": {}})
    assert set(Outcomes(TaskRows([])).of_instance(template, done)) == set(OUTCOME.fields)


@pytest.mark.parametrize(
    ("source", "offset", "reason"),
    [
        ("params.count > 'a'", 13, "`>` does not take (int, string)"),
        ("params.tags.all(t, t > 1)", 21, "`>` does not take (string, int)"),
        (
            "params.count + 1.5 > 2.0",
            13,
            "`+` does not take (int, double); convert one side with double() or int()",
        ),
        ("params.flag || params.name", 12, "`||` takes only bools"),
        ("!params.name", 0, "`!` takes only bools"),
        ("'a' in params.name", 4, "`in` does not take (string, string)"),
        ("now > params.name", 4, "`>` does not take (timestamp, string)"),
        ("params.name ? true : false", 12, "the condition before `?` is not a bool"),
        ("params.count.exists(x, x)", 6, "only lists and maps can be iterated over"),
        (
            "params.count == '5'",
            13,
            "a number and a string are never equal; this is always false",
        ),
        (
            "params.flag != 'x'",
            12,
            "true or false and a string are never equal; this is always true",
        ),
        ("'yes'", 0, "the result is a string, not true or false"),
        ("params.count + 1", 0, "the result is a number, not true or false"),
        ("params.tags", 0, "the result is a list, not true or false"),
        ("params.flag ? 'a' : 'b'", 0, "the result is a string, not true or false"),
    ],
)
def test_types_that_do_not_fit_are_found(source: str, offset: int, reason: str):
    assert rule_problems(source) == [(offset, reason)]


@pytest.mark.parametrize(
    "source",
    [
        "params.count > 1.5",
        "params.ratio + 1.5 > 1.0",
        "params.ratio * 2 > 1",
        "params.count == '18446744073709551616'",
        "params.maybe == null || params.maybe > 'a'",
        "params.name == null",
        "params.any > 'a' || params.any + 1 == 2",
        "params.flag ? params.flag : params.any",
        "params.any",
        "now - timestamp('2026-01-01T00:00:00Z') > duration('1h')",
        "'a' in params.tags && 'k' in params.who",
        "size(params.tags) > 2 && params.name.size() > 1",
        "params.tags == []",
    ],
)
def test_types_that_may_fit_are_accepted(source: str):
    assert rule_problems(source) == []


@pytest.mark.parametrize(("items", "is_right"), [("params.tags", True), ("params.name", False)])
def test_for_each_needs_a_list(items: str, is_right: object):
    reported = problems(tasks=[task("a", forEach=f"${{ {items} }}")])
    assert reported == (
        [] if is_right else [("tasks.0.forEach", 2, "the result is a string, not a list")]
    )


def test_a_broken_expression_is_reported_once():
    assert [offset for offset, _ in rule_problems("params. > ")] == [8]
    assert problems(tasks=[task("a", say={"text": "${ parms.x } ${ params.nmae }"})]) == [
        ("tasks.0.say.text", 3, "unknown name `parms`; did you mean `params`?"),
        ("tasks.0.say.text", 23, "`params` has no `nmae`; did you mean `name`?"),
    ]


VALUES: dict[str, Any] = {"i": 3, "d": 1.5, "s": "x", "b": True, "l": [1], "m": {"k": 1}, "n": None}
KNOWN = {
    "i": type_of_kind("int"),
    "d": type_of_kind("double"),
    "s": type_of_kind("string"),
    "b": type_of_kind("bool"),
    "l": type_of_kind("list"),
    "m": closed_map({"k": type_of_kind("int")}),
    "n": type_of_kind("null"),
}
OPERANDS = st.sampled_from(
    [f"params.{name}" for name in VALUES] + ["1", "2.5", "'t'", "true", "[]"]
)
ARITHMETIC = st.sampled_from(["+", "-", "*", "/", "%", "<", ">="])
LOGIC = st.sampled_from(["&&", "||"])
"""These operators may not evaluate their second operand, so wrong types may not fail."""


@given(OPERANDS, ARITHMETIC, OPERANDS)
def test_an_expression_that_is_refused_for_its_types_fails(left: str, operator: str, right: str):
    source = f"{left} {operator} {right}"
    if check_expression(source) is not None or not check_meaning(
        source, {"params": closed_map(KNOWN)}
    ):
        return
    with pytest.raises(ExpressionError):
        evaluate(source, {"params": VALUES})


@given(OPERANDS, ARITHMETIC | LOGIC, OPERANDS)
def test_an_expression_that_fails_for_its_types_is_refused(left: str, operator: str, right: str):
    source = f"{left} {operator} {right}"
    try:
        evaluate(source, {"params": VALUES})
    except ExpressionError as error:
        if "does not take" in error.message or "takes only" in error.message:
            assert check_meaning(source, {"params": closed_map(KNOWN)}), source


def test_names_that_are_not_available_are_found():
    assert check_meaning("item == 1", {"params": ANY_TYPE})[0].reason.startswith("`item`")
