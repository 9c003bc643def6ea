"""Groups, choices, rounds, continueOnError, undo tasks and early ends of runs, step by step."""

from datetime import timedelta
from typing import Any

import pytest

from activityctl.domain.runs.advance import advance, resume
from activityctl.domain.runs.outcomes import Outcomes
from activityctl.domain.runs.rounds import begins_at
from activityctl.domain.runs.run import RunStatus, TaskStatus, address_of
from activityctl.domain.runs.run_change import change_task, run_change, with_tasks
from activityctl.domain.runs.stopping import Stop, stop
from activityctl.domain.runs.waiting import settled
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


def group(name: str, *tasks: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"name": name, "tasks": list(tasks), **fields}


def says(name: str, text: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "say": text, **fields}


def switch(name: str, cases: dict[str, list[Any]], default: list[Any] | None = None) -> Any:
    found = [{"when": when, "tasks": tasks} for when, tasks in cases.items()]
    return {"name": name, "switch": {"cases": found, "default": default or []}}


def test_a_group_ends_with_its_tasks_and_others_wait_for_all_of_it():
    state = begun(
        group("g", task("a"), task("b", needs=["a"])),
        says("c", "${ tasks.g.output.a + tasks.g.tasks.b.output }", needs=["g"]),
    )
    assert startable(state) == ["g.a"]
    assert statuses(state) == {"g": "running", "g.a": "pending"}
    state = ended(ended(state, "g.a", output="x"), "g.b", output="y")
    assert statuses(state)["g"] == "succeeded"
    assert task_of(state, "c").input == "xy"
    assert ended(state, "c").run.status is RunStatus.SUCCEEDED


def test_a_group_fails_with_the_first_task_that_failed_when_all_have_ended():
    state = begun(group("g", task("a"), task("b"), task("c", needs=["a"])), task("d", needs=["g"]))
    state = ended(state, "g.a", error="boom")
    assert statuses(state) == {
        "g": "running",
        "g.a": "failed",
        "g.b": "pending",
        "g.c": "skipped",
    }
    state = ended(state, "g.b")
    assert task_of(state, "g").error == "a failed: boom"
    assert task_of(state, "d").reason == "needs g, which failed"
    assert state.run.reason == "task g failed: a failed: boom"


def test_each_item_of_a_group_has_its_own_tasks_and_item():
    state = begun(
        group(
            "g",
            says("a", "${ item }"),
            says("b", "${ item + tasks.a.output }", needs=["a"]),
            forEach=["x", "y", "z"],
            maxParallel=2,
        ),
        says("c", "${ tasks.g }", needs=["g"]),
    )
    assert startable(state) == ["g[0].a", "g[1].a"]
    state = ended(state, "g[1].a", output="!")
    assert (task_of(state, "g[1].b").input, startable(state)) == ("y!", ["g[0].a", "g[1].b"])
    state = ended(state, "g[1].b", output=1)
    assert startable(state) == ["g[0].a", "g[2].a"]
    state = ended(ended(state, "g[2].a", output="?"), "g[2].b", output=2)
    state = ended(ended(state, "g[0].a", output="."), "g[0].b", output=0)
    found = task_of(state, "c").input
    assert found["output"] == [{"a": ".", "b": 0}, {"a": "!", "b": 1}, {"a": "?", "b": 2}]
    assert [item["tasks"]["b"]["status"] for item in found["items"]] == ["succeeded"] * 3


@pytest.mark.parametrize(
    ("amount", "starts", "case"),
    [(5000, "s.big", 1), (500, "s.middle", 2), (5, "s.small", None)],
)
def test_a_switch_runs_the_first_case_that_holds(amount: int, starts: str, case: int | None):
    cases = {
        "params.amount > 1000": [task("big")],
        "params.amount > 100": [task("middle")],
    }
    state = begun(
        switch("s", cases, [task("small")]),
        says("c", "${ tasks.s.output }", needs=["s"]),
        run={"params": {"amount": amount}},
    )
    assert startable(state) == [starts]
    assert task_of(state, "s").output == {"case": case}
    state = ended(state, starts, output="done")
    outputs = dict.fromkeys(("big", "middle", "small"))
    assert task_of(state, "c").input == {**outputs, starts.removeprefix("s."): "done"}


