"""The `record` step: writes the ends of tasks, and ends that come from outside of an executor."""

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from temporalio import activity

from activityctl.domain.runs.advance import advance, stop
from activityctl.domain.runs.run import RunStatus, TaskStatus
from activityctl.domain.runs.run_change import change_task, run_change, with_tasks
from activityctl.domain.values.model import JsonValue
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

    @activity.defn(name="record")
    async def record(self, stop: StopOrder) -> Orders:
        """Record an end that came from outside: a timeout, a cancellation, a lost worker."""
        if stop.task_id is not None:
            return await self.end_task(stop.run_id, stop.task_id, error=stop.reason)
        return await self._stop_run(stop.run_id, RunStatus(stop.status), stop.reason)

    async def end_task(
        self, run_id: str, task_id: str, *, error: str | None = None, output: JsonValue = None
    ) -> Orders:
        """End the task as failed with an error, or as succeeded with an output.

        Return the orders that this end made possible. If the task or run has ended already, change
        nothing and return all open orders, because an earlier answer may be lost.
        """
        now = self._clock()
        async with self._runs.locked(run_id) as locked:
            state = locked.state
            if state is None:
                return Orders(run_id, is_over=True)
            task = next(task for task in state.tasks if task.id == task_id)
            if task.has_ended or state.run.has_ended:
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
