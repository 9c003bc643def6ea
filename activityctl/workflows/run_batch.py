"""RunBatchWorkflow: runs several firings in one workflow, each as if it were alone."""

import asyncio

from temporalio import workflow
from temporalio.exceptions import ApplicationError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from activityctl.domain.timing.firing import FiringRef
    from activityctl.workflows.calls import StopOrder
    from activityctl.workflows.carrier import (
        CANCEL_RUN,
        CANCELLED,
        WAKE_RUN,
        RunCarrier,
        carry_on,
    )
    from activityctl.workflows.local_steps import LocalSteps

BATCH_WORKFLOW_NAME = "RunBatch"


@workflow.defn(name=BATCH_WORKFLOW_NAME)
class RunBatchWorkflow:
    """The runs of a batch do not affect one another, with one exception.

    Their orders go to the server together. So an admission that keeps failing delays the next
    tasks of the others by up to 8 s: then the workflow reports its progress to the server.
    """

    @workflow.init
    def __init__(self, firings: list[FiringRef]) -> None:
        self._steps = LocalSteps()
        self._carriers = {str(firing.run_id): RunCarrier(firing, self._steps) for firing in firings}
        self._carrying: dict[str, asyncio.Task[str]] = {}

    @workflow.run
    async def run(self, firings: list[FiringRef]) -> None:  # noqa: ARG002  # used in __init__
        """Run all firings to the end."""
        self._steps.keep_order()
        self._carrying = {
            run_id: asyncio.create_task(carrier.carry())
            for run_id, carrier in self._carriers.items()
        }
        ends = await carry_on(
            asyncio.gather(*self._carrying.values(), return_exceptions=True),
            list(self._carriers.values()),
        )
        await workflow.wait_condition(workflow.all_handlers_finished)
        failures = [
            end
            for end in ends
            if isinstance(end, BaseException) and not is_cancelled_exception(end)
        ]
        if failures:
            message = f"{len(failures)} of {len(ends)} runs did not finish"
            raise ApplicationError(message, non_retryable=True) from failures[0]

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
