"""RunCarrier: runs one firing in a workflow, from its admission to the end of the run."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TypeVar

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    TimeoutError,  # noqa: A004  # Temporal's own name
    TimeoutType,
    is_cancelled_exception,
)

with workflow.unsafe.imports_passed_through():
    from activityctl.domain.timing.firing import FiringRef
    from activityctl.workflows import calls
    from activityctl.workflows.calls import Orders, StopOrder, TaskOrder

HEARTBEAT_TIMEOUT = timedelta(seconds=10)
"""Without a heartbeat for this long, the worker counts as lost and another attempt starts."""
CANCELLED = "cancelled on request"
CANCEL_RUN = "cancelRun"
"""The signal that asks to cancel one run; its argument is the run's id."""
GRACE = timedelta(seconds=15)
"""How long an executor may take after its limit to stop cleanly, before Temporal ends it."""

_UNTIL_POSTGRES_ANSWERS = RetryPolicy(
    initial_interval=timedelta(milliseconds=100), maximum_interval=timedelta(seconds=5)
)
_AFTER_A_LOST_ATTEMPT = RetryPolicy(
    initial_interval=timedelta(seconds=1), maximum_interval=timedelta(seconds=30)
)

_Result = TypeVar("_Result")


class RunCarrier:
    """Asks steps what to do, and does it. It sees no payload and decides nothing itself."""

    def __init__(self, firing: FiringRef) -> None:
        self._firing = firing
        self._ordered: set[str] = set()
        self._working: dict[asyncio.Task[Orders], TaskOrder] = {}
        self._deadline: datetime | None = None
        self._cancel_asked = asyncio.Event()
        self.is_cancelled = False
        """Whether the run has ended because its cancellation was requested."""

    async def carry(self) -> str:
        """Run to the end and return the run's id."""
        orders = await self._admit()
        while not orders.is_over:
            self._carry_out(orders)
            orders = await self._next()
        return self._firing.run_id

    def ask_to_cancel(self) -> None:
        """Cancel the run if Postgres has a request for that; else it goes on unchanged.

        Everybody who reaches Temporal can ask, so the step `record` decides.
        """
        self._cancel_asked.set()

    async def _admit(self) -> Orders:
        (orders,) = await workflow.execute_local_activity(
            calls.admit,
            [self._firing],
            start_to_close_timeout=timedelta(seconds=60),
            retry_policy=_UNTIL_POSTGRES_ANSWERS,
        )
        self._deadline = workflow.now() + timedelta(seconds=orders.deadline_seconds)
        return orders

    def _carry_out(self, orders: Orders) -> None:
        for order in orders.start:
            if order.task_id not in self._ordered:
                self._ordered.add(order.task_id)
                self._working[asyncio.create_task(self._execute(order))] = order
        if not self._working:
            raise ApplicationError("the run is not over but has no task", non_retryable=True)

    async def _execute(self, order: TaskOrder) -> Orders:
        wait = order.schedule_to_start_seconds
        return await workflow.execute_activity(
            calls.execute,
            order,
            start_to_close_timeout=timedelta(seconds=order.start_to_close_seconds) + GRACE,
            schedule_to_start_timeout=timedelta(seconds=wait) if wait else None,
            heartbeat_timeout=HEARTBEAT_TIMEOUT,
            retry_policy=_AFTER_A_LOST_ATTEMPT,
        )

    async def _next(self) -> Orders:
        """Wait until a task ends, the run reaches its deadline, or someone asks to cancel it."""
        asked = asyncio.create_task(self._cancel_asked.wait())
        done, _ = await workflow.wait(
            [*self._working, asked],
            timeout=self._seconds_left(),
            return_when=asyncio.FIRST_COMPLETED,
        )
        asked.cancel()
        if self._cancel_asked.is_set():
            return await self._cancel()
        if not done:
            return await self._time_out()
        ended = [task for task in self._working if task in done]
        answers = [await self._outcome(task, self._working.pop(task)) for task in ended]
        return Orders(
            run_id=self._firing.run_id,
            is_over=any(orders.is_over for orders in answers),
            start=[order for orders in answers for order in orders.start],
        )

    def _seconds_left(self) -> float | None:
        if self._deadline is None:
            return None
        return max((self._deadline - workflow.now()).total_seconds(), 0.001)

    async def _outcome(self, task: asyncio.Task[Orders], order: TaskOrder) -> Orders:
        """Return the orders of a finished attempt; if it has none, record the reason."""
        try:
            return await task
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise
            return await record_end(
                StopOrder(order.run_id, "failed", _failure_reason(error), task_id=order.task_id)
            )

    async def _time_out(self) -> Orders:
        """Record the end of the run, so that users see it, then stop its running tasks."""
        self._deadline = None
        reason = "the run took longer than its timeout"
        orders = await record_end(StopOrder(self._firing.run_id, "timed_out", reason))
        await self._stop_tasks()
        return orders

    async def _cancel(self) -> Orders:
        """Cancel the run, in the same order; but change nothing if nobody requested it."""
        self._cancel_asked.clear()
        orders = await record_end(StopOrder(self._firing.run_id, "cancelled", CANCELLED))
        if orders.is_over:
            self.is_cancelled = True
            await self._stop_tasks()
        return orders

    async def _stop_tasks(self) -> None:
        working, self._working = list(self._working), {}
        for task in working:
            task.cancel()
        await asyncio.gather(*working, return_exceptions=True)


async def carry_on(work: "asyncio.Future[_Result]", carriers: Sequence[RunCarrier]) -> _Result:
    """Return the result of the work, also if Temporal cancels the workflow meanwhile.

    A cancellation only asks the carriers. CancelledError when they followed it, so that Temporal
    shows the workflow as cancelled.
    """
    while True:
        try:
            result = await asyncio.shield(work)
        except asyncio.CancelledError:
            if work.done() or workflow.cancellation_reason() is None:
                raise  # the worker removes the workflow from its memory
            for carrier in carriers:
                carrier.ask_to_cancel()
        else:
            break
    is_cancelled = workflow.cancellation_reason() is not None
    if is_cancelled and all(carrier.is_cancelled for carrier in carriers):
        raise asyncio.CancelledError
    return result


async def record_end(stop: StopOrder) -> Orders:
    """Record an end that came from outside of an executor; retry until Postgres answers."""
    return await workflow.execute_local_activity(
        calls.record,
        stop,
        start_to_close_timeout=timedelta(seconds=60),
        retry_policy=_UNTIL_POSTGRES_ANSWERS,
    )


def _failure_reason(error: ActivityError) -> str:
    match error.cause:
        case TimeoutError(type=TimeoutType.SCHEDULE_TO_START):
            return "no worker was free within timeout.scheduleToStart"
        case TimeoutError():
            return "the worker was lost or did not stop the task in time"
        case cause:
            return f"the attempt ended without a result: {type(cause).__name__}"
