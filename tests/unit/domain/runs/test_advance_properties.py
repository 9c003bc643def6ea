"""Properties of `advance`: random definitions, executed step by step as the workflow does."""

import itertools
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.manifests.task_template import TaskTemplate
from activityctl.domain.runs.advance import advance
from activityctl.domain.runs.run import (
    RUN_TRANSITIONS,
    TASK_TRANSITIONS,
    Decision,
    RunState,
    RunStatus,
    TaskInstance,
    TaskStatus,
)
from activityctl.domain.runs.run_change import RunChange, change_task, run_change, with_tasks
from activityctl.domain.runs.stopping import Stop, stop
from activityctl.domain.values import ids
from support.examples import examples
from support.runs import begun_run_of

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
RUN = begun_run_of(NOW)
NOT_A_LIST = "${ 5 }"
FAILS = "${ params.missing }"


@dataclass(frozen=True)
class AppliedDecision:
    """One decision, what it wrote, and which tasks are started after it."""

    before: RunState
    decision: Decision
    change: RunChange
    after: RunState
    started: tuple[TaskInstance, ...]


@dataclass
class SimulatedRun:
    """A run that is executed as the workflow does it, from admission to its end."""

    state: RunState
    choices: Iterator[int]
    started: dict[str, TaskInstance] = field(default_factory=dict)
    decisions: list[AppliedDecision] = field(default_factory=list)

    def execute(self, stop_at: int, stop_as: RunStatus) -> None:
        self.write(advance(self.state, NOW))
        while not self.state.run.has_ended:
            assert self.started, "the run is not over but no task is started"
            assert len(self.decisions) < 100, "the run does not end"
            if len(self.decisions) == stop_at:
                self.write(stop(self.state, Stop(stop_as, "stopped"), NOW))
            else:
                self.end_some_task()

    def end_some_task(self) -> None:
        for task in self.started.values():  # a worker has begun some of them
            if task.status is TaskStatus.PENDING and next(self.choices) % 2:
                self.change(change_task(task, TaskStatus.RUNNING, attempts=1))
        choice = next(self.choices)
        task = self.started[list(self.started)[choice % len(self.started)]]
        fails = choice % 7 == 0
        if task.status is TaskStatus.PENDING and not fails:
            task = change_task(task, TaskStatus.RUNNING, attempts=1)
        status = TaskStatus.FAILED if fails else TaskStatus.SUCCEEDED
        if self.state.run.status is RunStatus.CANCELLING and choice % 3:
            status = TaskStatus.CANCELLED
        error = "boom" if fails else None
        self.change(change_task(task, status, error=error, output=choice, ended_at=NOW))
        del self.started[task.id]
        self.write(advance(self.state, NOW))

    def change(self, task: TaskInstance) -> None:
        self.started[task.id] = task
        self.state = with_tasks(self.state, task)

    def write(self, decision: Decision) -> None:
        before, change = self.state, run_change(self.state.run, decision, NOW)
        after = replace(before, run=change.run, tasks=before.tasks + change.create)
        for task in change.update:
            after = with_tasks(after, task)
            self.started.pop(task.id, None)
        self.state = after
        for task in decision.start:
            self.started.setdefault(task.id, task)
        started = tuple(self.started.values())
        if change.run.status is RunStatus.CANCELLING:
            assert started, "the run waits for tasks, but none is at work"
            assert not decision.start, "a run that is cancelling starts a task"
        self.decisions.append(AppliedDecision(before, decision, change, after, started))


@st.composite
def tasks(draw: st.DrawFn, prefix: str, least: int, most: int) -> list[dict[str, Any]]:
    names = [f"{prefix}{number}" for number in range(draw(st.integers(least, most)))]
    found = []
    for index, name in enumerate(names):
        task: dict[str, Any] = {
            "name": name,
            "say": draw(st.sampled_from(["hello"] * 9 + [FAILS])),
            "needs": draw(st.lists(st.sampled_from(names[:index]), unique=True, max_size=3))
            if index
            else [],
        }
        if when := draw(st.sampled_from([None] * 6 + ["true", "false", "params.missing"])):
            task["when"] = when
        if draw(st.booleans()):
            items = st.lists(st.integers(0, 9), max_size=4)
            task["forEach"] = draw(items if draw(st.integers(0, 7)) else st.just(NOT_A_LIST))
            task["maxParallel"] = draw(st.sampled_from([1, 2, 3, 1000]))
        found.append(task)
    return draw(st.permutations(found))