def test_a_switch_without_a_case_that_holds_succeeds_and_does_nothing():
    state = begun(
        switch("s", {"false": [task("a")]}), says("c", "${ tasks.s.tasks.a.status }", needs=["s"])
    )
    assert statuses(state) == {"s": "succeeded", "c": "pending"}
    assert task_of(state, "c").input == "skipped"


def test_a_case_that_cannot_be_decided_fails_the_switch():
    state = begun(switch("s", {"params.x > 1": [task("a")]}))
    assert statuses(state) == {"s": "failed"}
    assert state.run.status is RunStatus.FAILED


def test_a_task_repeats_until_its_condition_holds_and_reads_its_last_round():
    poll = says(
        "poll",
        "${ [size(tasks.poll.rounds), tasks.poll.output] }",
        repeat={"until": "tasks.poll.output == 'done'", "max": 5, "delay": "30s"},
    )
    state = begun(poll, says("c", "${ tasks.poll }", needs=["poll"]))
    assert startable(state) == ["poll[1]"]
    assert task_of(state, "poll[1]").input == [0, None]
    state = ended(state, "poll[1]", output="wait")
    template, second = state.spec.tasks[0], task_of(state, "poll[2]")
    assert (second.input, startable(state)) == ([1, "wait"], ["poll[2]"])
    assert begins_at(template, second) == NOW + timedelta(seconds=30)
    assert begins_at(template, task_of(state, "poll[1]")) is None
    state = ended(state, "poll[2]", output="done")
    assert statuses(state)["poll"] == "succeeded"
    outcome = task_of(state, "c").input
    assert (outcome["output"], [entry["output"] for entry in outcome["rounds"]]) == (
        "done",
        ["wait", "done"],
    )


def test_a_repeat_that_never_gets_there_fails_after_its_last_round():
    state = begun(task("p", repeat={"until": "tasks.p.output > 9", "max": 2}))
    state = ended(ended(state, "p[1]", output=1), "p[2]", output=2)
    reason = "task p failed: until was still false after round 2, the last one: tasks.p.output > 9"
    assert state.run.reason == reason
    failed = ended(begun(task("p", repeat={"max": 3})), "p[1]", error="boom")
    assert failed.run.reason == "task p failed: round 1 failed: boom"
    thrice = begun(task("p", repeat={"max": 2}))
    assert ended(ended(thrice, "p[1]"), "p[2]").run.status is RunStatus.SUCCEEDED


def test_a_group_that_repeats_waits_without_a_worker_until_its_next_round_begins():
    state = begun(
        group("g", task("a"), repeat={"until": "tasks.g.output.a == 2", "max": 3, "delay": "1m"})
    )
    state = ended(state, "g[1].a", output=1)
    assert statuses(state) == {
        "g": "running",
        "g[1]": "succeeded",
        "g[1].a": "succeeded",
        "g[2]": "pending",
    }
    assert startable(state) == ["g[2]"]
    assert [found.id for found in resume(state, NOW).start] == [task_of(state, "g[2]").id]
    due = change_task(task_of(state, "g[2]"), TaskStatus.RUNNING, started_at=NOW)
    state = with_tasks(state, due)
    state = applied(state, advance(state, NOW))
    assert startable(state) == ["g[2].a"]
    assert ended(state, "g[2].a", output=2).run.status is RunStatus.SUCCEEDED


def test_a_group_is_retried_as_a_whole():
    retry = {"maxAttempts": 2, "initialInterval": "0s"}
    state = begun(group("g", task("a"), task("b", needs=["a"]), retry=retry))
    state = ended(ended(state, "g[1].a"), "g[1].b", error="boom")
    assert startable(state) == ["g[2].a"]
    assert state.run.status is RunStatus.RUNNING
    state = ended(ended(state, "g[2].a"), "g[2].b", error="again")
    assert state.run.reason == "task g failed: round 2 failed: b failed: again"


def test_continue_on_error_lets_the_run_go_on_and_the_end_says_so():
    state = begun(
        task("a", continueOnError=True), says("b", "${ tasks.a.status }", needs=["a"]), task("c")
    )
    state = ended(ended(state, "a", error="boom"), "c")
    assert task_of(state, "b").input == "failed"
    state = ended(state, "b")
    assert (state.run.status, state.run.reason) == (
        RunStatus.SUCCEEDED,
        "continueOnError allowed the failure of task a",
    )


