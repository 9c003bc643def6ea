"""Starts the workflows of runs, and cancels runs."""

from datetime import timedelta
from typing import Any, Final

from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError

from activityctl.adapters.temporal.rpc_errors import RpcFailure, error_of, meaning_of
from activityctl.domain.timing.firing import FiringRef
from activityctl.workflows import titles
from activityctl.workflows.calls import TASK_QUEUE
from activityctl.workflows.carrier import CANCEL_RUN, WAKE_RUN
from activityctl.workflows.run_activity import WORKFLOW_NAME, RunActivityWorkflow
from activityctl.workflows.run_batch import BATCH_WORKFLOW_NAME, RunBatchWorkflow

_RPC_TIMEOUT: Final = timedelta(seconds=5)
_OPEN: Final = (
    f"ExecutionStatus = 'Running' AND WorkflowType IN ('{WORKFLOW_NAME}', '{BATCH_WORKFLOW_NAME}')"
)
_PAGE: Final = 1000


class TemporalRunStarter:
    """The RunStarter port. With a worker's client, workflows start in that worker at once."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def start(self, *firings: FiringRef) -> None:
        """Start the one workflow that all firings name; succeed if it is open already.

        A closed one is started again: its run may not have begun, because a stranger used the id
        first. If the run has ended, the new workflow ends at its admission.
        """
        first, *others = firings
        workflow: Any = RunBatchWorkflow.run if others else RunActivityWorkflow.run
        try:
            await self._client.start_workflow(
                workflow,
                list(firings) if others else first,
                id=first.workflow_id,
                task_queue=TASK_QUEUE,
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
                request_eager_start=True,
                static_summary=titles.summary(firings),
                memo=titles.memo(firings),
                rpc_timeout=_RPC_TIMEOUT,
            )
        except WorkflowAlreadyStartedError:
            return
        except RPCError as error:
            raise error_of(error, "Temporal could not start a run") from error

    async def cancel(self, run_id: str, workflow_id: str) -> bool:
        """Ask the workflow to cancel only this run; return False when no such workflow is open.

        It is a signal, because Temporal passes on only the first cancellation of a workflow, and
        that may have been a stranger's.
        """
        return await self._signal(CANCEL_RUN, run_id, workflow_id, "cancel a run")

    async def wake(self, run_id: str, workflow_id: str) -> bool:
        """Ask the workflow to look at the waiting tasks of this run; False when it is not open."""
        return await self._signal(WAKE_RUN, run_id, workflow_id, "wake a run")

    async def _signal(self, name: str, run_id: str, workflow_id: str, what: str) -> bool:
        handle = self._client.get_workflow_handle(workflow_id)
        try:
            await handle.signal(name, run_id, rpc_timeout=_RPC_TIMEOUT)
        except RPCError as error:
            if meaning_of(error) is RpcFailure.ABSENT:
                return False
            raise error_of(error, f"Temporal could not {what}") from error
        return True

    async def open_workflows(self) -> frozenset[str]:
        """Return the ids of all open workflows that carry runs; the listing may be seconds old."""
        try:
            listing = self._client.list_workflows(_OPEN, page_size=_PAGE, rpc_timeout=_RPC_TIMEOUT)
            return frozenset([workflow.id async for workflow in listing])
        except RPCError as error:
            raise error_of(error, "Temporal could not list the workflows") from error

    async def terminate(self, workflow_id: str, reason: str) -> None:
        """End a workflow whose code cannot go on; do nothing if it is not open."""
        handle = self._client.get_workflow_handle(workflow_id)
        try:
            await handle.terminate(reason=reason, rpc_timeout=_RPC_TIMEOUT)
        except RPCError as error:
            if meaning_of(error) is not RpcFailure.ABSENT:
                raise error_of(error, "Temporal could not end a workflow") from error

    async def is_reachable(self) -> bool:
        """Return whether Temporal answers for our namespace."""
        request = DescribeNamespaceRequest(namespace=self._client.namespace)
        try:
            await self._client.workflow_service.describe_namespace(request, timeout=_RPC_TIMEOUT)
        except RPCError:
            return False
        return True
