"""Runs that are skipped and have onSkip tasks: how they begin, and that they end as skipped."""

import json
from datetime import timedelta
from typing import Any

from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.runs.admission import skip
from activityctl.domain.runs.concurrency import GateResult, gate_change, with_skip_turn
from activityctl.domain.runs.run import RunState, RunStatus
from activityctl.domain.runs.run_change import run_change
from activityctl.domain.runs.skipping import SKIP_TASKS, begin_skipped
from activityctl.domain.tasks.limit import LimitState, permit
from support.advancing import NOW, begun, ended, statuses, task, task_of
from support.runs import run_of


def skipped(*on_skip: dict[str, Any], **fields: Any) -> RunState:
    document = {"tasks": [task("main")], "onSkip": on_skip, **fields}
    spec = DefinitionSpec.model_validate_json(json.dumps(document))
    run = run_of(NOW, concurrency_key="eu", throttle_key="")
    run, decision = begin_skipped(run, spec, "customer is not active", NOW)
    change = run_change(run, decision, NOW)
    return RunState(change.run, spec, change.create)


def test_a_skipped_run_has_only_its_on_skip_tasks_and_holds_no_slot():
    tell = task("tell", say="${ run.reason } ${ run.error == null }")
    state = skipped(tell, task("then", needs=["tell"]), onFailure=[task("page")])
    assert statuses(state) == {"tell": "pending"}
    assert task_of(state, "tell").input == "customer is not active true"
    run = state.run
    assert (run.status, run.ending, run.started_at) == (RunStatus.RUNNING, RunStatus.SKIPPED, NOW)
    assert (run.concurrency_key, run.throttle_key) == (None, None)
    state = ended(ended(state, "tell"), "then")
    assert (state.run.status, state.run.reason) == (RunStatus.SKIPPED, "customer is not active")


def test_a_failing_on_skip_task_leaves_the_run_skipped_with_its_reason():
    state = ended(skipped(task("tell"), onFailure=[task("page")]), "tell", error="no mail")
    assert statuses(state) == {"tell": "failed"}
    assert state.run.status is RunStatus.SKIPPED
    assert state.run.reason == "customer is not active; onSkip task tell failed: no mail"


def test_a_skipped_run_whose_tasks_do_not_run_ends_at_once():
    state = skipped(task("tell", when="run.reason == 'other'"))
    assert (state.run.status, state.run.ended_at) == (RunStatus.SKIPPED, NOW)


def test_a_run_that_stops_as_skipped_runs_its_on_skip_tasks_after_the_main_ones():
    stop = {"name": "halt", "needs": ["a"], "stop": {"status": "skipped", "reason": "no orders"}}
    tell = task("tell", say="${ tasks.a.output }")
    state = ended(begun(task("a"), stop, onSkip=[tell]), "a", output="zero")
    assert task_of(state, "tell").input == "zero"
    assert ended(state, "tell").run.status is RunStatus.SKIPPED


def test_the_gate_keeps_a_skipped_run_open_only_if_it_has_a_turn():
    refused = GateResult("skipped", "run x is still running")
    run = run_of(NOW, concurrency_key="")
    kept = gate_change(run, with_skip_turn(refused, has_turn=True), NOW).run
    assert (kept.status, kept.ending, kept.concurrency_key) == ("queued", "skipped", None)
    assert kept.reason == "run x is still running"
    without = gate_change(run, with_skip_turn(refused, has_turn=False), NOW).run
    assert without.status is RunStatus.SKIPPED
    assert str(without.reason).startswith("run x is still running; its onSkip tasks did not run")
    assert gate_change(run, refused, NOW).run.reason == "run x is still running"
    assert run_change(run, skip("no"), NOW).leaves_gates


def test_of_many_skipped_runs_ten_run_their_tasks_at_once_and_then_one_every_six_seconds():
    used, begun_at = None, []
    for second in range(61):
        for _ in range(20):
            found = permit(SKIP_TASKS, LimitState(used, 0, 0), NOW + timedelta(seconds=second))
            if found.look_again_at is None:
                used = found.used_until
                begun_at.append(second)
    assert begun_at == [0] * 10 + list(range(6, 61, 6))
