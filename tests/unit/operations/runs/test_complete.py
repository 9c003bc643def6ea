"""Completing a task: which one, with which answer, and what a second answer gets."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from activityctl.adapters.memory.ports import MemoryPorts, memory_ports
from activityctl.adapters.memory.state import MemoryState, RunRow, TaskRow, WaitRow
from activityctl.domain.runs.run import Run, RunStatus, TaskInstance, TaskStatus
from activityctl.domain.runs.waiting import Answer, Wait
from activityctl.domain.values import ids
from activityctl.errors import (
    ActivityctlError,
    ConflictError,
    InvalidInputError,
    NotFoundError,
    RefusedError,
    UsageError,
)
from activityctl.operations.runs.complete import (
    checked_output,
    complete,
    field_problems,
    find_task,
    require_waiting,
)
from support.runs import begun_run_of

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
FORM = {
    "type": "object",
    "required": ["verdict"],
    "properties": {
        "verdict": {"$ref": "#/$defs/verdict"},
        "note": {"type": "string", "default": "none"},
    },
    "$defs": {"verdict": {"enum": ["approve", "reject"]}},
}
Given = Callable[..., Awaitable[Any]]


def task_of(run: Run, name: str = "review", index: int = 0, **fields: Any) -> TaskInstance:
    whole = {
        "id": ids.task_id(run.id, name, index),
        "run_id": run.id,
        "name": name,
        "index": index,
        "phase": "main",
        "kind": "manual",
        "status": TaskStatus.WAITING,
        "created_at": NOW,
        "started_at": NOW,
        "input": {"assignee": "anna", "form": FORM},
        **fields,
    }
    return TaskInstance(**whole)


def stored(*tasks: TaskInstance, run: Run) -> MemoryPorts:
    state = MemoryState()
    state.catalog.clock = lambda: NOW
    state.runs[run.id] = RunRow(run, "workflow")
    for task in tasks:
        state.tasks[task.id] = TaskRow(task)
        if task.status is TaskStatus.WAITING:
            wait = Wait(task.id, run.id, run.subscription_id, task.kind, NOW, None)
            state.waits[task.id] = WaitRow(wait)
    return memory_ports(state)


RUN = begun_run_of(NOW)
TASK = task_of(RUN)
YES = Answer({"verdict": "approve"}, by="anna")


async def test_a_task_is_found_by_id_prefix_or_name():
    second = [task_of(RUN, "each", index, of=2) for index in (0, 1)]
    lists = stored(TASK, *second, run=RUN).run_lists
    for reference in (TASK.id, TASK.id[:10], f"task/{TASK.id[:10]}", f"{RUN.id[:9]}/review"):
        assert await find_task(lists, reference) == TASK
    assert await find_task(lists, f"run/{RUN.id}/each[1]") == second[1]


@pytest.mark.parametrize(
    ("reference", "error"),
    [
        ("nothing", NotFoundError),
        ("", NotFoundError),
        (f"{RUN.id}/other", NotFoundError),
        ("nothing/review", NotFoundError),
        (f"{RUN.id}/each", ConflictError),
        ("subscription/review", UsageError),
    ],
)
async def test_a_task_that_is_not_found_or_not_the_only_one_is_an_error(
    reference: str, error: type[ActivityctlError]
):
    second = [task_of(RUN, "each", index, of=2) for index in (0, 1)]
    with pytest.raises(error):
        await find_task(stored(TASK, *second, run=RUN).run_lists, reference)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"kind": "http"}, "is of the kind http; only manual tasks wait for a person"),
        ({"status": TaskStatus.PENDING}, "does not wait yet"),
    ],
)
def test_only_a_waiting_manual_task_can_be_completed(fields: dict[str, Any], reason: str):
    with pytest.raises(RefusedError, match=reason):
        require_waiting(task_of(RUN, **fields))


async def test_the_output_gets_the_defaults_of_the_form_and_is_on_record():
    waits = stored(TASK, run=RUN).waits
    done = await complete(waits, TASK, YES)
    assert done.given.answer == Answer({"verdict": "approve", "note": "none"}, None, "anna")
    assert (done.given.at, done.given.is_new) == (NOW, True)
    assert await waits.to_settle(timedelta(0)) == [(RUN.id, "workflow")]


async def test_the_same_answer_again_is_no_error_and_another_one_is_a_conflict():
    waits = stored(TASK, run=RUN).waits
    await complete(waits, TASK, YES)
    again = await complete(waits, TASK, Answer({"verdict": "approve"}, by="berta"))
    assert (again.given.is_new, again.given.answer.by) == (False, "anna")
    for other in (Answer({"verdict": "reject"}, by="berta"), Answer(error="no", by="berta")):
        with pytest.raises(ConflictError, match=r"completed by anna at 2026-05-01T12:00") as caught:
            await complete(waits, TASK, other)
        assert caught.value.exit_code == 5


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        ({}, "'verdict' is a required property"),
        ({"verdict": "maybe"}, "verdict: 'maybe' is not one of"),
        ({"verdict": "approve", "note": 1}, "note: 1 is not of type 'string'"),
        ("approve", "'approve' is not of type 'object'"),
        (None, "None is not of type 'object'"),
    ],
)
async def test_an_output_that_does_not_fit_the_form_is_refused(output: Any, reason: str):
    waits = stored(TASK, run=RUN).waits
    with pytest.raises(InvalidInputError) as caught:
        await complete(waits, TASK, Answer(output, by="anna"))
    assert reason in caught.value.message
    assert await waits.to_settle(timedelta(0)) == []


async def test_a_task_may_be_failed_without_an_output():
    done = await complete(stored(TASK, run=RUN).waits, TASK, Answer(error="no", by="anna"))
    assert done.given.is_new


async def test_a_task_that_waits_no_more_takes_no_answer():
    cancelled = task_of(RUN, status=TaskStatus.CANCELLED, reason="cancelled on request")
    with pytest.raises(ConflictError, match="has ended as cancelled: cancelled on request"):
        await complete(stored(cancelled, run=RUN).waits, cancelled, YES)
    stopping = begun_run_of(NOW, status=RunStatus.CANCELLING)
    with pytest.raises(ConflictError, match="waits no more: its run ends"):
        await complete(stored(TASK, run=stopping).waits, TASK, YES)


def test_one_field_is_checked_with_the_definitions_of_the_form():
    assert field_problems(FORM, "verdict", "approve") == []
    assert "is not one of" in field_problems(FORM, "verdict", "no")[0]


def test_without_a_form_any_output_fits():
    plain = task_of(RUN, input={"instructions": "x"})
    for output in (None, 1, "text", {"a": [1]}):
        assert checked_output(plain, output) == output
