"""RunActivityWorkflow: runs one firing in its own workflow."""

import asyncio
from dataclasses import replace

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from activityctl.domain.runs.run import FAILURES
    from activityctl.domain.timing.firing import FiringCause, FiringRef, firing_key
    from activityctl.workflows import titles
    from activityctl.workflows.carrier import CANCEL_RUN, WAKE_RUN, RunCarrier
    from activityctl.workflows.carrying import carry_on
    from activityctl.workflows.local_steps import LocalSteps
    from activityctl.workflows.nominal_time import nominal_time

WORKFLOW_NAME = "RunActivity"


@workflow.defn(name=WORKFLOW_NAME)
class RunActivityWorkflow:
    """The workflow of every firing outside of a batch.

    Before alarms were shared, schedules in Temporal started it. They do so until the reconciler
    has replaced them.
    """

    @workflow.init
    def __init__(self, firing: FiringRef) -> None:
        self._firing = _with_nominal_time(firing)
        self._has_names = bool(firing.subscription)
        self._carrier = RunCarrier(
            self._firing, LocalSteps(), may_renew=True, tell=self._tell_temporal
        )

    @workflow.run
    async def run(self, firing: FiringRef) -> str:  # noqa: ARG002  # used in __init__
        """Run to the end and return the run's id and status; raise if the run has failed.

        A long run goes on in a new history. A failure is only shown: whether something is to be
        repeated is decided in Postgres, long before.
        """
        run_id = await carry_on(asyncio.create_task(self._carrier.carry()), [self._carrier])
        if self._carrier.goes_on:
            workflow.continue_as_new(replace(self._firing, cause=FiringCause.RECOVERY))
        ended_as = self._carrier.ended_as
        if ended_as is None:
            return run_id
        if ended_as in FAILURES:
            message = titles.end_of(run_id, ended_as)
            raise ApplicationError(message, type=ended_as, non_retryable=True)
        return titles.end_of(run_id, ended_as)

    def _tell_temporal(self) -> None:
        """Show the names, if Temporal did not get them with the start, and the state of the run."""
        named = self._carrier.firing
        if named.subscription and not self._has_names:
            self._has_names = True
            workflow.upsert_memo(titles.memo([named]) or {})
            if self._carrier.has_attributes:
                pairs = titles.attributes([named])
                workflow.upsert_search_attributes(
                    [pair.key.value_set(pair.value) for pair in pairs]
                )
        workflow.set_current_details(titles.details([(named, titles.state_of(self._carrier))]))

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
    info, nominal = workflow.info(), nominal_time()
    return FiringRef(
        firing.subscription_id,
        firing.trigger,
        firing_key(nominal),
        nominal.isoformat(),
        info.workflow_id,
        FiringCause.ALARM,
    )
