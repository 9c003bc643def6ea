from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from activityctl.domain.manifests.task_template import MAX_FOR_EACH_ITEMS
from activityctl.domain.runs.advance import advance, resume
from activityctl.domain.runs.run import (
    Decision,
    Run,
    RunEnd,
    RunState,
    RunStatus,
    TaskStatus,
    address_of,
)
from activityctl.domain.runs.run_change import change_task, run_change, with_tasks
from activityctl.domain.runs.stopping import Stop, stop
from support.advancing import (
    NOW,
    applied,
    begun,
    ended,
    startable,
    statuses,
    task,
    task_of,
)


def test_a_task_waits_for_what_it_needs_and_the_others_start_at_once():
    state = begun(task("c", needs=["a", "b"]), task("a"), task("b"), task("d", needs=["c"]))
    assert startable(state) == ["a", "b"]
    state = ended(state, "b")
    assert startable(state) == ["a"]
    state = ended(state, "a")
    assert startable(state) == ["c"]
    state = ended(ended(state, "c"), "d")
    assert state.run.status is RunStatus.SUCCEEDED
    assert (state.run.ended_at, state.run.reason) == (NOW, None)


def test_a_task_sees_the_outputs_of_earlier_tasks():
    state = begun(
        task("a"),
        task("b", needs=["a"], say={"got": "${ tasks.a.output.n + 1 }", "as": tasks_seen("a")}),
    )
    state = ended(state, "a", output={"n": 1})
    assert task_of(state, "b").input == {"got": 2, "as": "succeeded after 1"}


def tasks_seen(name: str) -> str:
    return f"${{ tasks.{name}.status }} after ${{ tasks.{name}.attempts }}"


def test_expressions_see_the_run_its_params_its_trigger_and_the_time():
    seen = {
        "run": "${ run.id }",
        "params": "${ params.n }",
        "trigger": "${ trigger.name } ${ trigger.firingKey } ${ trigger.dueAt }",
        "payload": "${ trigger.payload.p }",
        "context": "${ context.c }",
        "state": "${ state.s }",
        "now": "${ now }",
    }
    maps = {"params": {"n": 1}, "payload": {"p": 2}, "context": {"c": 3}, "state": {"s": 4}}
    state = begun(task("a", say=seen), run=maps)
    assert task_of(state, "a").input == {
        "run": state.run.id,
        "params": 1,
        "trigger": "manual key 2026-05-01T12:00:00Z",
        "payload": 2,
        "context": 3,
        "state": 4,
        "now": "2026-05-01T12:00:00Z",
    }


def test_a_false_condition_skips_the_task_and_those_that_need_it():
    state = begun(
        task("a", when="params.go"),
        task("b", needs=["a"]),
        task("c"),
        run={"params": {"go": False}},
    )
    assert statuses(state) == {"a": "skipped", "b": "skipped", "c": "pending"}
    assert task_of(state, "a").reason == "when is false: params.go"
    assert task_of(state, "b").reason == "needs a, which was skipped"
    assert ended(state, "c").run.status is RunStatus.SUCCEEDED


def test_a_condition_that_is_not_a_bool_fails_the_task():
    state = begun(task("a", when="1"))
    assert task_of(state, "a").error == "the condition returned the number 1, not true or false"
    assert state.run.status is RunStatus.FAILED


def test_for_each_makes_one_instance_for_each_item_in_order():
    state = begun(
        task("a", forEach=["x", {"k": "y"}, 3], say="${ item }"),
        task("b", needs=["a"], say="${ tasks.a.output }"),
    )
    assert [(address_of(item), item.of, item.input) for item in state.tasks] == [
        ("a[0]", 3, "x"),
        ("a[1]", 3, {"k": "y"}),
        ("a[2]", 3, 3),
    ]
    for index in (2, 0, 1):
        state = ended(state, f"a[{index}]", output=f"out {index}")
    assert task_of(state, "b").input == ["out 0", "out 1", "out 2"]


def test_max_parallel_limits_how_many_items_start():
    state = begun(task("a", forEach=[0, 1, 2, 3], maxParallel=2))
    assert startable(state) == ["a[0]", "a[1]"]
    state = ended(state, "a[1]")
    assert startable(state) == ["a[0]", "a[2]"]
    assert startable(ended(state, "a[0]")) == ["a[2]", "a[3]"]


