"""Runs and their tasks, as steps change them and as people look at them."""

from collections.abc import Collection, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from enum import Enum, auto
from typing import Protocol

from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.runs.admission import AdmissionInput
from activityctl.domain.runs.dead_letter import DeadLetter
from activityctl.domain.runs.run import Run, RunState, RunStatus, TaskInstance
from activityctl.domain.runs.run_change import RunChange
from activityctl.domain.timing.firing import FiringRef
from activityctl.domain.values.log import LogEntry
from activityctl.domain.values.selection import Selection


class OpenResult(Enum):
    """What came of opening a run."""

    OPENED = auto()
    OURS = auto()
    """An earlier call of the same workflow had opened it."""
    TAKEN = auto()
    """Another workflow carries it, or it has ended."""


class RunStore(Protocol):
    """Runs and their task instances; every method is one statement or one transaction."""

    async def admission_input(self, firing: FiringRef) -> AdmissionInput | None:
        """Return what admission needs; None when the subscription is unknown."""
        ...

    async def specs_of(self, subscription_ids: Collection[str]) -> dict[str, DefinitionSpec]:
        """Return what the definitions of those subscriptions say today, by subscription."""
        ...

    async def open(self, workflow_id: str, change: RunChange) -> OpenResult:
        """Insert the run with its first task instances, or begin one that was let in."""
        ...

    async def load(self, run_id: str) -> RunState | None:
        """Return the run with its tasks."""
        ...

    def locked(self, run_id: str) -> AbstractAsyncContextManager["LockedRun"]:
        """Hold the run's row while a decision about it is made and saved."""
        ...

    async def begin_attempt(self, task_id: str, now: datetime) -> TaskInstance | None:
        """Mark the task running and count the attempt; None when it has ended."""
        ...

    async def fail_attempt(self, task_id: str, error: str, entry: LogEntry) -> int:
        """Count and record a failed attempt; return how many have failed so far."""
        ...

    async def recent(
        self, subscription_id: str, *, limit: int, status: RunStatus | None, excluding: str
    ) -> list[tuple[Run, list[TaskInstance]]]:
        """Return the subscription's latest ended runs with their tasks, newest first."""
        ...

    async def request_cancel(self, run_id: str, now: datetime) -> bool:
        """Record the wish to cancel and wake the dispatcher; False when the run has ended."""
        ...

    async def cancel_requests(self) -> list[tuple[str, str]]:
        """Return (run id, workflow id) of open runs whose cancellation was asked for."""
        ...


class LockedRun(Protocol):
    """A run whose row nobody else can change until the block ends."""

    state: RunState | None

    async def save(self, change: RunChange) -> None:
        """Write the change; committed when the block ends without an exception."""
        ...


class RunLists(Protocol):
    """Runs and what belongs to them, as people look at them."""

    async def runs(self, selection: Selection) -> list[Run]:
        """Return runs, newest first."""
        ...

    async def open_counts(self) -> dict[str, int]:
        """Return how many running and queued runs each subscription has, by its id."""
        ...

    async def find_run(self, reference: str) -> Run:
        """Return the run with that id or unique prefix of it."""
        ...

    async def runs_of(self, run_ids: Sequence[str]) -> list[Run]:
        """Return those of the runs that exist, in any order."""
        ...

    async def tasks(self, selection: Selection) -> list[TaskInstance]:
        """Return task instances, those of the newest run first."""
        ...

    async def dead_letters(self, selection: Selection) -> list[DeadLetter]:
        """Return dead letters, newest first."""
        ...
