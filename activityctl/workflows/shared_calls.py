"""SharedCalls: tasks of several runs that become ready at the same moment share one call.

A call costs Temporal more than many tasks do. The call carries out each task as one of its own
would. It tells how tasks have ended while others are at work, so that no run waits for another.
"""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activityctl.domain.runs.chains import TIME_PER_CALL
    from activityctl.workflows import calls
    from activityctl.workflows.calls import CallEnd, TaskOrder, is_plain

SHARES_CALLS = "share-calls"
"""The patch since which the runs of a batch are admitted together and share calls."""
TASKS_ENDED = "tasksEnded"
"""The signal that tasks of a shared call have ended while others are at work."""
_GRACE = timedelta(seconds=15)
_HEARTBEAT_TIMEOUT = timedelta(seconds=10)
_LONGEST = timedelta(minutes=10)
"""A task that may take longer has a call of its own."""
_MOST = 50
"""How many tasks share a call at most, so that other workers get some of them."""
_ROUNDS = 10
"""Rounds of the event loop in which all tasks are ready that one result makes ready."""
_NOT_REPEATED = RetryPolicy(maximum_attempts=1)
"""A task may have ended, and a further attempt of it may be at work, when the call is lost."""


def may_share(order: TaskOrder) -> bool:
    """Return whether the task needs nothing that only a call of its own can keep."""
    return (
        is_plain(order)
        and order.heartbeat_seconds is None
        and order.max_age_seconds is None
        and order.start_to_close_seconds <= _LONGEST.total_seconds()
    )


class SharedCalls:
    """The shared calls of one workflow."""

    def __init__(self) -> None:
        self._ready: list[TaskOrder] = []
        self._ends: dict[str, asyncio.Future[CallEnd]] = {}
        self._starting: asyncio.Task[None] | None = None
        self._at_work: set[asyncio.Task[None]] = set()

    async def execute(self, order: TaskOrder) -> CallEnd:
        """Execute the task with others that are ready now; return how the call has ended for it."""
        end: asyncio.Future[CallEnd] = asyncio.get_running_loop().create_future()
        self._ends[order.task_id] = end
        self._ready.append(order)
        if self._starting is None:
            self._starting = asyncio.create_task(self._start())
        try:
            return await end
        finally:
            self._ends.pop(order.task_id, None)

    def note(self, ends: Sequence[CallEnd]) -> None:
        """Note how the call has ended for these tasks; it may be told more than once."""
        for end in ends:
            waiting = self._ends.get(end.task_id)
            if waiting is not None and not waiting.done():
                waiting.set_result(end)

    async def _start(self) -> None:
        """Make one call for all that are ready when nothing else happens any more."""
        for _ in range(_ROUNDS):
            await asyncio.sleep(0)
        orders, self._ready, self._starting = self._ready, [], None
        orders = [order for order in orders if order.task_id in self._ends]
        for first in range(0, len(orders), _MOST):
            some = orders[first : first + _MOST]
            if len(some) == 1:
                self._leave(some)
                continue
            call = asyncio.create_task(self._call(some))
            self._at_work.add(call)
            call.add_done_callback(self._at_work.discard)

    async def _call(self, orders: list[TaskOrder]) -> None:
        # They may have to wait for one another. A worker that is lost is noticed by its heartbeats.
        limits = (timedelta(seconds=order.start_to_close_seconds) + _GRACE for order in orders)
        try:
            ends = await workflow.execute_activity(
                calls.execute_many,
                orders,
                start_to_close_timeout=sum(limits, TIME_PER_CALL * len(orders)),
                heartbeat_timeout=_HEARTBEAT_TIMEOUT,
                retry_policy=_NOT_REPEATED,
            )
        except ActivityError:  # the worker is lost or stops
            ends = []
        self.note(ends)
        self._leave(orders)

    def _leave(self, orders: Sequence[TaskOrder]) -> None:
        """Let each task have a call of its own, which finds out whether the task has ended."""
        self.note([CallEnd(order.task_id) for order in orders])
