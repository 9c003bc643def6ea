"""Starts the workflows of runs, and cancels runs."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client
from temporalio.common import TypedSearchAttributes, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError

from activityctl.adapters.temporal.rpc_errors import RpcFailure, error_of, meaning_of
from activityctl.adapters.temporal.search_attributes import SearchAttributes
from activityctl.domain.timing.firing import FiringRef, Ringing
from activityctl.domain.values import ids
from activityctl.workflows import titles
from activityctl.workflows.alarm import ALARM_WORKFLOW_NAME, AlarmWorkflow
from activityctl.workflows.calls import TASK_QUEUE
from activityctl.workflows.carrier import CANCEL_RUN, WAKE_RUN
from activityctl.workflows.run_activity import WORKFLOW_NAME, RunActivityWorkflow
from activityctl.workflows.run_batch import BATCH_WORKFLOW_NAME, RunBatchWorkflow

_RPC_TIMEOUT: Final = timedelta(seconds=5)
_TYPES: Final = ", ".join(
    f"'{name}'" for name in (WORKFLOW_NAME, BATCH_WORKFLOW_NAME, ALARM_WORKFLOW_NAME)
)
_OPEN: Final = f"ExecutionStatus = 'Running' AND WorkflowType IN ({_TYPES})"
_PAGE: Final = 1000
_OF_THE_REQUEST: Final = frozenset({RpcFailure.REFUSED, RpcFailure.DENIED})


class TemporalRunStarter:
    """The RunStarter port. With a worker's client, workflows start in that worker at once."""

    def __init__(self, client: Client, attributes: SearchAttributes | None = None) -> None:
        """Without `attributes`, workflows get no search attributes."""
        self._client = client
        self._attributes = attributes or SearchAttributes(client)

    async def start(self, *firings: FiringRef) -> None:
        """Start the one workflow that all firings name; succeed if it is open already.

        A closed one is started again: its run may not have begun, because a stranger used the id
        first. If the run has ended, the new workflow ends at its admission.
        """
        has_attributes = self._attributes.are_used
        try:
            if not has_attributes or not await self._start_with_attributes(firings):
                await self._start(firings, TypedSearchAttributes.empty)
                if has_attributes:  # they were the reason
                    self._attributes.refuse()
        except RPCError as error:
            raise error_of(error, "Temporal could not start a run") from error

    async def _start_with_attributes(self, firings: Sequence[FiringRef]) -> bool:
        """Return False if the server refuses it: somebody may have removed the attributes."""
        try:
            await self._start(firings, TypedSearchAttributes(titles.attributes(firings)))
        except RPCError as error:
            if meaning_of(error) not in _OF_THE_REQUEST:
                raise
            return False
        return True

    async def _start(self, firings: Sequence[FiringRef], attributes: TypedSearchAttributes) -> None:
        """Start the workflow; raises RPCError."""
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
                search_attributes=attributes,
                rpc_timeout=_RPC_TIMEOUT,
            )
        except WorkflowAlreadyStartedError:
            return

    async def ring(self, ringing: Ringing) -> None:
        """Start the workflow of an alarm that did not ring itself."""
        try:
            await self._client.start_workflow(
                AlarmWorkflow.run,
                ringing,
                id=ids.ringing_workflow_id(ringing.alarm_id, ringing.key),
                task_queue=TASK_QUEUE,
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
                request_eager_start=True,
                rpc_timeout=_RPC_TIMEOUT,
            )
        except WorkflowAlreadyStartedError:
            return
        except RPCError as error:
            raise error_of(error, "Temporal could not start the work of an alarm") from error

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
