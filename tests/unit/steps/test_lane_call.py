"""A large forEach is carried out by few calls, each of which takes one instance after the other."""

import asyncio
import json
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activityctl.adapters.memory.ports import memory_ports
from activityctl.domain.gitops.plan import Wanted
from activityctl.domain.gitops.planning import plan_changes
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.subscription import SubscriptionManifest
from activityctl.domain.runs import lanes
from activityctl.domain.runs.admission import begin, new_run
from activityctl.domain.runs.run import TaskInstance, TaskStatus
from activityctl.domain.runs.run_change import run_change
from activityctl.domain.timing.firing import FiringRequest
from activityctl.domain.values import ids
from activityctl.domain.values.selection import Selection
from activityctl.errors import TaskError
from activityctl.executors.command import CommandBody
from activityctl.ports import ExecutorOutcome, TaskCall
from activityctl.steps.execute import ExecuteStep
from activityctl.steps.orders import orders_of
from activityctl.steps.record import RecordStep
from activityctl.workflows.calls import Orders, StopOrder, TaskOrder

NOW = datetime(2026, 5, 1, tzinfo=UTC)
ITEMS = 30


class Counting:
    """An executor that counts how often, and how many at once; some attempts fail."""

    kind = "command"
    body = CommandBody

    def __init__(self) -> None:
        self.calls: Counter[int] = Counter()
        self.at_work = 0
        self.most = 0
        self.fails: set[tuple[int, int]] = set()
        self.hangs_at: int | None = None
        self.hangs = False

    async def execute(self, _: object, call: TaskCall) -> ExecutorOutcome:
        if call.name == "after":
            return ExecutorOutcome({})
        self.calls[call.index] += 1
        self.at_work += 1
        self.most = max(self.most, self.at_work)
        try:
            await asyncio.sleep(0)
            if call.index == self.hangs_at:
                self.hangs = True
                await asyncio.sleep(60)
            if (call.index, call.attempt) in self.fails:
                raise TaskError("no", code="no")
        finally:
            self.at_work -= 1
        return ExecutorOutcome({"index": call.index})


class Flow:
    """Carries a run out as its workflow does, with the real steps on ports in memory."""

    def __init__(self, max_parallel: int = 3, attempts: int = 2) -> None:
        self.ports = memory_ports()
        self.executor = Counting()
        self.recorder = RecordStep(self.ports.runs, lambda: NOW)
        self.step = self.worker("here")
        self.calls = 0
        each = {
            "name": "each",
            "forEach": list(range(ITEMS)),
            "maxParallel": max_parallel,
            "retry": {"maxAttempts": attempts},
            "command": {"argv": ["true"]},
        }
        after = {"name": "after", "needs": ["each"], "command": {"argv": ["true"]}}
        self.spec = {"tasks": [each, after]}

    def worker(self, name: str) -> ExecuteStep:
        executors: Any = {"command": self.executor}
        runs, logbook = self.ports.runs, self.ports.logbook
        clock = lambda: NOW  # noqa: E731
        return ExecuteStep(
            runs,
            logbook,
            executors,
            self.recorder,
            clock,
            name,
            lanes=self.ports.lanes,
            guards=self.ports.guards,
        )

    async def admit(self) -> Orders:
        named = {"metadata": {"name": "mine"}}
        definition = ActivityDefinition.model_validate_json(
            json.dumps({**named, "spec": self.spec})
        )
        manifest = SubscriptionManifest.model_validate({**named, "spec": {"activity": "mine"}})
        catalog = self.ports.catalog
        async with catalog.changing():
            wanted = Wanted({"mine": definition}, {"mine": manifest})
            await catalog.write(plan_changes(wanted, await catalog.present()), NOW)
        firing = FiringRequest(ids.subscription_id("mine"), "manual", "manual/1", NOW)
        await self.ports.outbox.add([firing], NOW)
        facts = await self.ports.runs.admission_input(firing.ref)
        assert facts is not None
        run, decision = begin(new_run(firing.ref, facts, NOW), facts.spec, NOW)
        change = run_change(run, decision, NOW)
        await self.ports.runs.open(firing.ref.workflow_id, change)
        self.run_id = run.id
        return orders_of(change.run, facts.spec, decision)

    async def carry(self, orders: Orders) -> None:
        """Execute every order once, and those that follow, until the run is over."""
        known: set[str] = set()
        working: set[asyncio.Task[Orders]] = set()
        while not orders.is_over:
            for order in orders.start:
                if order.task_id not in known:
                    known.add(order.task_id)
                    working.add(asyncio.create_task(self.call(order)))
            assert working, "the run is not over but has no task"
            done, working = await asyncio.wait(working, return_when=asyncio.FIRST_COMPLETED)
            answers = [task.result() for task in done]
            start = [order for answer in answers for order in answer.start]
            orders = Orders(self.run_id, any(answer.is_over for answer in answers), start)

    async def call(self, order: TaskOrder) -> Orders:
        """Call the step as Temporal does, again after each failure."""
        while True:
            self.calls += 1
            try:
                return await ActivityEnvironment().run(self.step.execute, order)
            except ApplicationError:
                continue

    async def tasks(self, name: str = "each") -> list[TaskInstance]:
        found = await self.ports.run_lists.tasks(Selection(run_id=self.run_id, limit=1000))
        return sorted((task for task in found if task.name == name), key=lambda task: task.index)