def undoing(name: str, **fields: Any) -> dict[str, Any]:
    return task(name, undo=[says(f"no-{name}", f"${{ tasks.{name}.output }}")], **fields)


def test_what_was_done_last_is_undone_first_and_then_on_failure_runs():
    state = begun(
        undoing("a"),
        undoing("b", needs=["a"]),
        task("c", needs=["b"]),
        onFailure=[task("page")],
    )
    state = ended(ended(ended(state, "a", output=1), "b", output=2), "c", error="boom")
    assert startable(state) == ["b.no-b"]
    assert task_of(state, "b.no-b").input == 2
    state = ended(state, "b.no-b", error="stuck")
    assert startable(state) == ["a.no-a"]
    state = ended(state, "a.no-a")
    assert startable(state) == ["page"]
    state = ended(state, "page")
    reason = "task c failed: boom; undo task b.no-b failed: stuck"
    assert (state.run.status, state.run.reason) == (RunStatus.FAILED, reason)


def test_a_run_that_succeeds_undoes_nothing():
    state = ended(begun(undoing("a")), "a")
    assert (state.run.status, statuses(state)) == (RunStatus.SUCCEEDED, {"a": "succeeded"})


def test_items_rounds_and_tasks_in_groups_are_undone_each_with_its_own_data():
    each = task("each", forEach=["x", "y"], undo=[says("no", "${ item + tasks.each.output }")])
    state = begun(group("g", each, undo=[task("all")]), task("last", needs=["g"]))
    state = ended(ended(state, "g.each[0]", output="0"), "g.each[1]", output="1")
    state = ended(state, "last", error="boom")
    order = []
    while not state.run.has_ended:
        (label,) = startable(state)
        order.append((label, task_of(state, label).input))
        state = ended(state, label)
    assert order == [
        ("g.all", {"text": "all"}),
        ("g.each[1].no", "y1"),
        ("g.each[0].no", "x0"),
    ]


@pytest.mark.parametrize("status", [RunStatus.CANCELLED, RunStatus.TIMED_OUT])
def test_a_run_that_is_stopped_is_undone_when_its_tasks_have_stopped(status: RunStatus):
    state = begun(undoing("a"), task("b", needs=["a"]))
    state = ended(state, "a", output=1)
    working = change_task(task_of(state, "b"), TaskStatus.RUNNING, attempts=1)
    state = with_tasks(state, working)
    state = applied(state, stop(state, Stop(status, "stopped"), NOW))
    assert state.run.status is RunStatus.CANCELLING
    stopped = change_task(working, TaskStatus.CANCELLED, reason="stopped", ended_at=NOW)
    state = with_tasks(state, stopped)
    state = applied(state, advance(state, NOW))
    assert (state.run.status, state.run.ending, startable(state)) == (
        RunStatus.RUNNING,
        status,
        ["a.no-a"],
    )
    again = stop(state, Stop(RunStatus.CANCELLED, "again"), NOW)
    assert (again.cancel, again.end) == ((), None)  # half undone would be the worst end
    state = ended(state, "a.no-a")
    assert (state.run.status, state.run.reason) == (status, "stopped")


def stopping(name: str, **body: Any) -> dict[str, Any]:
    return {"name": name, "stop": body}


def test_stop_ends_the_run_early_and_says_why():
    state = begun(
        task("a"), {**stopping("s", status="skipped", reason="no work"), "needs": ["a"]}, task("b")
    )
    state = ended(state, "a")
    assert (state.run.status, state.run.reason) == (
        RunStatus.SKIPPED,
        "stopped by task s: no work",
    )
    assert statuses(state) == {"a": "succeeded", "s": "succeeded", "b": "cancelled"}


