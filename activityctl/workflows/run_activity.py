"""RunActivityWorkflow: one firing in a workflow of its own."""

from temporalio import workflow
from temporalio.common import SearchAttributeKey

with workflow.unsafe.imports_passed_through():
    from activityctl.domain.timing.firing import FiringCause, FiringRef, firing_key
    from activityctl.workflows.carrier import RunCarrier

WORKFLOW_NAME = "RunActivity"

_SCHEDULED_AT = SearchAttributeKey.for_datetime("TemporalScheduledStartTime")


@workflow.defn(name=WORKFLOW_NAME)
class RunActivityWorkflow:
    """What a schedule starts, and whatever is not part of a burst."""

    @workflow.init
    def __init__(self, firing: FiringRef) -> None:
        self._carrier = RunCarrier(_completed(firing))

    @workflow.run
    async def run(self, firing: FiringRef) -> str:  # noqa: ARG002  # __init__ has it
        """Return the run's id once the run has ended."""
        return await self._carrier.carry()


def _completed(firing: FiringRef) -> FiringRef:
    """Give a schedule's firing its nominal time, which the server knows alone."""
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
