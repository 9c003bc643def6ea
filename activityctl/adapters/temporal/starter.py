"""Starts and cancels RunActivityWorkflows."""

from datetime import timedelta
from typing import Final

from temporalio.client import Client
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from activityctl.domain.firing_ref import FiringRef
from activityctl.errors import UnreachableError
from activityctl.workflows.calls import TASK_QUEUE
from activityctl.workflows.run_activity import RunActivityWorkflow

_RPC_TIMEOUT: Final = timedelta(seconds=5)


class TemporalRunStarter:
    """The RunStarter port; with a worker's own client, runs begin in that worker at once."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def start(self, firing: FiringRef) -> None:
        """Start the run's workflow; one that exists already is success."""
        try:
            await self._client.start_workflow(
                RunActivityWorkflow.run,
                firing,
                id=firing.workflow_id,
                task_queue=TASK_QUEUE,
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                request_eager_start=True,
                rpc_timeout=_RPC_TIMEOUT,
            )
        except WorkflowAlreadyStartedError:
            return
        except RPCError as error:
            raise UnreachableError(f"Temporal does not take the run: {error.message}") from error

    async def cancel(self, workflow_id: str) -> bool:
        """Ask the workflow to cancel; False when no such workflow is open."""
        try:
            handle = self._client.get_workflow_handle(workflow_id)
            await handle.cancel(rpc_timeout=_RPC_TIMEOUT)
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return False
            raise UnreachableError(f"Temporal does not cancel: {error.message}") from error
        return True
