"""A large forEach is carried out by few calls, each of which takes one instance after the other."""

import asyncio
from collections import Counter
from contextlib import suppress

import pytest

from activityctl.domain.runs import lanes
from activityctl.domain.runs.run import TaskStatus
from activityctl.domain.values import ids
from activityctl.domain.values.log import LogEntry, LogFilter
from activityctl.errors import TaskError
from activityctl.executors.command import CommandBody
from activityctl.executors.webhook_body import WebhookBody
from activityctl.ports import ExecutorOutcome, HookEnd, HookLedger, HookRow, TaskCall
from activityctl.workflows.calls import Orders, StopOrder
from support.flow import NOW, Flow

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
        self.freezes: dict[tuple[int, int], asyncio.Event] = {}
        self.frozen = asyncio.Event()

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
            if thawed := self.freezes.get((call.index, call.attempt)):
                self.frozen.set()
                await thawed.wait()
            if (call.index, call.attempt) in self.fails:
                raise TaskError("no", code="no")
        finally:
            self.at_work -= 1
        return ExecutorOutcome({"index": call.index})


def a_flow(max_parallel: int = 3, attempts: int = 2) -> Flow:
    each = {
        "name": "each",
        "forEach": list(range(ITEMS)),
        "maxParallel": max_parallel,
        "retry": {"maxAttempts": attempts},
        "command": {"argv": ["true"]},
    }
    after = {"name": "after", "needs": ["each"], "command": {"argv": ["true"]}}
    return Flow(Counting(), [each, after])


class Asking:
    """An executor that asks one behind hooks, which does not answer one of its triggers."""

    kind = "webhook"
    body = WebhookBody
    hooks: HookLedger

    async def execute(self, _: object, call: TaskCall) -> ExecutorOutcome:
        key = call.idempotency_key
        payload = {"requestID": key, "params": {"subAccountAddress": "0x1", "chainID": 1}}
        subscription = ids.subscription_id("mine")
        await self.hooks.begin(HookRow(key, subscription, call.run_id, key, payload, NOW))
        if call.index == 7:
            raise TaskError("no answer", code="unreachable", retryable=False)
        at = NOW
        entry = LogEntry(subscription, call.run_id, "told", "info", at)
        await self.hooks.close(key, HookEnd(None, None, entry, at))
        return ExecutorOutcome({})


@pytest.fixture(autouse=True)
def few_make_lanes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "LANES_FROM", 10)


async def test_few_calls_carry_out_many_instances_each_once():
    flow = a_flow()
    await flow.carry(await flow.admit())
    assert flow.executor.calls == dict.fromkeys(range(ITEMS), 1)
    assert flow.executor.most <= 3
    tasks = await flow.tasks("each")
    assert [task.output for task in tasks] == [{"index": index} for index in range(ITEMS)]
    assert {task.status for task in tasks} == {TaskStatus.SUCCEEDED}
    assert flow.calls == 3 + 1
    (after,) = await flow.tasks("after")
    assert after.status is TaskStatus.SUCCEEDED


async def test_a_long_lane_goes_on_in_new_calls(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("activityctl.steps.lane_call.INSTANCES_PER_CALL", 4)
    flow = a_flow()
    await flow.carry(await flow.admit())
    assert flow.executor.calls == dict.fromkeys(range(ITEMS), 1)
    assert flow.executor.most <= 3
    assert ITEMS / 4 < flow.calls - 1 < ITEMS / 4 + 4


async def test_a_failed_attempt_is_repeated_and_the_lane_goes_on():
    flow = a_flow()
    flow.executor.fails = {(0, 1), (7, 1), (20, 1), (29, 1)}
    await flow.carry(await flow.admit())
    repeated = {index: count for index, count in flow.executor.calls.items() if count > 1}
    assert repeated == {0: 2, 7: 2, 20: 2, 29: 2}
    assert {task.status for task in await flow.tasks("each")} == {TaskStatus.SUCCEEDED}


async def test_an_instance_that_fails_for_good_does_not_stop_the_others():
    flow = a_flow(attempts=1)
    flow.executor.fails = {(5, 1), (29, 1)}
    await flow.carry(await flow.admit())
    tasks = await flow.tasks("each")
    assert [task.index for task in tasks if task.status is TaskStatus.FAILED] == [5, 29]
    assert sum(task.status is TaskStatus.SUCCEEDED for task in tasks) == ITEMS - 2
    run = await flow.ports.run_lists.find_run(flow.run_id)
    assert (run.status, run.reason) == ("failed", "task each[5] failed: no")


async def test_another_worker_goes_on_with_the_lane_of_a_lost_one():
    flow = a_flow(max_parallel=1)
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
    assert {task.status for task in await flow.tasks("each")} == {TaskStatus.SUCCEEDED}


async def test_the_late_end_of_a_lost_attempt_ends_no_instance_that_came_after_it():
    """A frozen worker goes on when another one has repeated the attempt and is at the next one."""
    flow = a_flow(max_parallel=1)
    first, second = asyncio.Event(), asyncio.Event()
    flow.executor.freezes = {(0, 1): first, (1, 1): second}
    (order,) = (await flow.admit()).start
    old = asyncio.create_task(flow.call(order))
    await flow.executor.frozen.wait()
    flow.executor.frozen.clear()
    flow.step = flow.worker("there")
    new = asyncio.create_task(flow.call(order))
    await flow.executor.frozen.wait()
    first.set()
    await asyncio.wait_for(old, 60)
    ended = {task.index for task in await flow.tasks("each") if task.status is TaskStatus.SUCCEEDED}
    assert ended == {0}
    second.set()
    await asyncio.wait_for(new, 60)
    assert flow.executor.calls == {**dict.fromkeys(range(ITEMS), 1), 0: 2}
    assert [task.output for task in await flow.tasks("each")] == [
        {"index": index} for index in range(ITEMS)
    ]


async def test_the_workflow_ends_the_open_instance_of_a_lane_by_its_order():
    flow = a_flow(max_parallel=1)
    (order,) = (await flow.admit()).start
    begun = await flow.ports.runs.begin_attempt(order.task_id, NOW, "here")
    assert begun is not None
    stop = StopOrder(flow.run_id, "failed", "the worker was lost", task_id=order.task_id)
    flow.executor.fails = {(1, 1)}
    await flow.recorder.record(stop)
    assert (await flow.tasks("each"))[0].error == "the worker was lost"


async def test_the_log_has_the_trigger_of_an_instance_that_nobody_answered():
    hook = {"baseURL": "https://x.example", "registryID": "r", "executorAddress": "0x" + "1" * 40}
    each = {
        "name": "each",
        "forEach": list(range(ITEMS)),
        "maxParallel": 3,
        "webhook": {**hook, "hmacKey": "hook"},
    }
    flow = Flow(Asking(), [each])
    flow.executor.hooks = flow.ports.hooks
    await flow.carry(await flow.admit())
    assert Counter(task.status for task in await flow.tasks("each")) == {
        TaskStatus.SUCCEEDED: ITEMS - 1,
        TaskStatus.FAILED: 1,
    }
    wanted = LogFilter((ids.subscription_id("mine"),))
    entries, _ = await flow.ports.logbook.last(wanted, 1000)
    (entry,) = [entry for entry in entries if entry.message == "trigger"]
    assert entry.level == "error"
    assert (entry.metadata["index"], entry.metadata["outcome"]) == (7, "failed")
    assert entry.metadata["error"] == {"type": "unreachable", "message": "no answer"}
