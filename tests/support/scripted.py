"""A RunActivityWorkflow with scripted steps, on a real Temporal server."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

from temporalio import activity
from temporalio.client import Client, WorkflowHandle
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from activityctl.domain.timing.firing import FiringRef
from activityctl.workflows.calls import Orders, StopOrder, TaskOrder
from activityctl.workflows.run_activity import RunActivityWorkflow

FIRING = FiringRef("sub-1", "nightly", "key-1", "2026-11-21T02:00:00+00:00", "run/sub-1/nightly/1")
RUN = str(FIRING.run_id)
OVER = Orders(RUN, is_over=True)
GOING_ON = Orders(RUN, is_over=False)
Execution = Callable[[TaskOrder], Awaitable[Orders]]


def order(task_id: str, **limits: float) -> TaskOrder:
    blank = TaskOrder("sub-1", RUN, task_id, max_attempts=1, start_to_close_seconds=20)
    return replace(blank, **limits)


def orders(*task_ids: str, deadline_seconds: float = 60) -> Orders:
    start = [order(task_id) for task_id in task_ids]
    return Orders(RUN, is_over=False, start=start, deadline_seconds=deadline_seconds)


class Script:
    """Steps that give the answers of a test and note their calls."""

    def __init__(
        self,
        admitted: Orders,
        execute: Execution,
        recorded: Sequence[Orders] = (OVER,),
        settled: Sequence[Orders] = (),
    ) -> None:
        self.settled = list(settled)
        self.settles: list[str] = []
        self.admitted = admitted
        self.body = execute
        self.recorded = list(recorded)
        self.firings: list[FiringRef] = []
        self.executed: list[str] = []
        self.stops: list[StopOrder] = []
        self.cancelled: list[str] = []
        self.given: dict[str, Orders] = {}

    @activity.defn
    async def admit(self, firings: list[FiringRef]) -> list[Orders]:
        self.firings += firings
        return [self.admitted]

    @activity.defn
    async def execute(self, asked: TaskOrder) -> Orders:
        self.executed.append(asked.task_id)
        try:
            return await self.body(asked)
        except asyncio.CancelledError:
            self.cancelled.append(asked.task_id)
            raise

    @activity.defn
    async def settle(self, run_id: str) -> Orders:
        self.settles.append(run_id)
        return _answer(self.settled, self.given, "settle")

    @activity.defn
    async def record(self, stop: StopOrder) -> Orders:
        self.stops.append(stop)
        return _answer(self.recorded, self.given, "record")


def _answer(left: list[Orders], given: dict[str, Orders], step: str) -> Orders:
    """Return the next answer; the last one again if it was lost with the workflow's turn."""
    if left:
        given[step] = left.pop(0)
    return given[step]


async def work_without_end(_: TaskOrder) -> Orders:
    while True:
        activity.heartbeat()
        await asyncio.sleep(0.1)


@asynccontextmanager
async def running(
    client: Client, script: Script, *, serves_tasks: bool = True
) -> AsyncIterator[WorkflowHandle[Any, str]]:
    queue = f"test-{uuid.uuid4()}"
    async with Worker(
        client,
        task_queue=queue,
        workflows=[RunActivityWorkflow],
        activities=[script.admit, script.execute, script.record, script.settle],
        workflow_runner=UnsandboxedWorkflowRunner(),
        no_remote_activities=not serves_tasks,
        max_heartbeat_throttle_interval=timedelta(seconds=0.2),
        default_heartbeat_throttle_interval=timedelta(seconds=0.2),
    ):
        yield await client.start_workflow(
            RunActivityWorkflow.run, FIRING, id=f"run/{queue}", task_queue=queue
        )


async def cancelled_soon(script: Script, task_id: str) -> None:
    async with asyncio.timeout(60):
        while task_id not in script.cancelled:
            await asyncio.sleep(0.02)
