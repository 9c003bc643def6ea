"""A RunBatchWorkflow on a real Temporal server, with steps that a test looks at."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from temporalio import activity
from temporalio.client import Client, WorkflowHandle
from temporalio.exceptions import ApplicationError
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from activityctl.domain.timing.firing import FiringRef
from activityctl.steps.execute_many import ExecuteManyStep
from activityctl.steps.places import Places
from activityctl.workflows.calls import CallEnd, Orders, StopOrder, TaskOrder
from activityctl.workflows.run_batch import RunBatchWorkflow

NOON = "2026-03-02T12:00:00+00:00"
FIRINGS = [FiringRef("sub", "paid", f"event-{n}", NOON, "batch/one") for n in range(3)]
FIRST, SECOND, THIRD = (str(firing.run_id) for firing in FIRINGS)
Execution = Callable[[TaskOrder], Awaitable[Orders]]


class Steps:
    """Steps for runs of one task each, which note their calls."""

    def __init__(self, execute: Execution, refuses: str | None = None) -> None:
        self.body = execute
        self.may_record = asyncio.Event()
        self.may_record.set()
        self.is_requested = True
        self.refuses = refuses
        self.executed: list[str] = []
        self.stops: list[StopOrder] = []
        self.interrupted: list[str] = []
        self.shared: list[list[str]] = []
        self._attempts: dict[str, asyncio.Task[Orders]] = {}

    @property
    def all(self) -> list[Callable[..., Any]]:
        return [self.admit, self.admit_many, self.execute, self.execute_many, self.record]

    @activity.defn
    async def admit_many(self, firings: list[FiringRef]) -> list[Orders | None]:
        accepted = [firing for firing in firings if firing.run_id != self.refuses]
        orders = {each.run_id: each for each in await self.admit(accepted)}
        return [orders.get(firing.run_id) for firing in firings]

    @activity.defn
    async def execute_many(self, asked: list[TaskOrder]) -> list[CallEnd]:
        self.shared.append([order.run_id for order in asked])
        step = ExecuteManyStep(
            self._attempt,
            stop=self._stop,
            going_on=self._going_on,
            places=Places(50),
            look_every=0.05,
        )
        return await step.execute_many(asked)

    async def _attempt(self, asked: TaskOrder) -> Orders:
        attempt = self._attempts[asked.task_id] = asyncio.create_task(self.execute(asked))
        try:
            return await asyncio.shield(attempt)
        except asyncio.CancelledError:
            if attempt.cancelled():
                raise ApplicationError("stopped", type="stopped") from None
            attempt.cancel()
            raise

    def _stop(self, task_ids: Iterable[str]) -> None:
        for task_id in task_ids:
            self._attempts[task_id].cancel()

    async def _going_on(self, run_ids: Collection[str]) -> set[str]:
        stopped = {stop.run_id for stop in self.stops} if self.is_requested else set()
        return set(run_ids) - stopped

    @activity.defn
    async def admit(self, firings: list[FiringRef]) -> list[Orders]:
        if self.refuses in [firing.run_id for firing in firings]:
            raise ApplicationError("no such subscription", non_retryable=True)
        return [
            Orders(
                firing.run_id,
                False,
                [TaskOrder("sub", firing.run_id, f"task of {firing.run_id}", 1, 20)],
                60,
            )
            for firing in firings
        ]

    @activity.defn
    async def execute(self, asked: TaskOrder) -> Orders:
        self.executed.append(asked.run_id)
        return await self.body(asked)

    @activity.defn
    async def record(self, stop: StopOrder) -> Orders:
        self.stops.append(stop)
        try:
            await self.may_record.wait()
        except asyncio.CancelledError:
            self.interrupted.append(stop.run_id)
            raise
        return Orders(stop.run_id, is_over=self.is_requested)


async def end(asked: TaskOrder) -> Orders:
    return Orders(asked.run_id, is_over=True)


async def work_without_end(_: TaskOrder) -> Orders:
    while True:
        activity.heartbeat()
        await asyncio.sleep(0.05)


@asynccontextmanager
async def running(
    client: Client,
    steps: Steps,
    firings: list[FiringRef] = FIRINGS,
    *,
    cached: int = 1_000,
    **options: Any,
) -> AsyncIterator[WorkflowHandle[Any, None]]:
    queue = f"test-{uuid.uuid4()}"
    async with Worker(
        client,
        task_queue=queue,
        workflows=[RunBatchWorkflow],
        activities=steps.all,
        workflow_runner=UnsandboxedWorkflowRunner(),
        max_cached_workflows=cached,
        max_heartbeat_throttle_interval=timedelta(seconds=0.1),
        default_heartbeat_throttle_interval=timedelta(seconds=0.1),
    ):
        yield await client.start_workflow(
            RunBatchWorkflow.run, firings, id=f"batch/{queue}", task_queue=queue, **options
        )


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.02)
