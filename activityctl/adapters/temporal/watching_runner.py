"""A workflow runner that reports workflows whose code cannot go on.

Temporal tries a failed workflow task for ever, so such a run would look as if it were working.
"""

from collections.abc import Callable
from typing import Any, Final, Protocol

from temporalio.bridge.proto.workflow_activation import RemoveFromCache, WorkflowActivation
from temporalio.bridge.proto.workflow_completion import WorkflowActivationCompletion
from temporalio.worker import (
    UnsandboxedWorkflowRunner,
    WorkflowInstance,
    WorkflowInstanceDetails,
    WorkflowRunner,
)

_CANNOT_REPLAY: Final = RemoveFromCache.EvictionReason.NONDETERMINISM
Note = Callable[[str, WorkflowActivation, WorkflowActivationCompletion], None]


class WorkflowWatch(Protocol):
    """Hears of every workflow task; it is called from several threads."""

    def failed(self, workflow_id: str, error: str) -> None:
        """Hear that the code of the workflow failed, or does not fit to its history."""
        ...

    def worked(self, workflow_id: str) -> None:
        """Hear that the code of the workflow went on; `failed` may follow for the same task."""
        ...


class WatchingRunner(WorkflowRunner):
    """Runs workflows without the sandbox, and tells the watch how their tasks went."""

    def __init__(self, watch: WorkflowWatch, note: Note) -> None:
        """`note` is called with the id of the workflow and what it was told and answered."""
        self._watch = watch
        self._note = note
        self._runner = UnsandboxedWorkflowRunner()

    def prepare_workflow(self, defn: Any) -> None:
        """Prepare nothing."""
        self._runner.prepare_workflow(defn)

    def create_instance(self, det: WorkflowInstanceDetails) -> WorkflowInstance:
        """Return an instance that is watched."""
        return _WatchedInstance(
            self._runner.create_instance(det), det.info.workflow_id, self._watch, self._note
        )


class _WatchedInstance(WorkflowInstance):
    def __init__(
        self,
        instance: WorkflowInstance,
        workflow_id: str,
        watch: WorkflowWatch,
        note: Note,
    ) -> None:
        self._instance = instance
        self._workflow_id = workflow_id
        self._watch = watch
        self._note = note

    def activate(self, act: WorkflowActivation) -> WorkflowActivationCompletion:
        """Activate the workflow and report the result."""
        removals = [job.remove_from_cache for job in act.jobs if job.HasField("remove_from_cache")]
        for removal in removals:
            if removal.reason == _CANNOT_REPLAY:
                self._watch.failed(self._workflow_id, removal.message)
        completion = self._instance.activate(act)
        self._note(self._workflow_id, act, completion)
        if completion.HasField("failed"):
            self._watch.failed(self._workflow_id, completion.failed.failure.message)
        elif not removals:
            self._watch.worked(self._workflow_id)
        return completion

    def get_serialization_context(self, command_info: Any) -> Any:
        """Return what the instance returns."""
        return self._instance.get_serialization_context(command_info)

    def get_external_store_context(self, command_info: Any) -> Any:
        """Return what the instance returns."""
        return self._instance.get_external_store_context(command_info)

    def get_info(self) -> Any:
        """Return what the instance returns."""
        return self._instance.get_info()

    def get_thread_id(self) -> int | None:
        """Return what the instance returns."""
        return self._instance.get_thread_id()