def test_for_each_without_items_counts_as_succeeded():
    state = begun(
        task("a", forEach="${ params.list }"),
        task("b", needs=["a"], say="${ tasks.a }"),
        run={"params": {"list": []}},
    )
    assert (task_of(state, "a").status, task_of(state, "a").reason) == (
        "skipped",
        "forEach has no items",
    )
    assert task_of(state, "b").input == {
        "status": "succeeded",
        "output": [],
        "error": None,
        "attempts": 0,
        "items": [],
    }
    assert ended(state, "b").run.status is RunStatus.SUCCEEDED


@pytest.mark.parametrize(
    ("value", "type_name"),
    [
        (None, "null"),
        (True, "a boolean"),
        (1.5, "a number"),
        ("x", "a string"),
        ({"a": [1]}, "a map"),
    ],
)
def test_for_each_over_something_else_fails_with_the_type(value: Any, type_name: str):
    state = begun(task("a", forEach="${ params.list }"), run={"params": {"list": value}})
    assert task_of(state, "a").error == f"forEach gave {type_name}, not a list"
    assert state.run.reason == f"task a failed: forEach gave {type_name}, not a list"


def test_for_each_has_a_limit():
    most = list(range(MAX_FOR_EACH_ITEMS))
    assert len(begun(task("a", forEach=most)).tasks) == MAX_FOR_EACH_ITEMS
    state = begun(task("a", forEach=[*most, 0]))
    assert task_of(state, "a").error == "forEach gave 10001 items; the limit is 10000"


def test_without_max_parallel_twenty_items_start():
    assert len(startable(begun(task("a", forEach=list(range(30)))))) == 20


def test_all_items_of_a_kind_that_needs_no_worker_wait_at_once():
    each = {"name": "a", "forEach": list(range(120)), "wait": {"for": "1h"}}
    state = begun(each)
    assert {item.status for item in state.tasks} == {TaskStatus.WAITING}
    assert {item.lane for item in state.tasks} == {None}


def test_of_a_large_for_each_only_the_first_instance_of_each_lane_is_started():
    state = begun(task("a", forEach=list(range(120)), maxParallel=2), task("b", needs=["a"]))
    assert startable(state) == ["a[0]", "a[1]"]
    assert [item.lane for item in state.tasks[:3]] == [state.tasks[0].id, state.tasks[1].id, None]
    assert startable(ended(state, "a[0]")) == ["a[1]"]


def test_an_error_in_an_input_fails_only_that_instance():
    state = begun(task("a", forEach=[{"n": 1}, {}, {"n": 3}], say="${ item.n }"))
    assert statuses(state) == {"a[0]": "pending", "a[1]": "failed", "a[2]": "pending"}
    assert task_of(state, "a[1]").error == "no such key: 'n', in item.n"
    state = ended(ended(state, "a[0]"), "a[2]")
    assert state.run.reason == "task a[1] failed: no such key: 'n', in item.n"


def test_independent_tasks_continue_when_one_fails():
    state = begun(task("a"), task("b", needs=["a"]), task("c", needs=["b"]), task("d"))
    state = ended(state, "a", error="exit code 1")
    assert statuses(state) == {"a": "failed", "b": "skipped", "c": "skipped", "d": "pending"}
    assert task_of(state, "b").reason == "needs a, which failed"
    assert task_of(state, "c").reason == "needs b, which was skipped"
    assert not state.run.has_ended
    state = ended(state, "d")
    assert (state.run.status, state.run.reason) == (
        RunStatus.FAILED,
        "task a failed: exit code 1",
    )


