"""RunBatchWorkflow against a real Temporal server: the runs do not affect one another."""

import asyncio
import uuid
from dataclasses import fields
from datetime import timedelta

import pytest
from temporalio import activity
from temporalio.client import Client, WorkflowFailureError
from temporalio.exceptions import CancelledError
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner, Worker

from activityctl.domain.timing.firing import FiringRef
from activityctl.workflows.calls import CallEnd, Orders, StopOrder, TaskOrder
from activityctl.workflows.run_batch import RunBatchWorkflow
from support.histories import json_values_in, keys
from support.run_batches import (
    FIRINGS,
    FIRST,
    NOON,
    SECOND,
    THIRD,
    Steps,
    end,
    running,
    until,
    work_without_end,
)


async def test_all_runs_of_a_batch_run_in_parallel(client: Client) -> None:
    together = asyncio.Barrier(3)

    async def meet(asked: TaskOrder) -> Orders:
        async with asyncio.timeout(60):
            await together.wait()
        return await end(asked)

    steps = Steps(meet)
    async with running(client, steps) as handle:
        await handle.result()
    assert sorted(steps.executed) == sorted([FIRST, SECOND, THIRD])
    assert steps.stops == []


async def test_the_history_contains_only_ids_states_and_deadlines(client: Client) -> None:
    steps = Steps(end)
    async with running(client, steps) as handle:
        await handle.result()
        values = json_values_in(await handle.fetch_history())
    known = {
        field.name for kind in (FiringRef, Orders, TaskOrder, CallEnd) for field in fields(kind)
    }
    assert len(values) >= 7
    assert keys(values) <= known
    assert [value for value in values if not isinstance(value, list | dict)] == []


async def test_one_run_is_cancelled_and_the_others_go_on(client: Client) -> None:
    go_on = asyncio.Event()

    async def work(asked: TaskOrder) -> Orders:
        if asked.run_id == SECOND:
            return await work_without_end(asked)
        await go_on.wait()
        return await end(asked)

    steps = Steps(work)
    async with running(client, steps) as handle:
        await until(lambda: len(steps.executed) == 3)
        await handle.signal(RunBatchWorkflow.cancel_run, SECOND)
        await until(lambda: bool(steps.stops))
        go_on.set()
        await handle.result()
    assert steps.stops == [StopOrder(SECOND, "cancelled", "cancelled on request", waits=True)]


async def test_a_batch_whose_cancellation_nobody_requested_goes_on(client: Client) -> None:
    go_on = asyncio.Event()

    async def wait(asked: TaskOrder) -> Orders:
        await go_on.wait()
        return await end(asked)

    steps = Steps(wait)
    steps.is_requested = False
    async with running(client, steps) as handle:
        await until(lambda: len(steps.executed) == 3)
        await handle.cancel()
        await until(lambda: len(steps.stops) == 3)
        go_on.set()
        await handle.result()
    assert {stop.status for stop in steps.stops} == {"cancelled"}


async def test_a_repeated_cancellation_does_not_disturb_a_run_that_stops(client: Client) -> None:
    async def work(asked: TaskOrder) -> Orders:
        return await (work_without_end if asked.run_id == FIRST else end)(asked)

    steps = Steps(work)
    steps.may_record.clear()
    async with running(client, steps, task_timeout=timedelta(seconds=1)) as handle:
        await until(lambda: FIRST in steps.executed)
        await handle.signal(RunBatchWorkflow.cancel_run, FIRST)
        await until(lambda: bool(steps.stops))
        for _ in range(
            3
        ):  # each while Postgres does not answer, and after the end of a workflow task
            await handle.signal(RunBatchWorkflow.cancel_run, FIRST)
            await asyncio.sleep(1)
        steps.may_record.set()
        await handle.result()
    assert steps.stops[0] == StopOrder(FIRST, "cancelled", "cancelled on request", waits=True)
    assert steps.interrupted == []


async def test_a_run_cancelled_before_its_batch_starts_is_stopped(
    client: Client,
) -> None:
    steps = Steps(work_without_end)
    queue = f"test-{uuid.uuid4()}"
    handle = await client.start_workflow(
        RunBatchWorkflow.run, FIRINGS[:1], id=f"batch/{queue}", task_queue=queue
    )
    await handle.signal(RunBatchWorkflow.cancel_run, FIRST)
    async with Worker(
        client,
        task_queue=queue,
        workflows=[RunBatchWorkflow],
        activities=steps.all,
        workflow_runner=UnsandboxedWorkflowRunner(),
    ):
        await handle.result()
    assert steps.stops == [StopOrder(FIRST, "cancelled", "cancelled on request", waits=True)]


async def test_a_firing_that_is_not_admitted_fails_alone(client: Client) -> None:
    steps = Steps(end, refuses=SECOND)
    async with running(client, steps) as handle:
        with pytest.raises(WorkflowFailureError) as ended:
            await handle.result()
    assert sorted(steps.executed) == sorted([FIRST, THIRD])
    assert "1 of 3 runs" in str(ended.value.cause)


async def test_a_run_without_a_running_carrier_is_recorded_as_cancelled(
    client: Client,
) -> None:
    go_on = asyncio.Event()

    async def wait(asked: TaskOrder) -> Orders:
        await go_on.wait()
        return await end(asked)

    steps = Steps(wait, refuses=SECOND)
    async with running(client, steps) as handle:
        await until(lambda: len(steps.executed) == 2)
        await handle.signal(RunBatchWorkflow.cancel_run, SECOND)
        await handle.signal(RunBatchWorkflow.cancel_run, "a run of another batch")
        await until(lambda: bool(steps.stops))
        go_on.set()
        with pytest.raises(WorkflowFailureError):
            await handle.result()
    assert steps.stops == [StopOrder(SECOND, "cancelled", "cancelled on request")]


async def test_a_batch_that_is_cancelled_as_a_whole_records_each_run(client: Client) -> None:
    steps = Steps(work_without_end)
    async with running(client, steps) as handle:
        await until(lambda: len(steps.executed) == 3)
        await handle.cancel()
        with pytest.raises(WorkflowFailureError) as ended:
            await handle.result()
    assert isinstance(ended.value.cause, CancelledError)
    # If news come with its last task, the server refuses that task, and its steps are repeated.
    stops = {(stop.run_id, stop.status) for stop in steps.stops}
    assert stops == {(run_id, "cancelled") for run_id in (FIRST, SECOND, THIRD)}


class StaggeredSteps(Steps):
    """Steps of a slow Postgres: the admissions end one after the other, some of them together."""

    @activity.defn
    async def admit(self, firings: list[FiringRef]) -> list[Orders]:
        number = int(firings[0].firing_key.removeprefix("event-"))
        await asyncio.sleep(1.2 + 0.02 * (number // 4))
        return await super().admit(firings)

    @activity.defn
    async def admit_many(self, firings: list[FiringRef]) -> list[Orders | None]:
        return [None] * len(firings)


async def test_a_batch_whose_admissions_end_one_after_the_other_can_be_replayed(
    client: Client,
) -> None:
    """Replayed, some come together that came apart; the commands have the same order."""
    many = [FiringRef("sub", "paid", f"event-{n}", NOON, "batch/one") for n in range(20)]
    steps = StaggeredSteps(end)
    async with running(client, steps, many, task_timeout=timedelta(seconds=1)) as handle:
        await handle.result()
        history = await handle.fetch_history()
    replayer = Replayer(workflows=[RunBatchWorkflow], workflow_runner=UnsandboxedWorkflowRunner())
    await replayer.replay_workflow(history)
