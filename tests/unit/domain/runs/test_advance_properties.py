"""Random definitions carried out by a workflow in miniature, with every rule of `advance`."""

import itertools
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from activityctl.domain.manifests.definition import DefinitionSpec, TaskTemplate
from activityctl.domain.runs.advance import advance, stop
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
from activityctl.domain.values import ids
from support.runs import begun_run_of

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
RUN = begun_run_of(NOW)
NOT_A_LIST = "${ 5 }"
FAILS = "${ params.missing }"


@dataclass(frozen=True)
class Moment:
    """One decision, what it wrote, and who is at work after it."""

    before: RunState
    decision: Decision
    change: RunChange
    after: RunState
    at_work: tuple[TaskInstance, ...]


@dataclass
class Story:
    """A run carried out as the workflow does it, from admission to its end."""

    state: RunState
    choices: Iterator[int]
    at_work: dict[str, TaskInstance] = field(default_factory=dict)
    moments: list[Moment] = field(default_factory=list)

    def tell(self, stop_at: int, stop_as: RunStatus) -> None:
        self.write(advance(self.state, NOW))
        while not self.state.run.has_ended:
            assert self.at_work, "the run is not over but has no task"
            assert len(self.moments) < 100, "the run does not end"
            if len(self.moments) == stop_at:
                self.at_work.clear()
                self.write(stop(self.state, stop_as, "stopped", NOW))
            else:
                self.end_some_task()

    def end_some_task(self) -> None:
        for task in self.at_work.values():  # some have found a worker by now
            if task.status is TaskStatus.PENDING and next(self.choices) % 2:
                self.change(change_task(task, TaskStatus.RUNNING, attempts=1))
        choice = next(self.choices)
        task = self.at_work[list(self.at_work)[choice % len(self.at_work)]]
        fails = choice % 7 == 0
        if task.status is TaskStatus.PENDING and not fails:
            task = change_task(task, TaskStatus.RUNNING, attempts=1)
        status = TaskStatus.FAILED if fails else TaskStatus.SUCCEEDED
        error = "boom" if fails else None
        self.change(change_task(task, status, error=error, output=choice, ended_at=NOW))
        del self.at_work[task.id]
        self.write(advance(self.state, NOW))

    def change(self, task: TaskInstance) -> None:
        self.at_work[task.id] = task
        self.state = with_tasks(self.state, task)

    def write(self, decision: Decision) -> None:
        before, change = self.state, run_change(self.state.run, decision, NOW)
        after = replace(before, run=change.run, tasks=before.tasks + change.create)
        for task in change.update:
            after = with_tasks(after, task)
        self.state = after
        for task in decision.start:
            self.at_work.setdefault(task.id, task)
        self.moments.append(Moment(before, decision, change, after, tuple(self.at_work.values())))


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
def stories(draw: st.DrawFn, *, stopped: bool = False) -> Story:
    document = {"tasks": draw(tasks("t", 1, 6)), "onFailure": draw(tasks("f", 0, 2))}
    spec = DefinitionSpec.model_validate_json(json.dumps(document))
    choices = itertools.cycle(draw(st.lists(st.integers(0, 10_000), min_size=1, max_size=20)))
    story = Story(RunState(RUN, spec, ()), choices)
    how = st.sampled_from([RunStatus.CANCELLED, RunStatus.TIMED_OUT])
    story.tell(draw(st.integers(1, 8)) if stopped else -1, draw(how) if stopped else RUN.status)
    return story


any_story = st.booleans().flatmap(lambda stopped: stories(stopped=stopped))
fast = settings(max_examples=70, deadline=None)


def group(state: RunState, name: str) -> list[TaskInstance]:
    return [task for task in state.tasks if task.name == name]


def succeeded(tasks: list[TaskInstance]) -> bool:
    return bool(tasks) and all(
        task.status is TaskStatus.SUCCEEDED or task.of == 0 for task in tasks
    )


def templates(spec: DefinitionSpec) -> tuple[TaskTemplate, ...]:
    return (*spec.tasks, *spec.on_failure)


@fast
@given(any_story)
def test_every_run_ends_with_all_its_tasks_and_within_the_tables(story: Story):
    for moment in story.moments:
        known = {task.id: task.status for task in moment.before.tasks}
        for task in moment.change.update:
            assert task.status in TASK_TRANSITIONS[known[task.id]]
        now, then = moment.after.run.status, moment.before.run.status
        assert now is then or now in RUN_TRANSITIONS[then]
    assert story.state.run.has_ended
    assert all(task.has_ended and task.ended_at for task in story.state.tasks)
    assert story.state.run.ending is None


