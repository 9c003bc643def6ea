"""The `record` step: writes the ends of tasks, and ends that come from outside of an executor.

An end that can never be written ends the task in a simpler way, and if need be the run.
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime

from temporalio import activity

from activityctl.domain.runs.advance import advance
from activityctl.domain.runs.lanes import carried_by, task_by_id
from activityctl.domain.runs.run import Run, RunState, RunStatus, TaskInstance, TaskStatus
from activityctl.domain.runs.run_change import RunChange, change_task, run_change, with_tasks
from activityctl.domain.runs.stopping import LOST, Stop, stop, stopped_reason
from activityctl.domain.runs.waiting import answered_tasks
from activityctl.domain.values.failure_kind import Tries, failure_text, is_outage
from activityctl.domain.values.model import JsonValue
from activityctl.errors import RefusedError
from activityctl.ports import KnownRun, RunStore
from activityctl.steps.deciding import Deciding
from activityctl.steps.orders import orders_of, with_waits
from activityctl.steps.trigger_ends import with_trigger_ends
from activityctl.workflows.calls import Orders, StopOrder

_LOG = logging.getLogger(__name__)

_End = Callable[[Run, TaskInstance, datetime], TaskInstance | None]
_Find = Callable[[Iterable[TaskInstance], str], TaskInstance | None]
"""Returns the task in its end; None if it does not end."""


class RecordStep:
    """Body of `calls.record`; the step `execute` uses it too, to end its tasks."""

    def __init__(
        self, runs: RunStore, clock: Callable[[], datetime], decide: Deciding | None = None
    ) -> None:
        self._runs = runs
        self._clock = clock
        self.decide = decide or Deciding()
        """Makes decisions without blocking the event loop; the executors use it too."""
        self._tries = Tries()
        self.stop_here: Callable[[list[str]], None] = lambda _: None
        """Stops the attempts of tasks, by task id, if they are at work in this process."""

    @activity.defn(name="record")
    async def record(self, stop: StopOrder) -> Orders:
        """Record an end that came from outside: a timeout, a cancellation, a lost worker."""
        if stop.task_id is not None:
            return await self._record_task(stop, stop.task_id)
        wanted = Stop(RunStatus(stop.status), stop.reason, stop.waits)
        try:
            orders = await self._stop_run(stop.run_id, wanted)
        except Exception as failure:  # a fault of ours must not be repeated for ever
            if not self._tries.is_last(stop.run_id, failure):
                raise
            reason = f"{stop.reason}; its tasks could not be stopped as usual: "
            orders = await self._abandon(stop.run_id, wanted.status, reason + failure_text(failure))
        self._tries.forget(stop.run_id)
        return orders

    async def _record_task(self, stop: StopOrder, task_id: str) -> Orders:
        if TaskStatus(stop.status) is TaskStatus.RUNNING:
            return await self._begin_group(stop.run_id, task_id)
        if TaskStatus(stop.status) is TaskStatus.CANCELLED:
            # An attempt that could stop has recorded that itself.
            stopped = await self.end_stopped(stop.run_id, task_id, lost=stop.reason or LOST)
            if stopped is not None:
                return stopped
        return await self.end_task(stop.run_id, task_id, error=stop.reason)

    async def end_task(
        self,
        run_id: str,
        task_id: str,
        *,
        error: str | None = None,
        output: JsonValue = None,
        code: str | None = None,
        known: KnownRun | None = None,
        is_attempt: bool = False,
    ) -> Orders:
        """End the task as failed with an error, or as succeeded with an output.

        `known` is the run as it was when the attempt began; then it may not have to be read again.
        With `is_attempt`, an attempt of just this task has ended, maybe after its lane has gone on.
        Otherwise a call for the task has ended, and the task is meant that the call was at.

        Return the orders that this end made possible. If the task or run has ended already, change
        nothing and return all open orders, because an earlier answer may be lost.

        An outage raises. Any other error does so only for some tries. Then the task ends as failed
        without its output, and if not even that can be written, the run ends.
        """
        what = "the result" if error is None else f"{error}; its end"
        end = _as_result(error, output, code)
        find = task_by_id if is_attempt else carried_by
        orders = await self._end_or_give_up(run_id, task_id, end, what, known, find=find)
        return orders or Orders(run_id, is_over=True)

    async def end_skipped(self, run_id: str, task_id: str, reason: str) -> Orders:
        """End the task as skipped by its executor; return and raise as `end_task` does."""

        def end(_: Run, task: TaskInstance, now: datetime) -> TaskInstance | None:
            return change_task(task, TaskStatus.SKIPPED, reason=reason, ended_at=now)

        told = "its end as skipped"
        orders = await self._end_or_give_up(run_id, task_id, end, told, find=task_by_id)
        return orders or Orders(run_id, is_over=True)

    async def end_stopped(
        self, run_id: str, task_id: str, *, lost: str | None = None, is_attempt: bool = False
    ) -> Orders | None:
        """End a task that is not at work any more as cancelled, if its run is cancelling.

        `lost` says why nobody knows how its attempt ended, if one was at work. Return and raise as
        `end_task` does, with the same `is_attempt`, but return None if the run goes on, so that the
        task is still wanted.
        """

        def end(run: Run, task: TaskInstance, now: datetime) -> TaskInstance | None:
            if run.status is not RunStatus.CANCELLING:
                return None
            reason = stopped_reason(run, task, lost)
            return change_task(task, TaskStatus.CANCELLED, reason=reason, ended_at=now)

        find = task_by_id if is_attempt else carried_by
        return await self._end_or_give_up(run_id, task_id, end, "its end", find=find)

    async def _begin_group(self, run_id: str, task_id: str) -> Orders:
        """Begin a group that had to wait, as the round of a task that repeats."""

        def begin(run: Run, task: TaskInstance, now: datetime) -> TaskInstance | None:
            if run.status is not RunStatus.RUNNING:
                return None
            return change_task(task, TaskStatus.RUNNING, started_at=now)

        orders = await self._end_or_give_up(run_id, task_id, begin, "its begin")
        return orders or Orders(run_id, is_over=False)

    async def _end_or_give_up(
        self,
        run_id: str,
        task_id: str,
        end: _End,
        what: str,
        known: KnownRun | None = None,
        *,
        find: _Find = carried_by,
    ) -> Orders | None:
        try:
            orders = await self._end_unchanged(known, task_id, end, find) if known else None
            orders = orders or await self._end(run_id, task_id, end, find)
        except Exception as failure:  # a fault of ours must not be repeated for ever
            if not self._tries.is_last(task_id, failure):
                raise
            _LOG.exception("the end of a task cannot be recorded", extra={"task": task_id})
            reason = f"{what} could not be recorded: {failure_text(failure)}"
            orders = await self._end_simply(run_id, task_id, reason, find)
        self._tries.forget(task_id)
        return orders

    async def _end_simply(
        self, run_id: str, task_id: str, reason: str, find: _Find
    ) -> Orders | None:
        """End the task as failed with the reason alone, or the run if that cannot be written."""
        try:
            return await self._end(run_id, task_id, _as_result(reason, None), find)
        except Exception as failure:  # then the run is ended without its data
            if is_outage(failure):
                raise
            return await self._abandon(run_id, RunStatus.FAILED, reason)

    async def _abandon(self, run_id: str, status: RunStatus, reason: str) -> Orders:
        _LOG.exception("the run is ended without its data: %s", reason, extra={"run": run_id})
        is_over = await self._runs.abandon(run_id, status, reason, self._clock())
        return Orders(run_id, is_over=is_over, ended_as=status.value if is_over else None)

    async def _end(self, run_id: str, task_id: str, end: _End, find: _Find) -> Orders | None:
        """End the task as `end` says; change nothing and return None if that returns None."""
        now = self._clock()
        async with self._runs.locked(run_id) as locked:
            state = locked.state
            if state is None:
                return Orders(run_id, is_over=True)
            task = find(state.tasks, task_id)
            if task is None and not state.run.has_ended:
                raise RefusedError("the row of the task was deleted")
            if task is None or task.has_ended or state.run.has_ended:
                open_orders = await self.decide(advance, state, now)
                orders = orders_of(state.run, state.spec, open_orders)
                orders = replace(orders, is_cancelling=state.run.status is RunStatus.CANCELLING)
                return with_waits(orders, state.tasks, open_orders, now)
            ended = end(state.run, task, now)
            if ended is None:
                return None
            change, orders = await self._decide_end(state, ended, now)
            await locked.save(await with_trigger_ends(locked, change, now))
        if orders.is_cancelling:  # a task ended the run early
            self.stop_here([other.id for other in state.tasks if other.is_at_work])
        return orders

    async def _decide_end(
        self, state: RunState, ended: TaskInstance, now: datetime
    ) -> tuple[RunChange, Orders]:
        before, state = state, with_tasks(state, ended)
        decision = await self.decide(advance, state, now)
        new = decision.start
        if new:
            # Only those: a forEach of a thousand items would return a thousand orders each time.
            known = {other.id for other in (await self.decide(advance, before, now)).start}
            new = tuple(task for task in new if task.id not in known)
        orders = orders_of(state.run, state.spec, replace(decision, start=new))
        change = run_change(state.run, decision, now, update=(ended,))
        return change, with_waits(orders, state.tasks, decision, now)

    async def _end_unchanged(
        self, known: KnownRun, task_id: str, end: _End, find: _Find
    ) -> Orders | None:
        """End the task in one round trip; None if it has to be read and decided again."""
        now, state = self._clock(), known.state
        task = find(state.tasks, task_id)
        ended = end(state.run, task, now) if task is not None else None
        if ended is None or ended.error is not None or known.has_other_open_tasks:
            return None
        change, orders = await self._decide_end(state, ended, now)
        if change.streak is not None and change.streak.has_failed:  # it counts other runs too
            return None
        return orders if await self._runs.save_unchanged(known, change) else None

    async def _stop_run(self, run_id: str, wanted: Stop) -> Orders:
        now = self._clock()
        async with self._runs.locked(run_id, holds_tasks=True) as locked:
            state = locked.state
            if state is None:
                return Orders(run_id, is_over=True)
            if state.run.has_ended:
                return Orders(run_id, is_over=True, ended_as=state.run.status.value)
            is_cancellation = wanted.status is RunStatus.CANCELLED
            if is_cancellation and not state.run.is_cancel_requested:
                _LOG.warning(
                    "Temporal asked to cancel a run, but Postgres has no request for that: the run "
                    "goes on; use `activityctl cancel`",
                    extra={"run": run_id, "subscription": state.run.subscription},
                )
                return Orders(run_id, is_over=False)
            if is_cancellation:
                wanted = replace(wanted, reason=state.run.cancel_reason or wanted.reason)
            # What was answered before counts, also if the run ends now.
            answered = answered_tasks(state.tasks, await locked.answers(), now)
            state = with_tasks(state, *answered)
            decision = await self.decide(stop, state, wanted, now)
            change = run_change(state.run, decision, now, update=answered)
            await locked.save(await with_trigger_ends(locked, change, now))
        self.stop_here([task.id for task in decision.waits_for])
        orders = orders_of(state.run, state.spec, decision)
        return with_waits(orders, state.tasks, decision, now)


def _as_result(error: str | None, output: JsonValue, code: str | None = None) -> _End:
    """Return what ends a task as failed with the error, or as succeeded with the output."""
    status = TaskStatus.SUCCEEDED if error is None else TaskStatus.FAILED
    return lambda _, task, now: change_task(
        task, status, output=output, error=error, code=code, ended_at=now
    )
