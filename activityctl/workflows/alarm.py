"""AlarmWorkflow: does the work of a shared alarm at one of its times."""

from dataclasses import replace

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activityctl.domain.timing.firing import FiringRef, Ringing
    from activityctl.workflows import titles
    from activityctl.workflows.calls import CallEnd
    from activityctl.workflows.carrier import CANCEL_RUN, WAKE_RUN
    from activityctl.workflows.local_steps import ring
    from activityctl.workflows.nominal_time import nominal_time
    from activityctl.workflows.run_batch import RunBatchWorkflow
    from activityctl.workflows.shared_calls import TASKS_ENDED

ALARM_WORKFLOW_NAME = "Alarm"
_MOST_CALLS = 500
"""What is left after so many calls is due by the next time, or the overdue scanner finds it."""


@workflow.defn(name=ALARM_WORKFLOW_NAME)
class AlarmWorkflow:
    """Asks Postgres what is due, and runs the firings itself if they are a few."""

    @workflow.init
    def __init__(self, ringing: Ringing) -> None:
        self._ringing = ringing
        self._batch: RunBatchWorkflow | None = None
        self._has_rung = False

    @workflow.run
    async def run(self, ringing: Ringing) -> list[str]:
        """Run what is due to the end, as a batch does; fail as it does if a run has failed."""
        if not ringing.due_at:
            ringing = replace(ringing, due_at=nominal_time().isoformat())
        rung = await ring(ringing)
        for _ in range(_MOST_CALLS):
            if rung.is_complete:
                break
            rung = await ring(ringing)
        return await self._carry(rung.firings, has_attributes=rung.has_attributes)

    async def _carry(self, firings: list[FiringRef], *, has_attributes: bool) -> list[str]:
        if not firings:
            self._has_rung = True
            return []
        if (memo := titles.memo(firings)) is not None:
            workflow.upsert_memo(memo)
        if has_attributes and (pairs := titles.attributes(firings)):
            workflow.upsert_search_attributes([pair.key.value_set(pair.value) for pair in pairs])
        self._batch, self._has_rung = RunBatchWorkflow(firings), True
        return await self._batch.run(firings)

    @workflow.signal(name=CANCEL_RUN)
    async def cancel_run(self, run_id: str) -> None:
        """Stop only this run, as a batch does."""
        await workflow.wait_condition(lambda: self._has_rung)
        if self._batch is not None:
            await self._batch.cancel_run(run_id)

    @workflow.signal(name=WAKE_RUN)
    def wake_run(self, run_id: str) -> None:
        """Look at the waiting tasks of this run again."""
        if self._batch is not None:
            self._batch.wake_run(run_id)

    @workflow.signal(name=TASKS_ENDED)
    def tasks_ended(self, ends: list[CallEnd]) -> None:
        """Go on with the runs of these tasks, as a batch does."""
        if self._batch is not None:
            self._batch.tasks_ended(ends)