@st.composite
def runs(draw: st.DrawFn, *, stopped: bool = False) -> SimulatedRun:
    document = {"tasks": draw(tasks("t", 1, 6)), "onFailure": draw(tasks("f", 0, 2))}
    spec = DefinitionSpec.model_validate_json(json.dumps(document))
    choices = itertools.cycle(draw(st.lists(st.integers(0, 10_000), min_size=1, max_size=20)))
    run = SimulatedRun(RunState(RUN, spec, ()), choices)
    how = st.sampled_from([RunStatus.CANCELLED, RunStatus.TIMED_OUT])
    run.execute(draw(st.integers(1, 8)) if stopped else -1, draw(how) if stopped else RUN.status)
    return run


any_run = st.booleans().flatmap(lambda stopped: runs(stopped=stopped))
fast = settings(max_examples=examples(70), deadline=None)


def group(state: RunState, name: str) -> list[TaskInstance]:
    return [task for task in state.tasks if task.name == name]


def succeeded(tasks: list[TaskInstance]) -> bool:
    return bool(tasks) and all(
        task.status is TaskStatus.SUCCEEDED or task.of == 0 for task in tasks
    )


def templates(spec: DefinitionSpec) -> tuple[TaskTemplate, ...]:
    return (*spec.tasks, *spec.on_failure)


@fast
@given(any_run)
def test_every_run_ends_with_its_tasks_by_allowed_changes_of_status(run: SimulatedRun):
    for applied in run.decisions:
        known = {task.id: task.status for task in applied.before.tasks}
        for task in applied.change.update:
            assert task.status in TASK_TRANSITIONS[known[task.id]]
        now, then = applied.after.run.status, applied.before.run.status
        assert now is then or now in RUN_TRANSITIONS[then]
    assert run.state.run.has_ended
    assert all(task.has_ended and task.ended_at for task in run.state.tasks)
    assert run.state.run.ending is None


@fast
@given(any_run)
def test_deciding_again_gives_nothing_new(run: SimulatedRun):
    for applied in run.decisions:
        again = advance(applied.after, NOW)
        assert (again.create, again.cancel, again.end) == ((), (), None)
        assert again.start == applied.decision.start
        change = run_change(applied.after.run, again, NOW)
        assert (change.run, change.entries) == (applied.after.run, ())


@fast
@given(any_run)
def test_a_task_starts_after_all_it_needs_and_max_parallel_holds(run: SimulatedRun):
    by_name = {template.name: template for template in templates(run.state.spec)}
    for applied in run.decisions:
        for task in applied.decision.start:
            assert task.status is TaskStatus.PENDING
            assert all(succeeded(group(applied.after, need)) for need in by_name[task.name].needs)
        for name, count in Counter(task.name for task in applied.started).items():
            assert count <= (by_name[name].max_parallel or 1)


@fast
@given(runs())
def test_the_reason_of_a_skipped_task_is_true(run: SimulatedRun):
    for template in templates(run.state.spec):
        found = group(run.state, template.name)
        missed = [need for need in template.needs if not succeeded(group(run.state, need))]
        reasons = {
            f"needs {need}, which {'failed' if failed else 'was skipped'}"
            for need in missed
            for failed in [any(task.status == "failed" for task in group(run.state, need))]
        }
        if missed and found:
            assert [task.status for task in found] == [TaskStatus.SKIPPED]
            assert found[0].reason in reasons
        elif template.when == "false" and found:
            assert [task.reason for task in found] == ["when is false: false"]
        else:
            assert all(task.status is not TaskStatus.SKIPPED or task.of == 0 for task in found)


