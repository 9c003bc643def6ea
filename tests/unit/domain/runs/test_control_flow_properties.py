"""Properties of runs whose tasks hold other tasks: random trees, executed step by step."""

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.runs.advance import advance, resume
from activityctl.domain.runs.run import (
    RUN_TRANSITIONS,
    TASK_TRANSITIONS,
    Decision,
    RunState,
    RunStatus,
    TaskInstance,
    TaskStatus,
)
from activityctl.domain.runs.run_change import change_task, run_change, with_tasks
from activityctl.domain.runs.stopping import Stop, stop
from support.examples import examples
from support.runs import begun_run_of

BEGAN = datetime(2026, 5, 1, 12, tzinfo=UTC)
fast = settings(max_examples=examples(60), deadline=None)
Names = Iterator[int]


@st.composite
def blocks(
    draw: st.DrawFn, names: Names, depth: int, *, may_stop: bool = True
) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for _ in range(draw(st.integers(1, 3))):
        task = draw(bodies(names, depth, may_stop=may_stop))
        before = [other["name"] for other in found if "stop" not in other]
        task["needs"] = draw(st.lists(st.sampled_from(before), unique=True)) if before else []
        found.append(task)
    return found


@st.composite
def bodies(draw: st.DrawFn, names: Names, depth: int, *, may_stop: bool) -> dict[str, Any]:
    kinds = ["say"] * 4 + ["value"] + (["tasks", "switch"] * 2 if depth else [])
    kind = draw(st.sampled_from([*kinds, "stop"] if may_stop else kinds))
    task: dict[str, Any] = {"name": f"t{next(names)}"}
    match kind:
        case "tasks":
            task["tasks"] = draw(blocks(names, depth - 1))
            if draw(st.booleans()):
                task["retry"] = {"maxAttempts": 2, "initialInterval": "0s"}
        case "switch":
            whens = draw(st.lists(st.sampled_from(["true", "false"]), min_size=1, max_size=2))
            cases = [{"when": when, "tasks": draw(blocks(names, depth - 1))} for when in whens]
            default = draw(blocks(names, 0)) if draw(st.booleans()) else []
            task["switch"] = {"cases": cases, "default": default}
        case "stop":
            status = draw(st.sampled_from(["succeeded", "failed", "skipped"]))
            return {**task, "stop": {"status": status}, "when": draw(rarely)}
        case _:
            task[kind] = "hello"
    task |= draw(options(names, task["name"]))
    return task


rarely = st.sampled_from(["false"] * 3 + ["true"])


