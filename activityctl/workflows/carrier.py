"""RunCarrier: carries one firing from its admission to the end of its run, within a workflow."""

import asyncio
from datetime import datetime, timedelta

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
"""A worker silent for this long has lost the task; another attempt is made."""
CANCELLED = "cancelled on request"
GRACE = timedelta(seconds=15)
"""What an executor may take beyond its limit to stop cleanly, before Temporal cuts it off."""

_UNTIL_POSTGRES_ANSWERS = RetryPolicy(
    initial_interval=timedelta(milliseconds=100), maximum_interval=timedelta(seconds=5)
)
_AFTER_A_LOST_ATTEMPT = RetryPolicy(
    initial_interval=timedelta(seconds=1), maximum_interval=timedelta(seconds=30)
)


class RunCarrier:
    """Asks steps what to do and does it; knows no payload and decides nothing itself."""

    def __init__(self, firing: FiringRef) -> None:
        self._firing = firing
        self._ordered: set[str] = set()
        self._working: dict[asyncio.Task[Orders], TaskOrder] = {}
        self._deadline: datetime | None = None

    async def carry(self) -> str:
        """Return the run's id once the run has ended; cancelled, it records that first."""
        try:
            orders = await self._admit()
            while not orders.is_over:
                self._carry_out(orders)
                orders = await self._next()
        except (asyncio.CancelledError, ActivityError) as error:
            if not is_cancelled_exception(error):
                raise
            await self._stop("cancelled", CANCELLED)
            raise
        return self._firing.run_id

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
        """Wait for the first tasks to end, or for the run's time to be up."""
        done, _ = await workflow.wait(
            self._working, timeout=self._seconds_left(), return_when=asyncio.FIRST_COMPLETED
        )
        if not done:
            self._deadline = None
            return await self._stop("timed_out", "the run took longer than its timeout")
        told = [await self._outcome(task, self._working.pop(task)) for task in done]
        return Orders(
            run_id=self._firing.run_id,
            is_over=any(orders.is_over for orders in told),
            start=[order for orders in told for order in orders.start],
        )

    def _seconds_left(self) -> float | None:
        if self._deadline is None:
            return None
        return max((self._deadline - workflow.now()).total_seconds(), 0.001)

    async def _outcome(self, task: asyncio.Task[Orders], order: TaskOrder) -> Orders:
        """Return what the finished attempt said, or record why it never came to say it."""
        try:
            return await task
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise
            return await record_end(
                StopOrder(order.run_id, "failed", _why(error), task_id=order.task_id)
            )

    async def _stop(self, status: str, reason: str) -> Orders:
        """Record the run's end first, so that people see it, then stop what still works."""
        orders = await record_end(StopOrder(self._firing.run_id, status, reason))
        working, self._working = list(self._working), {}
        for task in working:
            task.cancel()
        await asyncio.gather(*working, return_exceptions=True)
        return orders


async def record_end(stop: StopOrder) -> Orders:
    """Record an end that came from outside of an executor, however long Postgres is away."""
    return await workflow.execute_local_activity(
        calls.record,
        stop,
        start_to_close_timeout=timedelta(seconds=60),
        retry_policy=_UNTIL_POSTGRES_ANSWERS,
    )


def _why(error: ActivityError) -> str:
    match error.cause:
        case TimeoutError(type=TimeoutType.SCHEDULE_TO_START):
            return "no worker was free within timeout.scheduleToStart"
        case TimeoutError():
            return "the worker was lost or did not stop the task in time"
        case cause:
            return f"the attempt ended without a result: {type(cause).__name__}"
