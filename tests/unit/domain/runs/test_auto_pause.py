import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.runs.admission import begin
from activityctl.domain.runs.advance import advance
from activityctl.domain.runs.auto_pause import StreakChange, streak_change
from activityctl.domain.runs.run import Decision, RunEnd, RunState, RunStatus, TaskStatus
from activityctl.domain.runs.run_change import RunChange, change_task, run_change, with_tasks
from activityctl.domain.runs.stopping import Stop, stop
from support.runs import run_of

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
RUN = run_of(NOW)
NOTIFY = {"name": "notify", "when": "run.pauses", "say": "${ run.error }"}
THEN = {"name": "then", "needs": ["notify"], "say": "${ run.pauses }"}
NO = "task a failed: no"


def spec(limit: int | None, *on_failure: dict[str, Any]) -> DefinitionSpec:
    tasks = [{"name": "a", "say": "a"}]
    fields = {} if limit is None else {"pauseAfter": {"failures": limit}}
    document = {"tasks": tasks, "onFailure": on_failure, **fields}
    return DefinitionSpec.model_validate_json(json.dumps(document))


def begun(definition: DefinitionSpec, **run: Any) -> RunState:
    started, decision = begin(replace(RUN, **run), definition, NOW)
    change = run_change(started, decision, NOW)
    return RunState(change.run, definition, change.create)


def ended(state: RunState, name: str, error: str | None) -> tuple[RunState, RunChange]:
    (task,) = [task for task in state.tasks if task.name == name]
    status = TaskStatus.SUCCEEDED if error is None else TaskStatus.FAILED
    running = change_task(task, TaskStatus.RUNNING)
    state = with_tasks(state, change_task(running, status, error=error, ended_at=NOW))
    change = run_change(state.run, advance(state, NOW), NOW)
    return replace(state, run=change.run, tasks=state.tasks + change.create), change


def warnings(change: RunChange) -> list[str]:
    return [entry.message for entry in change.entries if entry.level == "warning"]


@pytest.mark.parametrize(
    ("limit", "before", "reason"),
    [
        (None, 99, None),
        (3, 0, None),
        (3, 1, None),
        (3, 2, f"3 runs in a row failed; last reason: {NO} (run {RUN.id})"),
        (3, 7, f"8 runs in a row failed; last reason: {NO} (run {RUN.id})"),
        (1, 0, f"1 run failed; last reason: {NO} (run {RUN.id})"),
    ],
)
def test_the_failure_that_reaches_the_limit_pauses(
    limit: int | None, before: int, reason: str | None
):
    _, change = ended(begun(spec(limit), failures_before=before), "a", "no")
    assert change.run.status is RunStatus.FAILED
    assert change.streak == StreakChange(has_failed=True, decided_at=NOW, pause_reason=reason)
    assert warnings(change) == ([] if reason is None else [f"subscription paused: {reason}"])


def test_a_paused_subscription_is_not_paused_again():
    state = begun(spec(1, NOTIFY), failures_before=5, owner_is_active=False)
    state, change = ended(state, "a", "no")
    assert change.streak == StreakChange(has_failed=True, decided_at=NOW)
    assert [task.status for task in change.create] == [TaskStatus.SKIPPED]


def test_a_success_resets_the_count():
    _, change = ended(begun(spec(2), failures_before=1), "a", None)
    assert change.streak == StreakChange(has_failed=False, decided_at=NOW)


def test_on_failure_tasks_see_that_the_run_pauses_and_the_failure_counts_once():
    state, first = ended(begun(spec(2, NOTIFY, THEN), failures_before=1), "a", "no")
    assert first.streak is not None
    assert first.streak.pause_reason is not None
    assert [(task.name, task.input) for task in first.create] == [("notify", NO)]
    # The run as it is read again: the failure is counted, and this run paused the subscription.
    paused = replace(state.run, failures_before=2, owner_is_active=False)
    state, second = ended(replace(state, run=paused), "notify", None)
    assert [(task.name, task.input) for task in second.create] == [("then", True)]
    _, last = ended(state, "then", None)
    assert last.run.status is RunStatus.FAILED
    assert (second.streak, last.streak) == (None, None)
    assert warnings(second) + warnings(last) == []


def test_on_failure_tasks_of_an_earlier_failure_see_that_the_run_does_not_pause():
    _, change = ended(begun(spec(2, NOTIFY)), "a", "no")
    assert [(task.name, task.status) for task in change.create] == [("notify", TaskStatus.SKIPPED)]


def test_a_run_that_times_out_counts_as_failed():
    state = begun(spec(1, NOTIFY))
    decision = stop(state, Stop(RunStatus.TIMED_OUT, "ran over 1h"), NOW)
    change = run_change(state.run, decision, NOW)
    reason = f"1 run failed; last reason: ran over 1h (run {RUN.id})"
    assert change.streak == StreakChange(has_failed=True, decided_at=NOW, pause_reason=reason)
    assert [(task.name, task.input) for task in change.create] == [("notify", "ran over 1h")]
    state = replace(state, run=change.run, tasks=(*change.update, *change.create))
    again = stop(state, Stop(RunStatus.TIMED_OUT, "ran over 1h"), NOW)
    assert run_change(state.run, again, NOW).streak is None


def test_a_run_that_fails_before_its_first_task_counts():
    rules = {"rules": [{"when": "params.nope"}]}
    document = spec(1, NOTIFY).model_dump(mode="json", by_alias=True)
    definition = DefinitionSpec.model_validate_json(json.dumps({**document, **rules}))
    started, decision = begin(RUN, definition, NOW)
    change = run_change(started, decision, NOW)
    assert change.streak is not None
    assert change.streak.pause_reason is not None
    assert [(task.name, task.status) for task in change.create] == [("notify", TaskStatus.PENDING)]


@pytest.mark.parametrize("status", [RunStatus.CANCELLED, RunStatus.SKIPPED, RunStatus.MISSED])
def test_a_run_that_neither_succeeds_nor_fails_leaves_the_count(status: RunStatus):
    assert streak_change(RUN, Decision(end=RunEnd(status, "so")), NOW) is None


def test_cancelling_the_on_failure_tasks_does_not_count_again():
    state, _ = ended(begun(spec(2, {"name": "page", "say": "x"})), "a", "no")
    decision = stop(state, Stop(RunStatus.CANCELLED, "by hand"), NOW + timedelta(seconds=1))
    assert run_change(state.run, decision, NOW).streak is None


def test_a_very_long_reason_is_shortened():
    _, change = ended(begun(spec(1)), "a", "x" * 10_000)
    assert change.streak is not None
    assert len(change.streak.pause_reason or "") < 700
    assert f"x… (run {RUN.id})" in (change.streak.pause_reason or "")
    assert len(change.run.reason or "") > 10_000
