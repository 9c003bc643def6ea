"""Tasks that the engine carries out: values are there at once, waits begin and end."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.runs.advance import advance, resume
from activityctl.domain.runs.run import (
    Decision,
    RunState,
    RunStatus,
    TaskInstance,
    TaskStatus,
    address_of,
)
from activityctl.domain.runs.run_change import RunChange, run_change, with_tasks
from activityctl.domain.runs.stopping import Stop, stop
from activityctl.domain.runs.waiting import Answer, settled
from support.runs import begun_run_of

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def begun(*tasks: dict[str, Any], **fields: Any) -> tuple[RunState, RunChange]:
    """Return a run as it is stored after its first decision, and that change."""
    spec = DefinitionSpec.model_validate_json(json.dumps({"tasks": tasks, **fields}))
    state = RunState(begun_run_of(NOW, payload={"n": 4}), spec, ())
    return applied(state, advance(state, NOW))


def applied(state: RunState, decision: Decision) -> tuple[RunState, RunChange]:
    change = run_change(state.run, decision, NOW)
    for changed in change.update:
        state = with_tasks(state, changed)
    return replace(state, run=change.run, tasks=state.tasks + change.create), change


def tasks_of(state: RunState) -> dict[str, TaskInstance]:
    return {address_of(task): task for task in state.tasks}


def settle(
    state: RunState, now: datetime, answers: dict[Any, Answer] | None = None
) -> tuple[RunState, RunChange]:
    for task in settled(state.tasks, answers or {}, now):
        state = with_tasks(state, task)
    return applied(state, advance(state, now))


def test_values_are_computed_at_once_one_from_another():
    state, change = begun(
        {"name": "base", "value": {"n": "${ trigger.payload.n * 2 }"}},
        {"name": "next", "needs": ["base"], "value": "${ tasks.base.output.n + 1 }"},
        {"name": "each", "forEach": [1, 2], "maxParallel": 1, "value": "v${ item }"},
    )
    assert state.run.status is RunStatus.SUCCEEDED
    outputs = {name: task.output for name, task in tasks_of(state).items()}
    assert outputs == {"base": {"n": 8}, "next": 9, "each[0]": "v1", "each[1]": "v2"}
    assert change.waits == ()


def test_a_value_that_cannot_be_computed_fails():
    state, _ = begun({"name": "bad", "value": "${ trigger.payload.missing }"})
    assert state.run.status is RunStatus.FAILED
    assert "missing" in str(tasks_of(state)["bad"].error)


def test_a_wait_begins_with_its_end_and_ends_by_itself():
    state, change = begun(
        {"name": "pause", "wait": {"for": "10m"}},
        {"name": "after", "needs": ["pause"], "say": {}},
    )
    (wait,) = change.waits
    pause = tasks_of(state)["pause"]
    assert (pause.status, pause.waits_until) == (TaskStatus.WAITING, NOW + 10 * MINUTE)
    assert (wait.task_id, wait.until, wait.kind) == (pause.id, NOW + 10 * MINUTE, "wait")
    assert settled(state.tasks, {}, NOW + 9 * MINUTE) == ()
    assert advance(state, NOW) == Decision()  # nothing new
    after, change = settle(state, NOW + 10 * MINUTE)
    assert tasks_of(after)["pause"].status is TaskStatus.SUCCEEDED
    assert tasks_of(after)["pause"].output == {"until": "2026-05-01T12:10:00.000Z"}
    assert [task.name for task in advance(after, NOW).start] == ["after"]


@pytest.mark.parametrize(
    ("until", "end"),
    [
        ("2026-05-01T12:00:30.25Z", NOW + timedelta(seconds=30.25)),
        ("2026-05-01T14:01:00+02:00", NOW + MINUTE),
        ("${ now + duration('90s') }", NOW + 1.5 * MINUTE),
        ("2020-01-01T00:00:00Z", NOW),
    ],
)
def test_a_wait_ends_at_a_time(until: str, end: datetime):
    state, _ = begun({"name": "pause", "wait": {"until": until}})
    assert tasks_of(state)["pause"].waits_until == end


def test_a_time_that_an_expression_did_not_give_fails_the_task():
    state, _ = begun({"name": "pause", "wait": {"until": "${ trigger.payload.n }"}})
    assert state.run.status is RunStatus.FAILED
    assert tasks_of(state)["pause"].error == (
        "wait.until: 4 is not a point in time: write 2026-12-31T18:00:00Z"
    )


def test_a_wait_waits_for_its_turn():
    state, change = begun(
        {"name": "each", "forEach": [1, 2, 3], "maxParallel": 2, "wait": {"for": "1m"}}
    )
    assert [wait.task_id for wait in change.waits] == [task.id for task in state.tasks[:2]]
    assert [task.status.value for task in state.tasks] == ["waiting", "waiting", "pending"]
    state, change = settle(state, NOW + MINUTE)
    assert [task.status.value for task in state.tasks] == ["succeeded", "succeeded", "waiting"]
    assert state.tasks[2].waits_until == NOW + 2 * MINUTE
    assert [wait.task_id for wait in change.waits] == [state.tasks[2].id]


def test_an_answer_counts_also_when_it_is_settled_late():
    state, _ = begun({"name": "pause", "wait": {"for": "1m"}})
    answer = Answer({"ok": True}, by="anna")
    state, _ = settle(state, NOW + 60 * MINUTE, {state.tasks[0].id: answer})
    assert (state.tasks[0].output, state.tasks[0].completed_by) == ({"ok": True}, "anna")
    refused, _ = begun({"name": "pause", "wait": {"for": "1m"}})
    refused, _ = settle(refused, NOW, {refused.tasks[0].id: Answer(error="no", by="anna")})
    assert refused.run.reason == "task pause failed: no"


def test_a_waiting_task_does_not_keep_a_run_from_stopping():
    state, _ = begun({"name": "pause", "wait": {"for": "1m"}})
    for status in (RunStatus.CANCELLED, RunStatus.TIMED_OUT):
        ended, change = applied(state, stop(state, Stop(status, "enough"), NOW))
        assert ended.run.status is status
        assert tasks_of(ended)["pause"].status is TaskStatus.CANCELLED
        assert change.ended_waits == {state.tasks[0].id}


def test_a_run_that_is_carried_on_does_not_start_what_waits():
    state, _ = begun({"name": "pause", "wait": {"for": "1m"}}, {"name": "one", "say": {}})
    assert [task.name for task in resume(state, NOW).start] == ["one"]


def test_a_run_waits_after_a_failure_too():
    state, change = begun(
        {"name": "bad", "value": "${ 1 / 0 }"}, onFailure=[{"name": "w", "wait": {"for": "1m"}}]
    )
    assert (state.run.status, len(change.waits)) == (RunStatus.RUNNING, 1)
    state, _ = settle(state, NOW + MINUTE)
    assert state.run.status is RunStatus.FAILED


def test_a_manual_task_says_for_whom_it_waits_and_until_when():
    manual = {"assignee": "${ trigger.name }-team", "instructions": "Look.", "due": "2d"}
    state, change = begun({"name": "review", "manual": manual})
    (task,) = state.tasks
    assert (task.status, task.waits_until) == (TaskStatus.WAITING, NOW + timedelta(days=2))
    (entry,) = change.entries
    assert entry.message == ("task review waits for manual-team until 2026-05-03T12:00:00.000Z")
    assert advance(state, NOW) == Decision()


def test_a_manual_task_may_have_no_end_or_a_fixed_one():
    state, _ = begun(
        {"name": "open", "manual": {}}, {"name": "fixed", "manual": {"due": "2026-06-01T00:00:00Z"}}
    )
    times = {name: task.waits_until for name, task in tasks_of(state).items()}
    assert times == {"open": None, "fixed": datetime(2026, 6, 1, tzinfo=UTC)}
    assert settled(state.tasks[:1], {}, NOW + timedelta(days=900)) == ()


def test_a_manual_task_that_nobody_completes_fails_or_has_its_default_output():
    state, _ = begun({"name": "review", "manual": {"due": "1m"}})
    state, _ = settle(state, NOW + MINUTE)
    reason = "nobody completed it by 2026-05-01T12:01:00.000Z"
    assert (state.run.status, tasks_of(state)["review"].error) == (RunStatus.FAILED, reason)
    default = {"due": "1m", "onTimeout": {"output": {"verdict": "${ trigger.name }"}}}
    state, _change = begun({"name": "review", "manual": default})
    state, _ = settle(state, NOW + MINUTE)
    review = tasks_of(state)["review"]
    assert (state.run.status, review.output) == (RunStatus.SUCCEEDED, {"verdict": "manual"})
    assert review.reason == f"{reason}, so it has the output of onTimeout"


@pytest.mark.parametrize("due", ["soon", 5, "0s", "2026-13-01T00:00:00Z"])
def test_a_due_time_that_an_expression_did_not_give_fails_the_task(due: Any):
    state, _ = begun(
        {"name": "v", "value": due},
        {"name": "review", "needs": ["v"], "manual": {"due": "${ tasks.v.output }"}},
    )
    assert "manual.due: " in str(tasks_of(state)["review"].error)


def test_a_thousand_tasks_wait_at_once_and_each_may_take_the_place_of_another():
    manual = {"name": "each", "forEach": list(range(1000)), "maxParallel": 200, "manual": {}}
    state, change = begun(manual)
    assert len(change.waits) == 200
    assert {task.lane for task in state.tasks} == {None}
    answers = {task.id: Answer(1) for task in state.tasks[:150]}
    state, change = settle(state, NOW, answers)
    assert len(change.waits) == 150
    assert sum(task.status is TaskStatus.WAITING for task in state.tasks) == 200
    everybody, change = begun({**manual, "maxParallel": None})
    assert len(change.waits) == len(everybody.tasks) == 1000


def test_a_wait_for_an_event_keeps_its_pattern_and_since_when_events_count():
    body = {"type": "order.paid", "match": {"data.n": "${ trigger.payload.n }"}, "timeout": "2h"}
    _, change = begun({"name": "paid", "waitFor": body})
    (wait,) = change.waits
    assert wait.event == {"type": "order.paid", "match": {"data.n": 4}}
    assert (wait.since, wait.until) == (NOW, NOW + timedelta(hours=2))
    _, change = begun({"name": "paid", "waitFor": {"type": "a", "since": "task"}})
    assert change.waits[0].since == change.waits[0].began_at


def test_a_wait_for_an_event_that_does_not_come_fails_or_has_a_default():
    state, _ = begun({"name": "paid", "waitFor": {"type": "a", "timeout": "1m"}})
    state, _ = settle(state, NOW + MINUTE)
    assert state.run.reason == "task paid failed: no such event came by 2026-05-01T12:01:00.000Z"
    body = {"type": "a", "timeout": "1m", "onTimeout": {"output": None}}
    state, _ = begun({"name": "paid", "waitFor": body})
    state, _ = settle(state, NOW + MINUTE)
    assert (state.run.status, state.tasks[0].output) == (RunStatus.SUCCEEDED, None)