@st.composite
def options(draw: st.DrawFn, names: Names, name: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if draw(st.integers(0, 4)) == 0:
        found["when"] = draw(st.sampled_from(["true", "false"]))
    if draw(st.integers(0, 3)) == 0:
        found["forEach"] = draw(st.lists(st.integers(0, 9), max_size=3))
        found["maxParallel"] = draw(st.integers(1, 3))
    if draw(st.integers(0, 3)) == 0:
        delay = draw(st.sampled_from(["0s", "1m"]))
        until = draw(st.sampled_from([None, "false", f"size(tasks.{name}.rounds) > 1"]))
        found["repeat"] = {"max": draw(st.integers(1, 3)), "delay": delay, "until": until}
    found["continueOnError"] = draw(st.integers(0, 4)) == 0
    if draw(st.integers(0, 2)) == 0:
        found["undo"] = [{"name": f"u{next(names)}", "say": f"${{ tasks.{name}.status }}"}]
    return found


@dataclass
class SimulatedRun:
    """A run that is executed as the workflow does it, with a clock that goes on."""

    state: RunState
    choices: Iterator[int]
    now: datetime = BEGAN
    started: set[str] = field(default_factory=set)
    trail: list[tuple[RunState, Decision, RunState]] = field(default_factory=list)

    def execute(self, stop_at: int = -1, status: RunStatus = RunStatus.CANCELLED) -> None:
        self.write(advance(self.state, self.now))
        while not self.state.run.has_ended:
            assert self.started, "the run is not over but no task is started"
            assert len(self.trail) < 400, "the run does not end"
            self.now += timedelta(seconds=1)
            if len(self.trail) == stop_at:
                self.write(stop(self.state, Stop(status, "stopped"), self.now))
            elif next(self.choices) % 5 == 0:
                self.lose_the_workflow()
            else:
                self.end_some_task()

    def lose_the_workflow(self) -> None:
        """A new workflow carries on; it must be told of the same tasks."""
        if self.state.run.status is RunStatus.CANCELLING:
            return self.end_some_task()
        told = {task.id for task in resume(self.state, self.now).start}
        assert self.started <= told
        return self.end_some_task()

    def end_some_task(self) -> None:
        choice = next(self.choices)
        key = sorted(self.started)[choice % len(self.started)]
        task = next(task for task in self.state.tasks if task.id == key)
        if task.is_container:  # a group whose time to begin has come
            self.replace_with(change_task(task, TaskStatus.RUNNING, started_at=self.now))
        else:
            if task.status is TaskStatus.PENDING:
                task = change_task(task, TaskStatus.RUNNING, attempts=1)
            fails = choice % 6 == 0
            is_stopped = self.state.run.status is RunStatus.CANCELLING and choice % 2
            status = TaskStatus.FAILED if fails else TaskStatus.SUCCEEDED
            status = TaskStatus.CANCELLED if is_stopped else status
            error = "boom" if fails else None
            end = change_task(task, status, error=error, output=choice, ended_at=self.now)
            self.replace_with(end)
        self.started.discard(key)
        self.write(advance(self.state, self.now))

    def replace_with(self, task: TaskInstance) -> None:
        self.state = with_tasks(self.state, task)

    def write(self, decision: Decision) -> None:
        before, change = self.state, run_change(self.state.run, decision, self.now)
        after = replace(before, run=change.run, tasks=before.tasks + change.create)
        for task in change.update:
            after = with_tasks(after, task)
        self.started |= {task.id for task in decision.start}
        open_tasks = {task.id for task in after.tasks if not task.has_ended}
        self.started &= open_tasks
        if change.run.status is RunStatus.CANCELLING:  # those at work are asked to stop
            for key in self.started:
                task = next(task for task in after.tasks if task.id == key)
                if task.status is TaskStatus.PENDING:
                    after = with_tasks(after, change_task(task, TaskStatus.RUNNING))
        self.state = after
        self.trail.append((before, decision, after))


@st.composite
def runs(draw: st.DrawFn) -> SimulatedRun:
    names = itertools.count()
    document = {
        "tasks": draw(blocks(names, 2)),
        "onFailure": draw(blocks(names, 0, may_stop=False)),
    }
    spec = DefinitionSpec.model_validate_json(json.dumps(document))
    choices = itertools.cycle(draw(st.lists(st.integers(0, 999), min_size=1, max_size=15)))
    run = SimulatedRun(RunState(begun_run_of(BEGAN), spec, ()), choices)
    stop_at = draw(st.sampled_from([-1, -1, 1, 2, 4, 7]))
    run.execute(stop_at, draw(st.sampled_from([RunStatus.CANCELLED, RunStatus.TIMED_OUT])))
    return run


@fast
@given(runs())
def test_every_tree_ends_and_no_status_changes_outside_of_its_table(run: SimulatedRun):
    assert run.state.run.has_ended
    assert all(task.has_ended and task.ended_at for task in run.state.tasks)
    for before, decision, after in run.trail:
        known = {task.id: task.status for task in before.tasks}
        for task in (*decision.change, *decision.wait, *decision.cancel):
            then = known[task.id]
            assert task.status is then or task.status in TASK_TRANSITIONS[then]
        now, then = after.run.status, before.run.status
        assert now is then or now in RUN_TRANSITIONS[then]


@fast
@given(runs())
def test_deciding_again_gives_nothing_new(run: SimulatedRun):
    for _, decision, after in run.trail:
        again = advance(after, run.now)
        assert (again.create, again.change, again.wait, again.cancel) == ((), (), (), ())
        assert again.end is None
        assert {task.id for task in decision.start} <= {task.id for task in again.start} | {
            task.id for task in after.tasks if task.status is not TaskStatus.PENDING
        }


@fast
@given(runs())
def test_only_what_succeeded_is_undone_each_once_and_the_last_first(run: SimulatedRun):
    undone = sorted(
        (task for task in run.state.tasks if task.phase == "undo"),
        key=lambda task: (task.created_at, task.ended_at),
    )
    by_address = {
        (task.name if not task.of else f"{task.name}[{task.index}]"): task
        for task in run.state.tasks
    }
    effects = [by_address[task.name.rpartition(".")[0]] for task in undone]
    assert all(effect.status is TaskStatus.SUCCEEDED for effect in effects)
    times = [effect.ended_at for effect in effects if effect.ended_at]
    assert times == sorted(times, reverse=True)
    if run.state.run.status in {RunStatus.SUCCEEDED, RunStatus.SKIPPED}:
        assert not undone


@fast
@given(runs())
def test_the_order_in_which_rows_are_read_does_not_matter(run: SimulatedRun):
    for before, _, _ in run.trail:
        mixed = tuple(sorted(before.tasks, key=lambda task: task.id))
        first, other = (advance(state, run.now) for state in (before, replace(before, tasks=mixed)))
        assert {task.id: task for task in first.create} == {task.id: task for task in other.create}
        assert {task.id for task in first.start} == {task.id for task in other.start}
        assert (first.end and first.end.status) == (other.end and other.end.status)


@fast
@given(runs())
def test_the_rows_of_a_run_have_different_names_and_indexes(run: SimulatedRun):
    keys = [(task.name, task.index) for task in run.state.tasks]
    assert len(set(keys)) == len(keys)