def test_stop_waits_for_what_is_at_work_and_a_failing_one_is_a_failure():
    state = begun(
        task("a"),
        group("g", {**stopping("s", status="failed"), "when": "true"}, needs=["a"]),
        task("b"),
        onFailure=[task("page")],
    )
    working = change_task(task_of(state, "b"), TaskStatus.RUNNING, attempts=1)
    state = ended(with_tasks(state, working), "a")
    assert (state.run.status, state.run.ending) == (RunStatus.CANCELLING, RunStatus.FAILED)
    stopped = change_task(task_of(state, "b"), TaskStatus.CANCELLED, reason="s", ended_at=NOW)
    state = with_tasks(state, stopped)
    state = applied(state, advance(state, NOW))
    assert (startable(state), state.run.reason) == (["page"], "stopped by task g.s")


def test_a_group_and_a_round_are_no_work_that_is_waited_for():
    state = begun(group("g", task("a"), repeat={"max": 3, "delay": "1h"}))
    state = ended(state, "g[1].a")
    state = applied(state, stop(state, Stop(RunStatus.CANCELLED, "no"), NOW))
    assert (state.run.status, statuses(state)["g[2]"]) == (RunStatus.CANCELLED, "cancelled")


def test_the_end_of_one_of_ten_thousand_items_is_decided_in_linear_time():
    items = list(range(1_000))
    state = begun(group("g", task("a"), forEach=items, maxParallel=10))
    for number in range(30):
        state = ended(state, f"g[{number}].a")
    assert startable(state)[0] == "g[30].a"


def test_many_rows_are_looked_at_once(monkeypatch: pytest.MonkeyPatch):
    from activityctl.domain.runs.task_rows import TaskRows

    def looks(count: int) -> int:
        items = list(range(count))
        state = begun(group("g", task("a"), forEach=items, maxParallel=5))
        seen = 0
        original = TaskRows.is_over

        def counted(self: TaskRows, name: str) -> bool:
            nonlocal seen
            seen += 1
            return original(self, name)

        monkeypatch.setattr(TaskRows, "is_over", counted)
        advance(state, NOW)
        monkeypatch.setattr(TaskRows, "is_over", original)
        return seen

    assert looks(400) <= looks(40) * 2


def test_nested_loops_have_a_bound(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("activityctl.domain.runs.task_rows.MAX_ROWS", 10)
    inner = group("g", task("a", forEach=[1, 2, 3]), forEach=[1, 2, 3, 4])
    state = begun(inner)
    assert len(state.tasks) <= 10 + 4  # each item has a row that says why
    assert "too many tasks" in str(task_of(state, "g[3].a").error)
    rounds = begun({"name": "v", "value": 1, "repeat": {"max": 500}})
    assert rounds.run.status is RunStatus.FAILED
    assert len(rounds.tasks) <= 12


def test_of_many_rounds_each_outcome_is_built_once_in_a_decision(monkeypatch: pytest.MonkeyPatch):
    built: list[str] = []
    of_single = Outcomes.of_single

    def noted(self: Outcomes, template: Any, row: Any) -> Any:
        built.append(address_of(row))
        return of_single(self, template, row)

    monkeypatch.setattr(Outcomes, "of_single", noted)
    state = begun({"name": "r", "repeat": {"max": 200}, "value": "${ has(tasks.r) }"})
    assert state.run.status is RunStatus.SUCCEEDED
    assert len(state.tasks) == 201
    assert len(built) < 500, "with all rounds before, built again for each, 40,000"


def test_many_waits_that_end_together_are_replaced_together():
    waits = {"name": "w", "wait": {"for": "1m"}}
    state = begun({"name": "g", "forEach": list(range(30)), "maxParallel": 30, "tasks": [waits]})
    ends = settled(state.tasks, {}, NOW + timedelta(minutes=2))
    after = with_tasks(state, *ends)
    assert len(ends) == 30
    assert [task.id for task in after.tasks] == [task.id for task in state.tasks]
    assert {task.status for task in after.tasks if task.kind == "wait"} == {TaskStatus.SUCCEEDED}
    change = run_change(after.run, advance(after, NOW), NOW, update=ends)
    assert change.ended_waits == {task.id for task in ends}
    assert change.run.status is RunStatus.SUCCEEDED


def test_until_reads_the_status_of_the_last_round():
    until = "tasks.job.status == 'succeeded' && tasks.job.output == 2"
    state = begun(task("job", repeat={"max": 3, "until": until}))
    state = ended(ended(state, "job[1]", 1), "job[2]", 2)
    assert [each.status for each in state.tasks] == [TaskStatus.SUCCEEDED] * 3
