"""RememberedHistories: finds workflows that this worker remembers, and Temporal no longer does.

A worker keeps workflows in memory between their tasks. If Temporal loses its last seconds
meanwhile, a workflow in memory is ahead of its history. The SDK then takes the events that come
for those that it knows: it answers with nothing, and tells neither the workflow nor us. So the
starts of the tasks that a workflow was told of are looked for in its history.
"""

import threading
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from enum import Enum
from typing import Final

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType, WorkflowExecutionStatus
from temporalio.api.workflowservice.v1 import (
    DescribeWorkflowExecutionRequest,
    GetWorkflowExecutionHistoryReverseRequest,
)
from temporalio.bridge.proto.workflow_activation import WorkflowActivation, WorkflowActivationJob
from temporalio.bridge.proto.workflow_completion import WorkflowActivationCompletion
from temporalio.client import Client
from temporalio.service import RPCError

from activityctl.adapters.temporal.rpc_errors import RpcFailure, error_of, meaning_of
from activityctl.frozen_dataclass import frozen_dataclass

LOOK_AFTER: Final = 10.0
"""Seconds from a task of a workflow to the look for it; most workflows have ended by then."""
LOOK_AGAIN: Final = (60.0, 600.0)
"""Seconds to the next looks, of which the last is repeated, while a workflow has no other task.

Temporal may lose what was there at the look before; what disks lose is rarely a minute old.
"""
_PAGE: Final = 50
_RPC_TIMEOUT: Final = timedelta(seconds=10)
_ENDS: Final = {
    "complete_workflow_execution",
    "fail_workflow_execution",
    "cancel_workflow_execution",
    "continue_as_new_workflow_execution",
}


class _Found(Enum):
    """What a look at a workflow found."""

    WHOLE = "whole"
    """Its history has all that it was told."""
    LOST = "lost"
    AT_WORK = "at work"
    """A task is under way; the server may write its start only with its end."""
    OVER = "over"
    """It has ended, or the server does not know it; then it is recovered as such."""


@frozen_dataclass
class _Start:
    """The start of a workflow task, as Temporal told it."""

    event_id: int
    at: tuple[int, int]
    """Seconds and nanoseconds."""


@frozen_dataclass
class _Remembered:
    workflow_id: str
    starts: tuple[_Start, ...]
    """The last one that was found in the history, and all that came since; never empty."""
    look_at: float
    looks: int = 0
    """How often the history was whole since the last task."""


class RememberedHistories:
    """What the code of each workflow in memory was told; it is noted from several threads."""

    def __init__(self, client: Client, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._monotonic = monotonic
        self._remembered: dict[str, _Remembered] = {}
        """By the run id of Temporal."""
        self._turn = threading.Lock()

    def note(
        self, workflow_id: str, act: WorkflowActivation, done: WorkflowActivationCompletion
    ) -> None:
        """Note that the workflow was told of a task, or leaves the memory."""
        with self._turn:
            if _leaves_memory(act, done):
                self._remembered.pop(act.run_id, None)
            elif not all(_belongs_to_the_last_task(job) for job in act.jobs):
                start = _Start(act.history_length, (act.timestamp.seconds, act.timestamp.nanos))
                due = self._monotonic() + LOOK_AFTER
                known = self._remembered.get(act.run_id) or _Remembered(workflow_id, (), due)
                look_at = min(known.look_at, due)
                told = (*known.starts, start)
                self._remembered[act.run_id] = _Remembered(workflow_id, told, look_at)

    async def lost(self) -> list[str]:
        """Return the ids of the workflows whose history lacks what they were told.

        Each is looked at some time after a task. UnreachableError if Temporal does not answer;
        those that were not looked at come next time.
        """
        lost = []
        for run_id, remembered in list(self._remembered.items()):
            if remembered.look_at > self._monotonic():
                continue
            found = await self._look(run_id, remembered)
            if found is _Found.LOST:
                lost.append(remembered.workflow_id)
            if found is _Found.WHOLE:
                self._look_later(run_id, remembered.starts[-1])
            elif found is not _Found.AT_WORK:
                with self._turn:
                    self._remembered.pop(run_id, None)
        return lost

    def _look_later(self, run_id: str, found: _Start) -> None:
        """Keep what was told since the start that was found."""
        with self._turn:
            if (now := self._remembered.get(run_id)) is not None and found in now.starts:
                newer = now.starts[now.starts.index(found) :]
                looks = 0 if len(newer) > 1 else now.looks + 1
                pause = LOOK_AGAIN[min(looks, len(LOOK_AGAIN)) - 1] if looks else LOOK_AFTER
                look_at = self._monotonic() + pause
                self._remembered[run_id] = _Remembered(now.workflow_id, newer, look_at, looks)

    async def _look(self, run_id: str, remembered: _Remembered) -> _Found:
        execution = WorkflowExecution(workflow_id=remembered.workflow_id, run_id=run_id)
        try:
            described = await self._client.workflow_service.describe_workflow_execution(
                DescribeWorkflowExecutionRequest(
                    namespace=self._client.namespace, execution=execution
                ),
                timeout=_RPC_TIMEOUT,
            )
            status = described.workflow_execution_info.status
            if status != WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_RUNNING:
                return _Found.OVER
            if described.HasField("pending_workflow_task"):
                return _Found.AT_WORK
            starts = remembered.starts
            return _Found.WHOLE if await self._has(execution, starts) else _Found.LOST
        except RPCError as error:
            if meaning_of(error) is RpcFailure.ABSENT:
                return _Found.OVER
            raise error_of(error, "Temporal could not show the history of a workflow") from error

    async def _has(self, execution: WorkflowExecution, starts: Sequence[_Start]) -> bool:
        """Return whether the history has all these starts of tasks; it is read from its end."""
        request = GetWorkflowExecutionHistoryReverseRequest(
            namespace=self._client.namespace, execution=execution, maximum_page_size=_PAGE
        )
        left = set(starts)
        while left:
            answer = await self._client.workflow_service.get_workflow_execution_history_reverse(
                request, timeout=_RPC_TIMEOUT
            )
            for event in answer.history.events:
                if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED:
                    at = (event.event_time.seconds, event.event_time.nanos)
                    left.discard(_Start(event.event_id, at))
            reached = min((event.event_id for event in answer.history.events), default=0)
            if reached <= min(start.event_id for start in starts):
                return not left
            request.next_page_token = answer.next_page_token
        return True


def _leaves_memory(act: WorkflowActivation, done: WorkflowActivationCompletion) -> bool:
    """Return whether the workflow has ended or failed, or makes room for others."""
    return (
        done.HasField("failed")
        or any(job.HasField("remove_from_cache") for job in act.jobs)
        or any(order.WhichOneof("variant") in _ENDS for order in done.successful.commands)
    )


def _belongs_to_the_last_task(job: WorkflowActivationJob) -> bool:
    """Return whether the job comes without a new workflow task: then its time is another one."""
    is_local = job.HasField("resolve_activity") and job.resolve_activity.is_local
    return is_local or job.HasField("query_workflow")
