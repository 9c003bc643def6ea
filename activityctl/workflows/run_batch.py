"""RunBatchWorkflow: runs several firings in one workflow, each as if it were alone."""

import asyncio

from temporalio import workflow
from temporalio.exceptions import ApplicationError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from activityctl.domain.runs.run import FAILURES
    from activityctl.domain.timing.firing import FiringRef
    from activityctl.workflows import titles
    from activityctl.workflows.calls import CallEnd, Orders, StopOrder
    from activityctl.workflows.carrier import (
        CANCEL_RUN,
        CANCELLED,
        WAKE_RUN,
        RunCarrier,
    )
    from activityctl.workflows.carrying import carry_on
    from activityctl.workflows.local_steps import LocalSteps
    from activityctl.workflows.shared_calls import SHARES_CALLS, TASKS_ENDED, SharedCalls
    from activityctl.workflows.shared_timer import SharedTimer

BATCH_WORKFLOW_NAME = "RunBatch"
TELLS_FAILURES = "batch-tells-failures"
"""The patch since which a batch with a failed run ends as failed."""


@workflow.defn(name=BATCH_WORKFLOW_NAME)
class RunBatchWorkflow:
    """The runs of a batch do not affect one another, with one exception.

    Their orders go to the server together. So an admission that keeps failing delays the next
    tasks of the others by up to 8 s: then the workflow reports its progress to the server. Tasks
    that are ready at the same moment share a call.
    """

    @workflow.init
    def __init__(self, firings: list[FiringRef]) -> None:
        self._steps = LocalSteps()
        self._carriers = {
            str(firing.run_id): RunCarrier(firing, self._steps, tell=self._tell_temporal)
            for firing in firings
        }
        self._carrying: dict[str, asyncio.Task[str]] = {}
        self._shared = SharedCalls()

    @workflow.run
    async def run(self, firings: list[FiringRef]) -> list[str]:
        """Run all firings to the end and return how each has ended, as far as it is known.

        If a run has failed, so does the workflow, once all have ended; the error tells of each.
        """
        self._steps.keep_order()
        if workflow.patched(SHARES_CALLS):
            admission = asyncio.create_task(self._admit_all(firings))
            timer = SharedTimer()
            for carrier in self._carriers.values():
                carrier.shared, carrier.timer, carrier.admission = self._shared, timer, admission
        self._carrying = {
            run_id: asyncio.create_task(carrier.carry())
            for run_id, carrier in self._carriers.items()
        }
        results = await carry_on(
            asyncio.gather(*self._carrying.values(), return_exceptions=True),
            list(self._carriers.values()),
        )
        await workflow.wait_condition(workflow.all_handlers_finished)
        failures = [
            result
            for result in results
            if isinstance(result, BaseException) and not is_cancelled_exception(result)
        ]
        if failures:
            message = f"{len(failures)} of {len(results)} runs did not finish"
            raise ApplicationError(message, non_retryable=True) from failures[0]
        ends = [(run_id, carrier.ended_as) for run_id, carrier in self._carriers.items()]
        told = [titles.end_of(run_id, ended_as) for run_id, ended_as in ends if ended_as]
        failed = [
            titles.end_of(run_id, ended_as) for run_id, ended_as in ends if ended_as in FAILURES
        ]
        if failed and workflow.patched(TELLS_FAILURES):
            message = titles.failed_runs(failed, len(ends))
            raise ApplicationError(message, told, type="failed", non_retryable=True)
        return told

    async def _admit_all(self, firings: list[FiringRef]) -> dict[str, Orders | None]:
        answers = await self._steps.admit_many(firings)
        return {str(firing.run_id): orders for firing, orders in zip(firings, answers, strict=True)}

    def _tell_temporal(self) -> None:
        """Show the names and the states of the runs."""
        runs = [(carrier.firing, titles.state_of(carrier)) for carrier in self._carriers.values()]
        workflow.set_current_details(titles.details(runs))

    @workflow.signal(name=CANCEL_RUN)
    async def cancel_run(self, run_id: str) -> None:
        """Stop only this run; if its carrier has ended already, record it as cancelled.

        Nothing happens if Postgres has no request for that. The dispatcher repeats the signal
        until the run has ended. A run that is being stopped is not disturbed.
        """
        await workflow.wait_condition(lambda: bool(self._carrying))
        carrying = self._carrying.get(run_id)
        if carrying is None:
            return
        if carrying.done():
            await self._steps.record(StopOrder(run_id, "cancelled", CANCELLED))
        else:
            self._carriers[run_id].ask_to_cancel()

    @workflow.signal(name=WAKE_RUN)
    def wake_run(self, run_id: str) -> None:
        """Look at the waiting tasks of this run again."""
        if (carrier := self._carriers.get(run_id)) is not None:
            carrier.ask_to_wake()

    @workflow.signal(name=TASKS_ENDED)
    def tasks_ended(self, ends: list[CallEnd]) -> None:
        """Go on with the runs of these tasks, while others of their call are at work."""
        self._shared.note(ends)
