"""Tasks of a batch that are ready together share a call, and none waits for another."""

import asyncio
from dataclasses import replace
from datetime import timedelta

from temporalio import activity
from temporalio.client import Client
from temporalio.exceptions import ApplicationError
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner

from activityctl.domain.timing.firing import FiringRef
from activityctl.workflows.calls import CallEnd, Orders, TaskOrder
from activityctl.workflows.run_batch import RunBatchWorkflow
from support.run_batches import (
    FIRST,
    SECOND,
    THIRD,
    Steps,
    end,
    running,
    until,
)


async def test_tasks_that_are_ready_together_share_a_call(client: Client) -> None:
    steps = Steps(end)
    async with running(client, steps) as handle:
        await handle.result()
        history = await handle.fetch_history()
    assert steps.shared == [[FIRST, SECOND, THIRD]]
    kind = "activity_task_scheduled_event_attributes"
    assert [event.HasField(kind) for event in history.events].count(True) == 1
    replayer = Replayer(workflows=[RunBatchWorkflow], workflow_runner=UnsandboxedWorkflowRunner())
    await replayer.replay_workflow(history)


async def test_a_run_goes_on_while_others_of_its_call_are_at_work(client: Client) -> None:
    go_on = asyncio.Event()

    async def work(asked: TaskOrder) -> Orders:
        if asked.run_id == FIRST and asked.task_id != "next":
            return Orders(FIRST, False, [TaskOrder("sub", FIRST, "next", 1, 20)])
        if asked.run_id == SECOND:
            await go_on.wait()
        return await end(asked)

    steps = Steps(work)
    async with running(client, steps) as handle:
        await until(lambda: steps.executed.count(FIRST) == 2)
        assert not go_on.is_set()
        go_on.set()
        await handle.result()
        history = await handle.fetch_history()
    assert sorted(steps.executed) == sorted([FIRST, FIRST, SECOND, THIRD])
    replayer = Replayer(workflows=[RunBatchWorkflow], workflow_runner=UnsandboxedWorkflowRunner())
    await replayer.replay_workflow(history)


async def test_a_failed_attempt_is_repeated_in_a_call_of_its_own(client: Client) -> None:
    async def work(asked: TaskOrder) -> Orders:
        if asked.run_id == SECOND and steps.executed.count(SECOND) < 3:
            delay = timedelta(milliseconds=100)
            raise ApplicationError("no", type="failed", next_retry_delay=delay)
        return await end(asked)

    steps = Steps(work)
    async with running(client, steps) as handle:
        await handle.result()
    assert steps.shared == [[FIRST, SECOND, THIRD]]
    assert sorted(steps.executed) == sorted([FIRST, THIRD, *[SECOND] * 3])
    assert steps.stops == []


async def test_only_tasks_that_have_not_ended_are_called_again_when_the_worker_is_lost(
    client: Client,
) -> None:
    """One that failed has a call of its own by then: it must not get a second one."""

    class Lost(Steps):
        @activity.defn
        async def execute_many(self, asked: list[TaskOrder]) -> list[CallEnd]:
            works = asyncio.create_task(super().execute_many(asked))
            await until(lambda: self.executed.count(SECOND) == 2)
            works.cancel()
            raise ApplicationError("lost", type="lost")

    go_on = asyncio.Event()

    async def work(asked: TaskOrder) -> Orders:
        if asked.run_id == SECOND and steps.executed.count(SECOND) == 1:
            raise ApplicationError("no", type="failed", next_retry_delay=timedelta(0))
        if asked.run_id == SECOND or (asked.run_id == FIRST and steps.executed.count(FIRST) == 1):
            await go_on.wait()
        return await end(asked)

    steps = Lost(work)
    async with running(client, steps) as handle:
        await until(lambda: steps.executed.count(FIRST) == 2)
        go_on.set()
        await handle.result()
        history = await handle.fetch_history()
    assert sorted(steps.executed) == sorted([FIRST, FIRST, SECOND, SECOND, THIRD])
    assert steps.stops == []
    replayer = Replayer(workflows=[RunBatchWorkflow], workflow_runner=UnsandboxedWorkflowRunner())
    await replayer.replay_workflow(history)


async def test_tasks_that_need_a_call_of_their_own_have_one(client: Client) -> None:
    class Guarded(Steps):
        @activity.defn
        async def admit(self, firings: list[FiringRef]) -> list[Orders]:
            return [
                replace(each, start=[replace(order, is_guarded=True) for order in each.start])
                for each in await super().admit(firings)
            ]

    steps = Guarded(end)
    async with running(client, steps) as handle:
        await handle.result()
    assert (steps.shared, len(steps.executed)) == ([], 3)