@pytest.fixture(autouse=True)
def few_make_lanes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "LANES_FROM", 10)


async def test_few_calls_carry_out_many_instances_each_once():
    flow = Flow()
    await flow.carry(await flow.admit())
    assert flow.executor.calls == dict.fromkeys(range(ITEMS), 1)
    assert flow.executor.most <= 3
    tasks = await flow.tasks()
    assert [task.output for task in tasks] == [{"index": index} for index in range(ITEMS)]
    assert {task.status for task in tasks} == {TaskStatus.SUCCEEDED}
    assert flow.calls == 3 + 1
    (after,) = await flow.tasks("after")
    assert after.status is TaskStatus.SUCCEEDED


async def test_a_long_lane_goes_on_in_new_calls(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("activityctl.steps.lane_call.INSTANCES_PER_CALL", 4)
    flow = Flow()
    await flow.carry(await flow.admit())
    assert flow.executor.calls == dict.fromkeys(range(ITEMS), 1)
    assert flow.executor.most <= 3
    assert ITEMS / 4 < flow.calls - 1 < ITEMS / 4 + 4


async def test_a_failed_attempt_is_repeated_and_the_lane_goes_on():
    flow = Flow()
    flow.executor.fails = {(0, 1), (7, 1), (20, 1), (29, 1)}
    await flow.carry(await flow.admit())
    repeated = {index: count for index, count in flow.executor.calls.items() if count > 1}
    assert repeated == {0: 2, 7: 2, 20: 2, 29: 2}
    assert {task.status for task in await flow.tasks()} == {TaskStatus.SUCCEEDED}


async def test_an_instance_that_fails_for_good_does_not_stop_the_others():
    flow = Flow(attempts=1)
    flow.executor.fails = {(5, 1), (29, 1)}
    await flow.carry(await flow.admit())
    tasks = await flow.tasks()
    assert [task.index for task in tasks if task.status is TaskStatus.FAILED] == [5, 29]
    assert sum(task.status is TaskStatus.SUCCEEDED for task in tasks) == ITEMS - 2
    run = await flow.ports.run_lists.find_run(flow.run_id)
    assert (run.status, run.reason) == ("failed", "task each[5] failed: no")


async def test_another_worker_goes_on_with_the_lane_of_a_lost_one():
    flow = Flow(max_parallel=1)
    flow.executor.hangs_at = 4
    (order,) = (await flow.admit()).start
    lost = asyncio.create_task(flow.call(order))
    while not flow.executor.hangs:
        await asyncio.sleep(0)
    lost.cancel()
    with suppress(asyncio.CancelledError):
        await lost
    flow.executor.hangs_at = None
    flow.step = flow.worker("there")
    await flow.carry(Orders(flow.run_id, is_over=False, start=[order]))
    repeated = {index: count for index, count in flow.executor.calls.items() if count > 1}
    assert repeated == {4: 2}
    assert {task.status for task in await flow.tasks()} == {TaskStatus.SUCCEEDED}


async def test_the_workflow_ends_the_open_instance_of_a_lane_by_its_order():
    flow = Flow(max_parallel=1)
    (order,) = (await flow.admit()).start
    begun = await flow.ports.runs.begin_attempt(order.task_id, NOW, "here")
    assert begun is not None
    stop = StopOrder(flow.run_id, "failed", "the worker was lost", task_id=order.task_id)
    flow.executor.fails = {(1, 1)}
    await flow.recorder.record(stop)
    assert (await flow.tasks())[0].error == "the worker was lost"
