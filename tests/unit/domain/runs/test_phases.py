"""What runs after the main tasks of a run, and how it changes the end of the run."""

from dataclasses import replace

import pytest

from activityctl.domain.runs.advance import advance
from activityctl.domain.runs.run import RunEnd, RunStatus, TaskStatus
from activityctl.domain.runs.run_change import with_tasks
from activityctl.domain.runs.stopping import Stop, stop
from support.advancing import (
    NOW,
    applied,
    begun,
    ended,
    statuses,
    task,
    task_of,
)


def test_on_success_tasks_run_after_the_main_ones_and_a_failure_in_them_keeps_the_status():
    say = "${ tasks.a.output } ${ run.error == null }"
    after = [task("tell", say=say), task("then", needs=["tell"])]
    state = begun(task("a"), onSuccess=after, onFailure=[task("page")], state={"n": "${ 1 }"})
    assert statuses(state) == {"a": "pending"}
    last = with_tasks(
        state,
        replace(task_of(state, "a"), status=TaskStatus.SUCCEEDED, output="done", ended_at=NOW),
    )
    decision = advance(last, NOW)
    assert (decision.ending, decision.end) == (RunStatus.SUCCEEDED, None)
    assert decision.keep_state == {"n": 1}, "the next run may need it before these tasks end"
    state = applied(last, decision)
    assert task_of(state, "tell").input == "done true"
    assert advance(state, NOW).keep_state is None
    state = ended(state, "tell", error="no mail server")
    assert statuses(state) == {"a": "succeeded", "tell": "failed", "then": "skipped"}
    assert state.run.status is RunStatus.SUCCEEDED
    assert state.run.reason == "onSuccess task tell failed: no mail server"


def test_on_success_tasks_that_are_skipped_end_the_run_at_once():
    state = ended(begun(task("a"), onSuccess=[task("tell", when="false")]), "a")
    assert (state.run.status, state.run.ending, state.run.reason) == (
        RunStatus.SUCCEEDED,
        None,
        None,
    )


@pytest.mark.parametrize("wanted", [RunStatus.CANCELLED, RunStatus.TIMED_OUT])
@pytest.mark.parametrize(("error", "phase"), [(None, "onSuccess"), ("boom", "onFailure")])
def test_stopping_the_last_tasks_of_a_run_keeps_its_end(
    wanted: RunStatus, error: str | None, phase: str
):
    state = ended(begun(task("a"), **{phase: [task("tell"), task("x")]}), "a", error=error)
    at_work = replace(task_of(state, "tell"), status=TaskStatus.RUNNING, attempt_at=NOW)
    state = with_tasks(state, at_work)
    state = applied(state, stop(state, Stop(wanted, "too slow"), NOW))
    assert state.run.status is RunStatus.CANCELLING
    again = stop(state, Stop(wanted, "too slow", waits=False), NOW)
    stopped = replace(at_work, status=TaskStatus.CANCELLED, attempt_at=None, ended_at=NOW)
    end = advance(with_tasks(state, stopped), NOW).end
    note = f"{phase} tasks were stopped: too slow"
    if error is None:
        assert end == RunEnd(RunStatus.SUCCEEDED, note)
    else:
        assert end == RunEnd(RunStatus.FAILED, f"task a failed: boom; {note}")
    assert again.end is not None
    assert again.end.reason is not None
    assert again.end.reason.startswith(end.reason or "?")
