"""RunActivityWorkflow: runs one firing in its own workflow."""

import asyncio
from dataclasses import replace

from temporalio import workflow
from temporalio.common import SearchAttributeKey

with workflow.unsafe.imports_passed_through():
    from activityctl.domain.timing.firing import FiringCause, FiringRef, firing_key
    from activityctl.workflows.carrier import CANCEL_RUN, WAKE_RUN, RunCarrier, carry_on
    from activityctl.workflows.local_steps import LocalSteps

WORKFLOW_NAME = "RunActivity"

_SCHEDULED_AT = SearchAttributeKey.for_datetime("TemporalScheduledStartTime")


@workflow.defn(name=WORKFLOW_NAME)
class RunActivityWorkflow:
    """The workflow that schedules start, and that every firing outside of a batch gets."""

    @workflow.init
    def __init__(self, firing: FiringRef) -> None:
        self._firing = _with_nominal_time(firing)
        self._carrier = RunCarrier(self._firing, LocalSteps(), may_renew=True)

    @workflow.run
    async def run(self, firing: FiringRef) -> str:  # noqa: ARG002  # used in __init__
        """Run to the end and return the run's id; a long run goes on in a new history."""
        run_id = await carry_on(asyncio.create_task(self._carrier.carry()), [self._carrier])
        if self._carrier.goes_on:
            workflow.continue_as_new(replace(self._firing, cause=FiringCause.RECOVERY))
        return run_id

    @workflow.signal(name=CANCEL_RUN)
    def cancel_run(self, run_id: str) -> None:
        """Stop the run, if Postgres has a request for that."""
        if run_id == self._firing.run_id:
            self._carrier.ask_to_cancel()

    @workflow.signal(name=WAKE_RUN)
    def wake_run(self, run_id: str) -> None:
        """Look at the waiting tasks of the run again."""
        if run_id == self._firing.run_id:
            self._carrier.ask_to_wake()


def _with_nominal_time(firing: FiringRef) -> FiringRef:
    """Return a schedule's firing with its nominal time, which only the server knows."""
    if firing.firing_key:
        return firing
    info = workflow.info()
    nominal = info.typed_search_attributes.get(_SCHEDULED_AT) or info.start_time
    return FiringRef(
        firing.subscription_id,
        firing.trigger,
        firing_key(nominal),
        nominal.isoformat(),
        info.workflow_id,
        FiringCause.ALARM,
    )
