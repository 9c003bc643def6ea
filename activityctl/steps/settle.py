"""The `settle` step: ends the waits of a run that were answered or whose time is over."""

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from temporalio import activity

from activityctl.domain.runs.advance import advance
from activityctl.domain.runs.run import RunStatus
from activityctl.domain.runs.run_change import run_change, with_tasks
from activityctl.domain.runs.waiting import settled
from activityctl.domain.values.failure_kind import Tries, failure_text
from activityctl.ports import RunStore
from activityctl.steps.deciding import Deciding
from activityctl.steps.orders import orders_of, with_waits
from activityctl.steps.record import RecordStep
from activityctl.steps.trigger_ends import with_trigger_ends
from activityctl.workflows.calls import Orders, StopOrder

_LOG = logging.getLogger(__name__)


class SettleStep:
    """Body of `calls.settle`."""

    def __init__(
        self,
        runs: RunStore,
        recorder: RecordStep,
        clock: Callable[[], datetime],
        decide: Deciding | None = None,
    ) -> None:
        self._runs = runs
        self._recorder = recorder
        self._clock = clock
        self._decide = decide or Deciding()
        self._tries = Tries()

    @activity.defn(name="settle")
    async def settle(self, run_id: str) -> Orders:
        """End the waiting tasks of a run that were answered or whose time is over.

        An outage raises. Any other error does so only for some tries; then the run fails.
        """
        try:
            orders = await self._settle(run_id)
        except Exception as failure:  # a fault of ours must not be repeated for ever
            if not self._tries.is_last(run_id, failure):
                raise
            _LOG.exception("the waits of a run cannot be settled", extra={"run": run_id})
            reason = f"its waiting tasks could not be settled: {failure_text(failure)}"
            orders = await self._recorder.record(StopOrder(run_id, RunStatus.FAILED.value, reason))
        self._tries.forget(run_id)
        return orders

    async def _settle(self, run_id: str) -> Orders:
        now = self._clock()
        async with self._runs.locked(run_id) as locked:
            state = locked.state
            if state is None:
                return Orders(run_id, is_over=True)
            if state.run.has_ended:
                return Orders(run_id, is_over=True, ended_as=state.run.status.value)
            answers = await locked.answers()
            ends = await self._decide(settled, state.tasks, answers, now)
            before = await self._decide(advance, state, now)
            known = {task.id for task in before.start}
            state = with_tasks(state, *ends)
            decision = await self._decide(advance, state, now)
            change = run_change(state.run, decision, now, update=ends)
            await locked.save(await with_trigger_ends(locked, change, now))
        # Only the new ones: a forEach of a thousand items would return a thousand orders each time.
        new = tuple(task for task in decision.start if task.id not in known)
        orders = orders_of(state.run, state.spec, replace(decision, start=new))
        return with_waits(orders, state.tasks, decision, now)
