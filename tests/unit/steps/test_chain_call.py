"""Tasks that follow one another are carried out by few calls, with the promises of single ones."""

import asyncio
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from temporalio.testing import ActivityEnvironment

from activityctl.domain.runs.run import RunStatus, TaskStatus
from activityctl.domain.runs.stopping import LOST
from activityctl.errors import TaskError
from activityctl.executors.command import CommandBody
from activityctl.ports import ExecutorOutcome, TaskCall
from activityctl.workflows.calls import Orders, StopOrder
from support.flow import NOW, Flow

BODY = {"argv": ["true"]}
HANGS = "hangs"


class Scripted:
    """An executor whose attempts do what a test says, by task and attempt."""

    kind = "command"
    body = CommandBody

    def __init__(self) -> None:
        self.calls: list[tuple[str, int, str, float]] = []
        self.script: dict[tuple[str, int], str] = {}
        self.hangs = asyncio.Event()
        self.go_on: dict[tuple[str, int], asyncio.Event] = {}
        """Attempts that end when a test says so."""

    async def execute(self, _: object, call: TaskCall) -> ExecutorOutcome:
        at = (call.name, call.attempt)
        self.calls.append((*at, call.idempotency_key, call.timeout_seconds))
        match self.script.get(at):
            case "fails":
                raise TaskError("no", code="no")
            case "hangs":
                self.hangs.set()
                await asyncio.wait_for(self.go_on.setdefault(at, asyncio.Event()).wait(), 60)
        return ExecutorOutcome({"name": call.name})

    @property
    def attempts(self) -> list[tuple[str, int]]:
        return [(name, attempt) for name, attempt, *_ in self.calls]


def a_task(name: str, *needs: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "needs": list(needs), "command": BODY, **fields}


def a_chain(length: int = 4, **fields: dict[str, Any]) -> Flow:
    """Return the flow of tasks `t0`, `t1` and so on; `fields` are more fields of single ones."""
    tasks = [
        a_task(
            f"t{number}", *([f"t{number - 1}"] if number else []), **fields.get(f"t{number}", {})
        )
        for number in range(length)
    ]
    return Flow(Scripted(), tasks)


async def statuses(flow: Flow) -> dict[str, str]:
    return {task.name: task.status.value for task in await flow.tasks()}


async def test_one_call_carries_out_tasks_that_follow_one_another():
    flow = a_chain(4)
    (order,) = (await flow.admit()).start
    orders = await flow.call(order)
    assert orders.is_over
    tasks = await flow.tasks()
    assert orders.done == [task.id for task in tasks[1:]]
    assert flow.executor.attempts == [(f"t{number}", 1) for number in range(4)]
    assert [key for _, _, key, _ in flow.executor.calls] == [task.id for task in tasks]
    assert {(task.status, task.attempts) for task in tasks} == {(TaskStatus.SUCCEEDED, 1)}
    attempts = await flow.ports.run_lists.attempts([task.id for task in tasks])
    assert [str(attempt.outcome) for attempt in attempts] == ["succeeded"] * 4


