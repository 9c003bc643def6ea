"""RunBatchWorkflow: the firings of a burst in one workflow, each carried as if it were alone."""

import asyncio

from temporalio import workflow
from temporalio.exceptions import ApplicationError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from activityctl.domain.timing.firing import FiringRef
    from activityctl.workflows.calls import StopOrder
    from activityctl.workflows.carrier import CANCELLED, RunCarrier, record_end

BATCH_WORKFLOW_NAME = "RunBatch"
CANCEL_RUN = "cancelRun"
"""The signal that stops one run of a batch; its argument is the run's id."""


@workflow.defn(name=BATCH_WORKFLOW_NAME)
class RunBatchWorkflow:
    """What happens to one run is not felt by the others, save that their orders go out together.

    So an admission that keeps failing holds up the others' next tasks: by 8 s at most, since
    the server is then told how far the workflow is.
    """

    @workflow.init
    def __init__(self, firings: list[FiringRef]) -> None:
        self._carriers = {firing.run_id: RunCarrier(firing) for firing in firings}
        self._carrying: dict[str, asyncio.Task[str]] = {}
        self._stopping: set[str] = set()

    @workflow.run
    async def run(self, firings: list[FiringRef]) -> None:  # noqa: ARG002  # __init__ has them
        """Return once each of the runs has ended."""
        self._carrying = {
            run_id: asyncio.create_task(carrier.carry())
            for run_id, carrier in self._carriers.items()
        }
        ends = await asyncio.gather(*self._carrying.values(), return_exceptions=True)
        await workflow.wait_condition(workflow.all_handlers_finished)
        broken = [
            one
            for one in ends
            if isinstance(one, BaseException) and not is_cancelled_exception(one)
        ]
        if broken:
            message = f"{len(broken)} of {len(ends)} runs were not carried to their end"
            raise ApplicationError(message, non_retryable=True) from broken[0]

    @workflow.signal(name=CANCEL_RUN)
    async def cancel_run(self, run_id: str) -> None:
        """Stop that run alone; one that nothing carries any more is recorded as cancelled.

        The dispatcher asks until the run has ended; what is being stopped is left in peace.
        """
        await workflow.wait_condition(lambda: bool(self._carrying))
        carrying = self._carrying.get(run_id)
        if carrying is None:
            return
        if carrying.done():
            await record_end(StopOrder(run_id, "cancelled", CANCELLED))
        elif run_id not in self._stopping:
            self._stopping.add(run_id)
            carrying.cancel()
