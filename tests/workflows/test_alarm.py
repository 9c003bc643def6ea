"""AlarmWorkflow against a real Temporal server: it asks what is due, and runs a few itself."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import fields
from typing import Any

import pytest
from temporalio import activity
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import ApplicationError
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner, Worker

from activityctl.domain.timing.firing import FiringCause, FiringRef, Ringing
from activityctl.workflows.alarm import AlarmWorkflow
from activityctl.workflows.calls import CallEnd, Orders, Rung, TaskOrder
from support.histories import json_values_in, keys
from support.run_batches import NOON, Execution, Steps, end, until

RINGING = Ringing("alarm/every 1h", NOON, FiringCause.WAKE_UP)


class Alarmed(Steps):
    """Steps whose alarm has `pages` full answers, then firings of one task each."""

    def __init__(self, firings: int, body: Execution = end, pages: int = 0) -> None:
        super().__init__(body)
        self.count, self.pages = firings, pages
        self.asked: list[Ringing] = []

    @property
    def all(self) -> list[Callable[..., Any]]:
        return [self.ring, *super().all]

    @activity.defn
    async def ring(self, ringing: Ringing) -> Rung:
        self.asked.append(ringing)
        if len(self.asked) <= self.pages:
            return Rung(is_complete=False)
        workflow_id = activity.info().workflow_id or ""
        return Rung(True, [ref(number, workflow_id) for number in range(self.count)])

    @activity.defn
    async def admit(self, firings: list[FiringRef]) -> list[Orders]:
        assert {firing.workflow_id for firing in firings} == {activity.info().workflow_id}
        return await super().admit(firings)


def ref(number: int, workflow_id: str) -> FiringRef:
    key, cause = "2026-03-02T12:00:00Z", FiringCause.OUTBOX
    return FiringRef(f"sub-{number}", "t", key, NOON, workflow_id, cause, f"s{number}", "d")


async def succeed(asked: TaskOrder) -> Orders:
    return Orders(asked.run_id, is_over=True, ended_as="succeeded")


async def fail(asked: TaskOrder) -> Orders:
    return Orders(asked.run_id, is_over=True, ended_as="failed")


@asynccontextmanager
async def ringing(client: Client, steps: Alarmed) -> AsyncIterator[WorkflowHandle[Any, list[str]]]:
    queue = f"test-{uuid.uuid4()}"
    async with Worker(
        client,
        task_queue=queue,
        workflows=[AlarmWorkflow],
        activities=steps.all,
        workflow_runner=UnsandboxedWorkflowRunner(),
    ):
        yield await client.start_workflow(
            AlarmWorkflow.run, RINGING, id=f"alarm/{queue}", task_queue=queue
        )


async def test_an_alarm_asks_until_all_is_decided_and_carries_what_it_gets(client: Client) -> None:
    steps = Alarmed(3, succeed, pages=2)
    async with ringing(client, steps) as handle:
        ends = await handle.result()
        history = await handle.fetch_history()
        description = await handle.describe()
    assert steps.asked == [RINGING] * 3
    assert (len(ends), len(steps.shared)) == (3, 1)
    assert all(end.startswith("succeeded; activityctl describe run ") for end in ends)
    memo = await description.memo()
    assert (memo["subscription"], memo["definition"]) == (["s0", "s1", "s2"], "d")
    kinds = (FiringRef, Orders, TaskOrder, Ringing, Rung, CallEnd)
    names = {field.name for kind in kinds for field in fields(kind)}
    assert keys(json_values_in(history)) <= names | {"subscription", "definition", "describe"}
    runner = UnsandboxedWorkflowRunner()
    await Replayer(workflows=[AlarmWorkflow], workflow_runner=runner).replay_workflow(history)


async def test_an_alarm_without_firings_of_its_own_ends(client: Client) -> None:
    async with ringing(client, Alarmed(0)) as handle:
        assert await handle.result() == []


@pytest.mark.parametrize("count", [1, 2])
async def test_a_run_that_fails_makes_the_workflow_fail(client: Client, count: int) -> None:
    async with ringing(client, Alarmed(count, fail)) as handle:
        with pytest.raises(WorkflowFailureError) as caught:
            await handle.result()
    assert isinstance(caught.value.cause, ApplicationError)
    assert caught.value.cause.type == "failed"


async def test_runs_of_an_alarm_go_on_by_themselves_and_are_cancelled_so(client: Client) -> None:
    """One goes on while the other two are at work in the same call; then one is cancelled."""
    first, second, third = (str(ref(number, "").run_id) for number in range(3))
    may_end = asyncio.Event()

    async def work(asked: TaskOrder) -> Orders:
        if asked.run_id == first and asked.task_id != "next":
            return Orders(first, False, [TaskOrder("sub-0", first, "next", 1, 20)])
        if asked.run_id != first:
            await may_end.wait()
        return await succeed(asked)

    steps = Alarmed(3, work)
    async with ringing(client, steps) as handle:
        await until(lambda: steps.executed.count(first) == 2)
        await handle.signal(AlarmWorkflow.cancel_run, "another run")
        await handle.signal(AlarmWorkflow.wake_run, "another run")
        await handle.signal(AlarmWorkflow.cancel_run, second)
        await until(lambda: bool(steps.stops))
        may_end.set()
        await handle.result()
        history = await handle.fetch_history()
    assert {stop.run_id for stop in steps.stops} == {second}
    assert third in steps.executed
    runner = UnsandboxedWorkflowRunner()
    await Replayer(workflows=[AlarmWorkflow], workflow_runner=runner).replay_workflow(history)