async def test_a_call_ends_after_so_many_tasks(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("activityctl.steps.chain_call.TASKS_PER_CALL", 3)
    flow = a_chain(10)
    await flow.carry(await flow.admit())
    assert flow.executor.attempts == [(f"t{number}", 1) for number in range(10)]
    assert flow.calls == 4


@pytest.mark.parametrize(
    ("fields", "spec"),
    [
        ({"timeout": {"total": "1m"}}, {}),
        ({"timeout": {"scheduleToStart": "1m"}}, {}),
        ({"timeout": {"startToClose": "20m"}}, {}),
        ({"breaker": {"name": "b"}}, {}),
        ({"limit": "crm"}, {"limits": [{"name": "crm", "rate": 1000, "per": "1s"}]}),
    ],
)
async def test_what_needs_the_workflow_has_a_call_of_its_own(
    fields: dict[str, Any], spec: dict[str, Any]
):
    tasks = [a_task("t0"), a_task("t1", "t0", **fields), a_task("t2", "t1")]
    flow = Flow(Scripted(), tasks, **spec)
    (order,) = (await flow.admit()).start
    orders = await flow.call(order)
    assert [start.task_id for start in orders.start] == [(await flow.tasks("t1"))[0].id]
    await flow.carry(orders)
    assert await statuses(flow) == dict.fromkeys(("t0", "t1", "t2"), "succeeded")


async def test_what_may_run_side_by_side_is_left_to_the_workflow():
    tasks = [a_task("a"), a_task("b", "a"), a_task("c", "a"), a_task("d", "b", "c")]
    flow = Flow(Scripted(), tasks)
    (order,) = (await flow.admit()).start
    assert len((await flow.call(order)).start) == 2
    assert flow.executor.attempts == [("a", 1)]


async def test_items_one_by_one_and_rounds_go_on_too():
    tasks = [
        a_task("each", forEach=[1, 2, 3], maxParallel=1),
        a_task("again", "each", repeat={"max": 3}),
    ]
    flow = Flow(Scripted(), tasks)
    (order,) = (await flow.admit()).start
    assert (await flow.call(order)).is_over
    assert [name for name, _ in flow.executor.attempts] == ["each"] * 3 + ["again"] * 3


async def test_a_failed_attempt_is_repeated_with_the_limits_of_its_own_task():
    limits = {"t2": {"retry": {"maxAttempts": 3}, "timeout": {"startToClose": "7s"}}}
    flow = a_chain(4, **limits)
    flow.executor.script = {("t2", 1): "fails", ("t2", 2): "fails"}
    await flow.carry(await flow.admit())
    assert flow.executor.attempts == [
        ("t0", 1),
        ("t1", 1),
        ("t2", 1),
        ("t2", 2),
        ("t2", 3),
        ("t3", 1),
    ]
    assert {seconds for name, *_, seconds in flow.executor.calls if name == "t2"} == {7.0}
    assert set((await statuses(flow)).values()) == {"succeeded"}
    assert flow.calls == 3


async def test_a_task_that_fails_for_good_ends_the_run_in_the_same_call():
    flow = a_chain(4, t2={"retry": {"maxAttempts": 1}})
    flow.spec["onFailure"] = [a_task("page")]
    flow.executor.script = {("t2", 1): "fails"}
    await flow.carry(await flow.admit())
    run = await flow.ports.run_lists.find_run(flow.run_id)
    assert (run.status, run.reason) == (RunStatus.FAILED, "task t2 failed: no")
    assert flow.executor.attempts[-1] == ("page", 1)


async def test_another_worker_repeats_only_what_had_not_ended():
    flow = a_chain(4)
    flow.executor.script = {("t2", 1): HANGS}
    (order,) = (await flow.admit()).start
    lost = asyncio.create_task(flow.call(order))
    await flow.executor.hangs.wait()
    lost.cancel()
    with suppress(asyncio.CancelledError):
        await lost
    flow.step = flow.worker("there")
    await flow.carry(Orders(flow.run_id, is_over=False, start=[order]))
    assert flow.executor.attempts == [("t0", 1), ("t1", 1), ("t2", 1), ("t2", 2), ("t3", 1)]
    assert set((await statuses(flow)).values()) == {"succeeded"}


async def test_the_late_end_of_a_lost_attempt_ends_no_task_that_came_after_it():
    """A frozen worker goes on when another one has repeated the attempt and is at the next task."""
    flow = a_chain(2)
    hanging = [("t0", 1), ("t1", 1)]
    flow.executor.script = dict.fromkeys(hanging, HANGS)
    frozen, late = flow.executor.go_on.setdefault(hanging[0], asyncio.Event()), asyncio.Event()
    flow.executor.go_on[hanging[1]] = late
    (order,) = (await flow.admit()).start
    old = asyncio.create_task(flow.call(order))
    await flow.executor.hangs.wait()
    flow.executor.hangs.clear()
    flow.step = flow.worker("there")
    new = asyncio.create_task(flow.call(order))
    await flow.executor.hangs.wait()
    frozen.set()
    await asyncio.wait_for(old, 60)
    assert await statuses(flow) == {"t0": "succeeded", "t1": "running"}
    late.set()
    assert (await asyncio.wait_for(new, 60)).is_over
    assert flow.executor.attempts == [("t0", 1), ("t0", 2), ("t1", 1)]
    assert [task.output for task in await flow.tasks()] == [{"name": "t0"}, {"name": "t1"}]


async def test_an_answer_that_was_lost_is_given_again():
    tasks = [a_task("a"), a_task("b", "a"), a_task("c", "b"), a_task("d", "b")]
    flow = Flow(Scripted(), tasks)
    (order,) = (await flow.admit()).start
    first = await flow.call(order)
    second = await flow.call(order)
    assert [start.task_id for start in first.start] == [start.task_id for start in second.start]
    assert flow.executor.attempts == [("a", 1), ("b", 1)]


async def test_a_call_for_the_task_that_is_at_work_joins_it():
    """A new workflow orders the task itself, while the call of the old one is at it here."""
    flow = a_chain(3)
    flow.executor.script = {("t1", 1): HANGS}
    (order,) = (await flow.admit()).start
    old = asyncio.create_task(ActivityEnvironment().run(flow.step.execute, order))
    await flow.executor.hangs.wait()
    (task,) = await flow.tasks("t1")
    order = replace(order, task_id=task.id)
    new = asyncio.create_task(ActivityEnvironment().run(flow.step.execute, order))
    await asyncio.sleep(0.05)
    assert not new.done()
    assert flow.executor.attempts == [("t0", 1), ("t1", 1)]
    flow.step.stop([task.id])
    await asyncio.wait([old, new], timeout=60)
    assert old.done()
    assert new.done()


async def test_a_cancellation_stops_the_task_at_work_and_begins_no_other():
    flow = a_chain(4)
    flow.executor.script = {("t1", 1): HANGS}
    (order,) = (await flow.admit()).start
    flow.recorder.stop_here = flow.step.stop
    working = asyncio.create_task(ActivityEnvironment().run(flow.step.execute, order))
    await flow.executor.hangs.wait()
    await flow.ports.runs.request_cancel(flow.run_id, NOW)
    stop = StopOrder(flow.run_id, "cancelled", "cancelled on request", waits=True)
    assert (await flow.recorder.record(stop)).is_cancelling
    orders = await working
    assert orders.is_over
    assert await statuses(flow) == {
        "t0": "succeeded",
        "t1": "cancelled",
    }
    assert flow.executor.attempts == [("t0", 1), ("t1", 1)]


async def test_a_lost_call_of_a_run_that_is_cancelled_ends_the_task_that_it_was_at():
    flow = a_chain(3)
    flow.executor.script = {("t1", 1): HANGS}
    (order,) = (await flow.admit()).start
    lost = asyncio.create_task(flow.call(order))
    await flow.executor.hangs.wait()
    lost.cancel()
    with suppress(asyncio.CancelledError):
        await lost
    await flow.ports.runs.request_cancel(flow.run_id, NOW)
    await flow.recorder.record(StopOrder(flow.run_id, "cancelled", "no", waits=True))
    ended = StopOrder(flow.run_id, "cancelled", LOST, task_id=order.task_id)
    assert (await flow.recorder.record(ended)).is_over
    assert await statuses(flow) == {"t0": "succeeded", "t1": "cancelled"}
