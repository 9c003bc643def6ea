from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.runs.run import (
    ENDED_RUNS,
    ENDED_TASKS,
    RUN_TRANSITIONS,
    TASK_TRANSITIONS,
    Decision,
    RunEnd,
    RunState,
    RunStatus,
    TaskInstance,
    TaskStatus,
)
from activityctl.domain.runs.run_change import change_task, log_entry, run_change, with_tasks
from activityctl.domain.values import ids
from activityctl.errors import InternalError
from support.runs import begun_run_of

STARTED = datetime(2026, 5, 1, 12, tzinfo=UTC)
NOW = STARTED + timedelta(seconds=90)
RUN = begun_run_of(STARTED)
TASK = TaskInstance(
    id=ids.task_id(RUN.id, "a", 0),
    run_id=RUN.id,
    name="a",
    index=0,
    phase="main",
    kind="say",
    status=TaskStatus.PENDING,
    created_at=STARTED,
)


def messages(decision: Decision, *update: TaskInstance) -> list[tuple[str, str]]:
    change = run_change(RUN, decision, NOW, update=update)
    return [(entry.level, entry.message) for entry in change.entries]


def test_an_empty_decision_changes_nothing():
    change = run_change(RUN, Decision(start=(TASK,)), NOW)
    assert change.run == RUN
    assert (change.create, change.update, change.entries) == ((), (), ())
    assert (change.dead_letter, change.keep_state) == (None, None)


def test_the_rows_of_a_decision_are_those_of_its_tasks():
    ended = replace(TASK, status=TaskStatus.SUCCEEDED)
    created = replace(TASK, id=ids.task_id(RUN.id, "b", 0), name="b")
    cancelled = replace(TASK, id=ids.task_id(RUN.id, "c", 0), status=TaskStatus.CANCELLED)
    change = run_change(RUN, Decision(create=(created,), cancel=(cancelled,)), NOW, update=(ended,))
    assert change.create == (created,)
    assert change.update == (ended, cancelled)


@pytest.mark.parametrize(
    ("changes", "entry"),
    [
        ({"status": TaskStatus.SUCCEEDED}, ("info", "task a succeeded")),
        ({"status": TaskStatus.FAILED, "error": "no"}, ("error", "task a failed: no")),
        ({"status": TaskStatus.SKIPPED, "reason": "why"}, ("info", "task a skipped: why")),
        (
            {"status": TaskStatus.SKIPPED, "reason": "forEach has no items", "of": 0},
            ("info", "task a skipped: forEach has no items"),
        ),
        ({"status": TaskStatus.CANCELLED, "reason": "why"}, ("info", "task a cancelled: why")),
        (
            {"status": TaskStatus.SUCCEEDED, "index": 2, "of": 3},
            ("info", "task a[2] succeeded"),
        ),
    ],
)
def test_the_end_of_a_task_is_logged(changes: dict[str, object], entry: tuple[str, str]):
    task = replace(TASK, **changes)
    assert messages(Decision(create=(task,))) == [entry]
    assert messages(Decision(cancel=(task,))) == [entry]
    assert messages(Decision(), task) == [entry]


@pytest.mark.parametrize("status", [TaskStatus.PENDING, TaskStatus.RUNNING])
def test_a_task_that_has_not_ended_is_not_logged(status: TaskStatus):
    assert messages(Decision(create=(replace(TASK, status=status),))) == []


def test_the_beginning_of_a_wait_is_logged():
    task = replace(TASK, status=TaskStatus.WAITING)
    assert messages(Decision(create=(task,))) == [("info", "task a waits")]
    until = replace(task, waits_until=NOW)
    assert messages(Decision(wait=(until,)))[0][1].startswith("task a waits until 20")


def test_who_completed_a_task_is_logged():
    task = replace(TASK, status=TaskStatus.SUCCEEDED, completed_by="anna")
    assert messages(Decision(), task) == [("info", "task a succeeded: completed by anna")]


def test_the_metadata_of_an_entry_has_the_task():
    task = replace(TASK, status=TaskStatus.FAILED, error="no", index=1, of=2, attempts=3)
    (entry,) = run_change(RUN, Decision(), NOW, update=(task,)).entries
    assert entry.metadata == {"task": "a", "index": 1, "taskId": TASK.id, "attempts": 3}
    assert (entry.subscription_id, entry.run_id) == (RUN.subscription_id, RUN.id)
    assert entry.created_at == NOW


def test_the_entry_of_a_failed_task_has_its_output_without_the_middle_of_long_texts():
    output = {"exitCode": 1, "stdout": "x" * 9_000}
    task = replace(TASK, status=TaskStatus.FAILED, error="no", output=output)
    (entry,) = run_change(RUN, Decision(), NOW, update=(task,)).entries
    half = "x" * 4_000
    stdout = f"{half}\n[... 1000 characters left out ...]\n{half}"
    assert entry.metadata["output"] == {"exitCode": 1, "stdout": stdout}