@fast
@given(runs())
def test_a_run_fails_when_a_task_failed_and_only_then_runs_on_failure(run: SimulatedRun):
    state = run.state
    main = [task for task in state.tasks if task.phase == "main"]
    failed = [task for task in main if task.status is TaskStatus.FAILED]
    assert state.run.status is (RunStatus.FAILED if failed else RunStatus.SUCCEEDED)
    assert {task.name for task in main} == {template.name for template in state.spec.tasks}
    after = {task.name for task in state.tasks if task.phase == "onFailure"}
    assert after == ({template.name for template in state.spec.on_failure} if failed else set())
    letters = [
        applied.change.dead_letter for applied in run.decisions if applied.change.dead_letter
    ]
    assert [letter.reason for letter in letters] == ([state.run.reason] if failed else [])


@fast
@given(any_run)
def test_ids_and_indexes_are_computed_and_unique(run: SimulatedRun):
    tasks = run.state.tasks
    assert len({task.id for task in tasks}) == len(tasks)
    assert all(task.id == ids.task_id(RUN.id, task.name, task.index) for task in tasks)
    for name in {task.name for task in tasks}:
        found = group(run.state, name)
        assert [task.index for task in found] == list(range(found[0].of or 1))
    created = [task.id for applied in run.decisions for task in applied.change.create]
    assert created == [task.id for task in tasks]


@fast
@given(runs(stopped=True))
def test_a_run_that_is_stopped_at_any_time_ends_correctly(run: SimulatedRun):
    state = run.state
    stopped = [
        applied
        for applied in run.decisions
        if applied.decision.cancel or applied.decision.waits_for
    ]
    if not stopped:
        assert state.run.status in {RunStatus.SUCCEEDED, RunStatus.FAILED}
        return
    (applied,) = stopped
    assert all(task.status is TaskStatus.CANCELLED for task in applied.decision.cancel)
    assert not any(task.is_at_work for task in applied.decision.cancel)
    was_failing = applied.before.run.ending is RunStatus.FAILED
    main_tasks = len(applied.before.tasks)
    if state.run.status is RunStatus.CANCELLED:
        assert len(state.tasks) == main_tasks
    elif was_failing:
        assert state.run.status is RunStatus.FAILED
        assert len(state.tasks) == main_tasks
    else:
        assert state.run.status is RunStatus.TIMED_OUT
        first, _, others = str(state.run.reason).partition("; onFailure task ")
        has_failed = any(
            task.phase == "onFailure" and task.status is TaskStatus.FAILED for task in state.tasks
        )
        assert (first, bool(others)) == ("stopped", has_failed)
        after = {task.name for task in state.tasks if task.phase == "onFailure"}
        assert after == {template.name for template in state.spec.on_failure}
        again = stop(applied.after, Stop(RunStatus.TIMED_OUT, "again"), NOW)
        assert (again.create, again.cancel, again.end) == ((), (), None)


@fast
@given(runs(stopped=True))
def test_a_run_ends_and_runs_on_failure_only_after_its_main_tasks(run: SimulatedRun):
    for applied in run.decisions:
        after = applied.after
        reached = any(task.phase == "onFailure" for task in after.tasks)
        if after.run.has_ended or reached:
            assert all(task.has_ended for task in after.tasks if task.phase == "main")
        assert all(task.has_ended for task in after.tasks) or not after.run.has_ended


@fast
@given(runs(stopped=True))
def test_a_run_whose_tasks_do_not_stop_ends_all_the_same(run: SimulatedRun):
    for applied in run.decisions:
        if applied.after.run.status is not RunStatus.CANCELLING:
            continue
        is_cancelled = applied.after.run.ending is RunStatus.CANCELLED
        how = RunStatus.CANCELLED if is_cancelled else RunStatus.TIMED_OUT
        decision = stop(applied.after, Stop(how, "stopped", waits=False), NOW)
        change = run_change(applied.after.run, decision, NOW)
        assert change.run.has_ended or any(task.phase == "onFailure" for task in change.create)
        assert "did not end within 30s and may still run" in (change.run.reason or "")
