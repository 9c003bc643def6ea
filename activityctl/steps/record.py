"""The `record` step: writes the ends of tasks, and ends that come from outside of an executor.

An end that can never be written ends the task in a simpler way, and if need be the run.
"""

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from temporalio import activity

from activityctl.domain.runs.advance import advance, stop
from activityctl.domain.runs.run import RunStatus, TaskStatus
from activityctl.domain.runs.run_change import change_task, run_change, with_tasks
from activityctl.domain.values.failure_kind import Tries, is_outage, reason_of
from activityctl.domain.values.model import JsonValue
from activityctl.errors import RefusedError
from activityctl.ports import RunStore
from activityctl.steps.deciding import Deciding
from activityctl.steps.orders import orders_of
from activityctl.workflows.calls import Orders, StopOrder

_LOG = logging.getLogger(__name__)


class RecordStep:
    """Body of `calls.record`; the step `execute` uses it too, to end its tasks."""

    def __init__(
        self, runs: RunStore, clock: Callable[[], datetime], decide: Deciding | None = None
    ) -> None:
        self._runs = runs
        self._clock = clock
        self._decide = decide or Deciding()
        self._tries = Tries()

    @activity.defn(name="record")
    async def record(self, stop: StopOrder) -> Orders:
        """Record an end that came from outside: a timeout, a cancellation, a lost worker."""
        if stop.task_id is not None:
            return await self.end_task(stop.run_id, stop.task_id, error=stop.reason)
        status = RunStatus(stop.status)
        try:
            orders = await self._stop_run(stop.run_id, status, stop.reason)
        except Exception as failure:  # a fault of ours must not be repeated for ever
            if not self._tries.is_last(stop.run_id, failure):
                raise
            reason = f"{stop.reason}; its tasks could not be stopped as usual: "
            orders = await self._abandon(stop.run_id, status, reason + reason_of(failure))
        self._tries.forget(stop.run_id)
        return orders

    async def end_task(
        self, run_id: str, task_id: str, *, error: str | None = None, output: JsonValue = None
    ) -> Orders:
        """End the task as failed with an error, or as succeeded with an output.

        Return the orders that this end made possible. If the task or run has ended already, change
        nothing and return all open orders, because an earlier answer may be lost.

        An outage raises. Any other error does so only for some tries. Then the task ends as failed
        without its output, and if not even that can be written, the run ends.
        """
        try:
            orders = await self._end_task(run_id, task_id, error, output)
        except Exception as failure:  # a fault of ours must not be repeated for ever
            if not self._tries.is_last(task_id, failure):
                raise
            _LOG.exception("the end of a task cannot be recorded", extra={"task": task_id})
            what = "the result" if error is None else f"{error}; its end"
            reason = f"{what} could not be recorded: {reason_of(failure)}"
            orders = await self._end_task_simply(run_id, task_id, reason)
        self._tries.forget(task_id)
        return orders

    async def _end_task_simply(self, run_id: str, task_id: str, reason: str) -> Orders:
        """End the task as failed with the reason alone, or the run if that cannot be written."""
        try:
            return await self._end_task(run_id, task_id, reason, None)
        except Exception as failure:
            if is_outage(failure):
                raise
            return await self._abandon(run_id, RunStatus.FAILED, reason)

    async def _abandon(self, run_id: str, status: RunStatus, reason: str) -> Orders:
        _LOG.exception("the run is ended without its data: %s", reason, extra={"run": run_id})
        is_over = await self._runs.abandon(run_id, status, reason, self._clock())
        return Orders(run_id, is_over=is_over)

    async def _end_task(
        self, run_id: str, task_id: str, error: str | None, output: JsonValue
    ) -> Orders:
        now = self._clock()
        async with self._runs.locked(run_id) as locked:
            state = locked.state
            if state is None:
                return Orders(run_id, is_over=True)
            task = next((task for task in state.tasks if task.id == task_id), None)
            if task is None and not state.run.has_ended:
                raise RefusedError("the row of the task was deleted")
            if task is None or task.has_ended or state.run.has_ended:
                open_orders = await self._decide(advance, state, now)
                return orders_of(state.run, state.spec, open_orders)
            before = await self._decide(advance, state, now)
            known = {other.id for other in before.start}
            status = TaskStatus.SUCCEEDED if error is None else TaskStatus.FAILED
            ended = change_task(task, status, output=output, error=error, ended_at=now)
            state = with_tasks(state, ended)
            decision = await self._decide(advance, state, now)
            await locked.save(run_change(state.run, decision, now, update=(ended,)))
        # Only the new ones: a forEach of a thousand items would return a thousand orders each time.
        new = tuple(task for task in decision.start if task.id not in known)
        return orders_of(state.run, state.spec, replace(decision, start=new))

    async def _stop_run(self, run_id: str, status: RunStatus, reason: str) -> Orders:
        now = self._clock()
        async with self._runs.locked(run_id) as locked:
            state = locked.state
            if state is None or state.run.has_ended:
                return Orders(run_id, is_over=True)
            if status is RunStatus.CANCELLED and not state.run.is_cancel_requested:
                _LOG.warning(
                    "Temporal asked to cancel a run, but Postgres has no request for that: the run "
                    "goes on; use `activityctl cancel`",
                    extra={"run": run_id, "subscription": state.run.subscription},
                )
                return Orders(run_id, is_over=False)
            if status is RunStatus.CANCELLED:
                reason = state.run.cancel_reason or reason
            decision = await self._decide(stop, state, status, reason, now)
            await locked.save(run_change(state.run, decision, now))
        return orders_of(state.run, state.spec, decision)
