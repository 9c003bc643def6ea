"""LaneCall: one call of the step `execute` that carries out a lane of a large forEach."""

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from temporalio import activity

from activityctl.domain.runs.lanes import INSTANCES_PER_CALL
from activityctl.domain.runs.run import TaskInstance, TaskStatus
from activityctl.domain.runs.run_change import change_task, task_entry
from activityctl.domain.values.failure_kind import is_outage
from activityctl.domain.values.ids import TaskId
from activityctl.domain.values.model import JsonValue
from activityctl.ports import LaneEnd, Lanes
from activityctl.workflows.calls import Orders, TaskOrder

_LOG = logging.getLogger(__name__)


class LaneCall:
    """Ends the instances of a lane, and says which one is next.

    An end that needs a decision about the whole run is left to the step `record`.
    """

    def __init__(
        self, lanes: Lanes, order: TaskOrder, worker: str, clock: Callable[[], datetime]
    ) -> None:
        self._lanes = lanes
        self._order = order
        self._worker = worker
        self._clock = clock
        self._begun = 1
        self._next: TaskInstance | None = None

    def take_next(self) -> TaskInstance | None:
        """Return the instance that has begun and is to be carried out now, once."""
        following, self._next = self._next, None
        return following

    async def end(
        self, task: TaskInstance, *, error: str | None, output: JsonValue, code: str | None
    ) -> Orders | None:
        """End the instance and begin the next one; None if a decision about the run is needed.

        An outage raises.
        """
        end = self._end_of(replace(task, code=code), error, output)
        try:
            turn = await self._lanes.end(end)
        except Exception as failure:  # the step `record` knows what to do then
            if is_outage(failure):
                raise
            _LOG.exception("the end of an instance is recorded alone", extra={"task": task.id})
            return None
        if not turn.has_ended:
            return None
        if turn.next is not None:
            self._next = turn.next
            self._begun += 1
        start = [replace(self._order, task_id=waiting) for waiting in turn.waiting]
        return Orders(self._order.run_id, is_over=False, start=start)

    def _end_of(self, task: TaskInstance, error: str | None, output: JsonValue) -> LaneEnd:
        now = self._clock()
        status = TaskStatus.SUCCEEDED if error is None else TaskStatus.FAILED
        ended = change_task(task, status, output=output, error=error, ended_at=now)
        entry = task_entry(self._order.subscription_id, ended, now)
        assert entry is not None  # noqa: S101  # the task has ended
        goes_on = (
            self._begun < INSTANCES_PER_CALL
            and not self._order.is_guarded  # each attempt has to pass its breaker and limit
            and not worker_stops()
        )
        return LaneEnd(ended, entry, TaskId(self._order.task_id), self._worker, goes_on)


def worker_stops() -> bool:
    """Return whether the worker of this call is about to end."""
    return activity.in_activity() and activity.is_worker_shutdown()