@fast
@given(any_story)
def test_a_decision_that_was_applied_gives_nothing_new(story: Story):
    for moment in story.moments:
        again = advance(moment.after, NOW)
        assert (again.create, again.cancel, again.end) == ((), (), None)
        assert again.start == moment.decision.start
        change = run_change(moment.after.run, again, NOW)
        assert (change.run, change.entries) == (moment.after.run, ())


@fast
@given(any_story)
def test_a_task_starts_after_all_it_needs_and_never_too_many_at_once(story: Story):
    by_name = {template.name: template for template in templates(story.state.spec)}
    for moment in story.moments:
        for task in moment.decision.start:
            assert task.status is TaskStatus.PENDING
            assert all(succeeded(group(moment.after, need)) for need in by_name[task.name].needs)
        for name, count in Counter(task.name for task in moment.at_work).items():
            assert count <= (by_name[name].max_parallel or 1)


@fast
@given(stories())
def test_a_task_is_skipped_for_a_reason_that_is_true(story: Story):
    for template in templates(story.state.spec):
        found = group(story.state, template.name)
        missed = [need for need in template.needs if not succeeded(group(story.state, need))]
        reasons = {
            f"needs {need}, which {'failed' if failed else 'was skipped'}"
            for need in missed
            for failed in [any(task.status == "failed" for task in group(story.state, need))]
        }
        if missed and found:
            assert [task.status for task in found] == [TaskStatus.SKIPPED]
            assert found[0].reason in reasons
        elif template.when == "false" and found:
            assert [task.reason for task in found] == ["when is false: false"]
        else:
            assert all(task.status is not TaskStatus.SKIPPED or task.of == 0 for task in found)


@fast
@given(stories())
def test_a_run_fails_when_a_task_failed_and_only_then_runs_on_failure(story: Story):
    state = story.state
    main = [task for task in state.tasks if task.phase == "main"]
    failed = [task for task in main if task.status is TaskStatus.FAILED]
    assert state.run.status is (RunStatus.FAILED if failed else RunStatus.SUCCEEDED)
    assert {task.name for task in main} == {template.name for template in state.spec.tasks}
    after = {task.name for task in state.tasks if task.phase == "onFailure"}
    assert after == ({template.name for template in state.spec.on_failure} if failed else set())
    letters = [moment.change.dead_letter for moment in story.moments if moment.change.dead_letter]
    assert [letter.reason for letter in letters] == ([state.run.reason] if failed else [])


@fast
@given(any_story)
def test_ids_and_indexes_are_computed_unique_and_stable(story: Story):
    tasks = story.state.tasks
    assert len({task.id for task in tasks}) == len(tasks)
    assert all(task.id == ids.task_id(RUN.id, task.name, task.index) for task in tasks)
    for name in {task.name for task in tasks}:
        found = group(story.state, name)
        assert [task.index for task in found] == list(range(found[0].of or 1))
    created = [task.id for moment in story.moments for task in moment.change.create]
    assert created == [task.id for task in tasks]


@fast
@given(stories(stopped=True))
def test_a_run_stopped_at_any_moment_ends_as_it_should(story: Story):
    state = story.state
    stopped = [one for one in story.moments if one.decision.cancel]
    if not stopped:
        assert state.run.status in {RunStatus.SUCCEEDED, RunStatus.FAILED}
        return
    (moment,) = stopped
    assert all(task.status is TaskStatus.CANCELLED for task in moment.decision.cancel)
    was_failing = moment.before.run.ending is RunStatus.FAILED
    main_tasks = len(moment.before.tasks)
    if state.run.status is RunStatus.CANCELLED:
        assert len(state.tasks) == main_tasks
    elif was_failing:
        assert state.run.status is RunStatus.FAILED
        assert len(state.tasks) == main_tasks
    else:
        assert (state.run.status, state.run.reason) == (RunStatus.TIMED_OUT, "stopped")
        after = {task.name for task in state.tasks if task.phase == "onFailure"}
        assert after == {template.name for template in state.spec.on_failure}
        again = stop(moment.after, RunStatus.TIMED_OUT, "again", NOW)
        assert (again.create, again.cancel, again.end) == ((), (), None)