def test_on_failure_tasks_see_the_error_and_every_task():
    seen = {"error": "${ run.error }", "a": tasks_seen("a"), "why": "${ tasks.a.error }"}
    state = begun(
        task("a"),
        task("b", needs=["a"]),
        onFailure=[task("page", say=seen), task("then", needs=["page"], say="${ tasks.b.status }")],
    )
    state = ended(state, "a", error="boom")
    assert (state.run.status, state.run.ending) == (RunStatus.RUNNING, RunStatus.FAILED)
    assert startable(state) == ["page"]
    assert task_of(state, "page").input == {
        "error": "task a failed: boom",
        "a": "failed after 1",
        "why": "boom",
    }
    state = ended(state, "page")
    assert task_of(state, "then").input == "skipped"
    state = ended(state, "then", error="the pager is down")
    assert (state.run.status, state.run.ending) == (RunStatus.FAILED, None)
    first, then = "task a failed: boom", "onFailure task then failed: the pager is down"
    assert state.run.reason == f"{first}; {then}"


def test_a_run_that_succeeds_stores_its_state():
    state = begun(task("a"), state={"n": "${ state.n + 1 }"}, run={"state": {"n": 1}})
    state = with_tasks(state, replace(task_of(state, "a"), status=TaskStatus.SUCCEEDED))
    decision = advance(state, NOW)
    assert (decision.end, decision.keep_state) == (RunEnd(RunStatus.SUCCEEDED), {"n": 2})
    failed = with_tasks(state, replace(task_of(state, "a"), status=TaskStatus.FAILED, error="no"))
    assert advance(failed, NOW).end == RunEnd(RunStatus.FAILED, "task a failed: no")


def test_without_a_state_in_the_definition_the_stored_one_stays():
    state = begun(task("a", when="false"))
    assert run_change(state.run, Decision(), NOW).keep_state is None
    assert advance(replace(state, run=running(state)), NOW).end == RunEnd(RunStatus.SUCCEEDED)


def running(state: RunState) -> Run:
    return replace(state.run, status=RunStatus.RUNNING, ended_at=None)


def test_a_state_that_cannot_be_evaluated_fails_the_run():
    state = begun(task("a", when="false"), state={"n": "${ state.n }"}, onFailure=[task("page")])
    assert (state.run.ending, startable(state)) == (RunStatus.FAILED, ["page"])
    assert ended(state, "page").run.reason == "state: no such key: 'n', in state.n"


def test_a_cancelled_run_ends_at_once_with_its_tasks():
    state = begun(task("a"), task("b", needs=["a"]), task("c"), onFailure=[task("page")])
    state = ended(state, "c")
    state = applied(state, stop(state, Stop(RunStatus.CANCELLED, "on request"), NOW))
    assert statuses(state) == {"a": "cancelled", "c": "succeeded"}
    assert (task_of(state, "a").reason, task_of(state, "a").ended_at) == ("on request", NOW)
    assert (state.run.status, state.run.reason) == (RunStatus.CANCELLED, "on request")


def test_a_timeout_cancels_the_tasks_and_runs_on_failure():
    seen = "${ run.error }: a ${ tasks.a.status }"
    state = begun(task("a"), onFailure=[task("page", say=seen)])
    state = applied(state, stop(state, Stop(RunStatus.TIMED_OUT, "too slow"), NOW))
    assert statuses(state) == {"a": "cancelled", "page": "pending"}
    assert task_of(state, "page").input == "too slow: a cancelled"
    assert startable(state) == ["page"]
    assert ended(state, "page").run.status is RunStatus.TIMED_OUT


def test_on_failure_reads_a_task_that_a_timeout_never_let_begin_as_skipped():
    seen = "${ tasks.b.output != null ? tasks.b.output.x : tasks.b.status }"
    state = begun(task("a"), task("b", needs=["a"]), onFailure=[task("page", say=seen)])
    state = applied(state, stop(state, Stop(RunStatus.TIMED_OUT, "too slow"), NOW))
    assert task_of(state, "page").input == "skipped"


def test_a_timeout_ends_a_run_without_on_failure_at_once():
    state = begun(task("a"))
    state = applied(state, stop(state, Stop(RunStatus.TIMED_OUT, "too slow"), NOW))
    assert (state.run.status, state.run.reason) == (RunStatus.TIMED_OUT, "too slow")


