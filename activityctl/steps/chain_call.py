"""ChainCall: one call of the step `execute` that carries out tasks that follow one another."""

import time
from collections.abc import Callable
from dataclasses import replace

from activityctl.domain.runs.chains import TASKS_PER_CALL, TIME_PER_CALL
from activityctl.steps.lane_call import worker_stops
from activityctl.workflows.calls import Orders, TaskOrder, is_plain


class ChainCall:
    """Says which task the call goes on with, and tells the workflow what it has carried out.

    What Temporal has to know of before it begins is left to the workflow: a task with limits of
    its own for the wait or in all, with a breaker, of a strategy, or that has to wait. The limits
    of the call are those of its first task.
    """

    def __init__(self, order: TaskOrder, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._order = order
        self._monotonic = monotonic
        self._until = monotonic() + TIME_PER_CALL.total_seconds()
        self._done: list[str] = []

    @property
    def lane(self) -> str:
        """What the tasks that it takes have as their lane."""
        return self._order.task_id

    def follower(self, orders: Orders) -> TaskOrder | None:
        """Return the task to go on with; None if the workflow has to decide."""
        if len(orders.start) != 1 or not _only_starts(orders) or not is_plain(self._order):
            return None
        (order,) = orders.start
        is_bounded = order.start_to_close_seconds <= self._order.start_to_close_seconds
        is_young = self._monotonic() < self._until and len(self._done) + 1 < TASKS_PER_CALL
        goes_on = is_bounded and is_young and is_plain(order) and not worker_stops()
        return order if goes_on else None

    def note(self, order: TaskOrder) -> None:
        """Note that the call has taken the task."""
        self._done.append(order.task_id)

    def told(self, orders: Orders) -> Orders:
        """Return the orders of its last task with what the call has carried out."""
        return replace(orders, done=self._done) if self._done else orders


def _only_starts(orders: Orders) -> bool:
    """Return whether there is nothing else that the workflow has to hear of at once."""
    return not (
        orders.is_over
        or orders.is_cancelling
        or orders.has_waiting
        or orders.settle_in_seconds is not None
        or orders.lifts_deadline
    )
