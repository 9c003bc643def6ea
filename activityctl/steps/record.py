"""The `record` step: ends that come from outside an executor, and the ends of tasks."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from temporalio import activity

from activityctl.domain.runs.advance import advance, stop
from activityctl.domain.runs.run import RunStatus, TaskStatus
from activityctl.domain.runs.run_change import change_task, run_change, with_tasks
from activityctl.domain.values.model import JsonValue
from activityctl.ports import RunStore
from activityctl.steps.orders import orders_of
from activityctl.workflows.calls import Orders, StopOrder


class RecordStep:
    """Body of `calls.record`; `execute` ends its tasks through it too."""

    def __init__(self, runs: RunStore, clock: Callable[[], datetime]) -> None:
        self._runs = runs
        self._clock = clock

    @activity.defn(name="record")
    async def record(self, stop: StopOrder) -> Orders:
        """Record an end that came from outside: a timeout, a cancellation, a lost worker."""
        if stop.task_id is not None:
            return await self.end_task(stop.run_id, stop.task_id, error=stop.reason)
        return await self._stop_run(stop.run_id, RunStatus(stop.status), stop.reason)

    async def end_task(
        self, run_id: str, task_id: str, *, error: str | None = None, output: JsonValue = None
    ) -> Orders:
        """End the task, failed with an error or succeeded with an output, and go on.

        Returned are the orders that this end made possible; for a task or run that has ended
        already, which stays as it is, all orders that are open: an earlier answer may be lost.
        """
        now = self._clock()
        async with self._runs.locked(run_id) as locked:
            state = locked.state
            if state is None:
                return Orders(run_id, is_over=True)
            task = next(task for task in state.tasks if task.id == task_id)
            if task.has_ended or state.run.has_ended:
                return orders_of(state.run, state.spec, advance(state, now))
            known = {other.id for other in advance(state, now).start}
            status = TaskStatus.SUCCEEDED if error is None else TaskStatus.FAILED
            ended = change_task(task, status, output=output, error=error, ended_at=now)
            state = with_tasks(state, ended)
            decision = advance(state, now)
            await locked.save(run_change(state.run, decision, now, update=(ended,)))
        # A loop of a thousand items would else carry a thousand orders in each of its events.
        news = tuple(task for task in decision.start if task.id not in known)
        return orders_of(state.run, state.spec, replace(decision, start=news))

    async def _stop_run(self, run_id: str, status: RunStatus, reason: str) -> Orders:
        now = self._clock()
        async with self._runs.locked(run_id) as locked:
            state = locked.state
            if state is None or state.run.has_ended:
                return Orders(run_id, is_over=True)
            if status is RunStatus.CANCELLED:
                reason = state.run.cancel_reason or reason
            decision = stop(state, status, reason, now)
            await locked.save(run_change(state.run, decision, now))
        return orders_of(state.run, state.spec, decision)