def test_a_timeout_during_on_failure_keeps_the_earlier_ending():
    state = ended(begun(task("a"), onFailure=[task("page")]), "a", error="boom")
    state = applied(state, stop(state, Stop(RunStatus.TIMED_OUT, "too slow"), NOW))
    reason = "task a failed: boom; onFailure tasks were stopped: too slow"
    assert (state.run.status, state.run.reason) == (RunStatus.FAILED, reason)
    assert task_of(state, "page").status is TaskStatus.CANCELLED


def test_a_repeated_timeout_does_not_change_the_on_failure_tasks():
    state = begun(task("a"), onFailure=[task("page")])
    state = applied(state, stop(state, Stop(RunStatus.TIMED_OUT, "too slow"), NOW))
    again = stop(state, Stop(RunStatus.TIMED_OUT, "too slow"), NOW)
    assert (again.create, again.cancel, again.end) == ((), (), None)
    assert [instance.name for instance in again.start] == ["page"]


def test_a_run_that_has_ended_does_not_change():
    state = ended(begun(task("a")), "a")
    assert advance(state, NOW + timedelta(days=1)) == Decision()
    assert stop(state, Stop(RunStatus.CANCELLED, "late"), NOW) == Decision()
    assert stop(state, Stop(RunStatus.TIMED_OUT, "late"), NOW) == Decision()


def test_a_task_that_needs_a_partly_failed_for_each_is_skipped():
    state = begun(task("a", forEach=[1, 2]), task("b", needs=["a"]))
    state = ended(ended(state, "a[0]", error="no"), "a[1]")
    assert task_of(state, "b").reason == "needs a, which failed"


def test_on_failure_sees_all_outputs_of_a_partly_failed_for_each():
    state = begun(task("a", forEach=[1, 2, 3]), onFailure=[task("page", say="${ tasks.a }")])
    state = ended(ended(state, "a[2]", output="z"), "a[1]", error="no")
    state = ended(state, "a[0]", output="x")
    assert task_of(state, "page").input == {
        "status": "failed",
        "output": ["x", None, "z"],
        "error": "no",
        "attempts": 3,
        "items": [
            {"status": "succeeded", "output": "x", "error": None, "attempts": 1},
            {"status": "failed", "output": None, "error": "no", "attempts": 1},
            {"status": "succeeded", "output": "z", "error": None, "attempts": 1},
        ],
    }


def test_a_running_task_is_not_started_again_and_counts_for_max_parallel():
    state = begun(task("a", forEach=[0, 1, 2], maxParallel=2))
    state = with_tasks(state, change_task(task_of(state, "a[0]"), TaskStatus.RUNNING))
    assert startable(state) == ["a[1]"]


def test_a_running_task_starts_again_when_a_new_workflow_carries_the_run_on():
    state = begun(task("a"), task("b"), task("c", needs=["a", "b"]))
    running = replace(task_of(state, "a"), status=TaskStatus.RUNNING)
    state = replace(state, tasks=(running, task_of(state, "b")))
    assert [task.name for task in resume(state, NOW).start] == ["a", "b"]
    assert [task.name for task in advance(state, NOW).start] == ["b"]
    cancelling = replace(state, run=replace(state.run, status=RunStatus.CANCELLING))
    assert resume(cancelling, NOW) == advance(cancelling, NOW)


def test_the_order_of_the_rows_does_not_matter():
    state = begun(task("a", forEach=[0, 1, 2], maxParallel=2), task("b", needs=["a"]))
    state = replace(state, tasks=state.tasks[::-1])
    assert startable(state) == ["a[0]", "a[1]"]


def test_a_for_each_that_failed_before_the_timeout_has_failed():
    state = begun(task("a", forEach=[0, 1]), onFailure=[task("page", say="${ tasks.a.status }")])
    state = ended(state, "a[1]", error="no")
    state = applied(state, stop(state, Stop(RunStatus.TIMED_OUT, "too slow"), NOW))
    assert statuses(state) == {"a[0]": "cancelled", "a[1]": "failed", "page": "pending"}
    assert task_of(state, "page").input == "failed"


def test_a_stored_task_whose_program_a_value_chooses_fails():
    state = begun({"name": "a", "command": {"argv": ["${ state.program }"]}})
    assert task_of(state, "a").status is TaskStatus.FAILED
    assert "must not choose the program" in str(task_of(state, "a").error)