def test_log_entries_are_in_the_order_of_the_changes():
    first = log_entry(RUN, "info", "first", NOW)
    ended = replace(TASK, status=TaskStatus.FAILED, error="no")
    skipped = replace(TASK, name="b", status=TaskStatus.SKIPPED, reason="needs a, which failed")
    decision = Decision(create=(skipped,), end=RunEnd(RunStatus.FAILED, "task a failed: no"))
    change = run_change(RUN, decision, NOW, update=(ended,), entries=(first,))
    assert [entry.message for entry in change.entries] == [
        "first",
        "task a failed: no",
        "task b skipped: needs a, which failed",
        "run failed: task a failed: no",
    ]


@pytest.mark.parametrize(
    ("status", "level", "message"),
    [
        (RunStatus.SUCCEEDED, "info", "run succeeded"),
        (RunStatus.FAILED, "error", "run failed: why"),
        (RunStatus.CANCELLED, "error", "run cancelled: why"),
        (RunStatus.TIMED_OUT, "error", "run timed out: why"),
    ],
)
def test_the_end_of_a_run_is_logged_and_written(status: RunStatus, level: str, message: str):
    reason = None if status is RunStatus.SUCCEEDED else "why"
    change = run_change(
        replace(RUN, ending=RunStatus.FAILED), Decision(end=RunEnd(status, reason)), NOW
    )
    assert [(entry.level, entry.message) for entry in change.entries] == [(level, message)]
    assert change.entries[0].metadata == {"status": status.value, "durationSeconds": 90.0}
    after = change.run
    assert (after.status, after.reason, after.ended_at) == (status, reason, NOW)
    assert after.ending is None


def test_a_run_that_never_started_has_no_duration():
    queued = replace(RUN, status=RunStatus.QUEUED, started_at=None)
    change = run_change(queued, Decision(end=RunEnd(RunStatus.SKIPPED, "paused")), NOW)
    (entry,) = change.entries
    assert (entry.level, entry.message) == ("info", "run skipped: paused")
    assert entry.metadata["durationSeconds"] is None


@pytest.mark.parametrize("status", sorted(RUN_TRANSITIONS[RunStatus.RUNNING]))
def test_a_run_that_failed_or_timed_out_has_one_dead_letter(status: RunStatus):
    decision = Decision(end=RunEnd(status, "why"))
    letter = run_change(RUN, decision, NOW).dead_letter
    if status in {RunStatus.FAILED, RunStatus.TIMED_OUT}:
        assert letter is not None
        assert (letter.run_id, letter.subscription_id) == (RUN.id, RUN.subscription_id)
        assert (letter.reason, letter.created_at) == ("why", NOW)
        assert letter == run_change(RUN, decision, NOW).dead_letter
    else:
        assert letter is None


def test_a_run_that_is_going_to_fail_waits_for_its_on_failure_tasks():
    decision = Decision(create=(TASK,), ending=RunStatus.FAILED, reason="task a failed: no")
    change = run_change(RUN, decision, NOW)
    assert change.run == replace(RUN, ending=RunStatus.FAILED, reason="task a failed: no")
    assert (change.dead_letter, change.entries) == (None, ())
    assert run_change(change.run, decision, NOW).run == change.run


@pytest.mark.parametrize("kept", [None, {}, {"n": 1}])
def test_the_state_is_kept_when_the_decision_has_one(kept: dict[str, int] | None):
    change = run_change(RUN, Decision(end=RunEnd(RunStatus.SUCCEEDED), keep_state=kept), NOW)
    assert change.keep_state == kept


@pytest.mark.parametrize("before", RunStatus)
@pytest.mark.parametrize("after", RunStatus)
def test_a_run_changes_its_status_only_as_allowed(before: RunStatus, after: RunStatus):
    run, decision = replace(RUN, status=before), Decision(end=RunEnd(after))
    if after in RUN_TRANSITIONS[before]:
        assert run_change(run, decision, NOW).run.status is after
    else:
        with pytest.raises(InternalError, match=f"cannot change from {before} to {after}$"):
            run_change(run, decision, NOW)


@pytest.mark.parametrize("before", TaskStatus)
@pytest.mark.parametrize("after", TaskStatus)
def test_a_task_changes_its_status_only_as_allowed(before: TaskStatus, after: TaskStatus):
    task = replace(TASK, status=before)
    if after is before or after in TASK_TRANSITIONS[before]:
        changed = change_task(task, after, error="e", attempts=2)
        assert changed == replace(task, status=after, error="e", attempts=2)
    else:
        with pytest.raises(InternalError, match=f"cannot change from {before} to {after}$"):
            change_task(task, after)


def test_a_status_without_transitions_is_an_end():
    assert {"succeeded", "failed", "skipped", "missed", "cancelled", "timed_out"} == ENDED_RUNS
    assert {"succeeded", "failed", "skipped", "cancelled"} == ENDED_TASKS
    assert set(RUN_TRANSITIONS) == set(RunStatus)
    assert set(TASK_TRANSITIONS) == set(TaskStatus)


def test_with_tasks_replaces_one_task_and_keeps_the_order():
    spec = DefinitionSpec.model_validate_json('{"tasks": [{"name": "a", "say": {}}]}')
    other = replace(TASK, id=ids.task_id(RUN.id, "b", 0), name="b")
    state = RunState(RUN, spec, (TASK, other))
    ended = replace(TASK, status=TaskStatus.SUCCEEDED)
    assert with_tasks(state, ended).tasks == (ended, other)
