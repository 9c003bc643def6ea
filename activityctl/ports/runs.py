"""Ports for runs and their tasks: changing them from steps, and listing them for people."""

from collections.abc import Awaitable, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from enum import Enum, auto
from typing import Protocol

from activityctl.domain.gitops.waiting import Waiting
from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.runs.admission import AdmissionInput
from activityctl.domain.runs.dead_letter import ANY_LETTER, DeadLetter, LetterFilter
from activityctl.domain.runs.latest_run import LatestRun
from activityctl.domain.runs.run import Run, RunState, RunStatus, TaskInstance
from activityctl.domain.runs.run_change import RunChange
from activityctl.domain.runs.waiting import Answer
from activityctl.domain.tasks.attempt import Attempt
from activityctl.domain.tasks.breaker import Breaker
from activityctl.domain.tasks.held_task import HeldTask
from activityctl.domain.tasks.limit_use import LimitUse
from activityctl.domain.timing.firing import FiringRef
from activityctl.domain.values.ids import TaskId
from activityctl.domain.values.log import LogEntry
from activityctl.domain.values.model import JsonValue
from activityctl.domain.values.selection import Selection
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.ports.hooks import HookRow


class OpenResult(Enum):
    """The result of opening a run."""

    OPENED = auto()
    OURS = auto()
    """An earlier call of the same workflow has opened it."""
    TAKEN = auto()
    """Another workflow carries it, or it has ended."""
    CHANGED = auto()
    """Nothing was written: the subscription has changed since it was read."""


@frozen_dataclass
class BegunAttempt:
    """An attempt that began, and what is known of the one before."""

    task: TaskInstance
    lost_worker: str | None = None
    """The worker of the attempt before, if that neither failed nor was released: it is lost."""
    lost_since: datetime | None = None
    """When the lost attempt began."""
    known: "KnownRun | None" = None
    """The run, if it was asked for and is small."""
    is_probe: bool = False
    """Whether it probes the destination behind a breaker that is not closed."""


@frozen_dataclass
class KnownRun:
    """A run as it was when an attempt of it began."""

    state: RunState
    version: object
    """It changes whenever something is decided about the run."""

    @property
    def has_other_open_tasks(self) -> bool:
        """Whether more than one of its tasks is open."""
        return sum(not task.has_ended for task in self.state.tasks) > 1


class RunStore(Protocol):
    """Runs and their task instances; every method is one statement or one transaction."""

    async def admission_input(self, firing: FiringRef) -> AdmissionInput | None:
        """Return the input of admission; None if the subscription is unknown."""
        ...

    async def specs_of(self, revision_ids: Collection[str]) -> dict[str, DefinitionSpec]:
        """Return the specs of these revisions, by revision id."""
        ...

    async def spec_of_run(self, run_id: str) -> DefinitionSpec | None:
        """Return the spec of the run's revision for its trigger; None for an unknown run."""
        ...

    async def open(
        self,
        workflow_id: str,
        change: RunChange,
        version: str | None = None,
        *,
        after: Awaitable[None] | None = None,
    ) -> OpenResult:
        """Insert the run with its first task instances, or begin a run that was let in.

        With a version of the subscription, only if it still has that. Nobody sees it before
        `after` is done; if that raises, nothing is written, and that is raised.
        """
        ...

    async def begin_lookup(self, workflow_id: str, run: Run, entry: LogEntry) -> OpenResult:
        """Record that the context of a queued run that was let in is looked up from now on.

        The run gets `started_at` and `reason` of the argument. OURS, without the entry, if that
        was recorded before. While its context is looked up, `Gates.let_in` does not start it.
        """
        ...

    async def load(self, run_id: str) -> RunState | None:
        """Return the run with its tasks; None if it does not exist."""
        ...

    def locked(
        self, run_id: str, *, holds_tasks: bool = False
    ) -> AbstractAsyncContextManager["LockedRun"]:
        """Lock the run's row while a decision about it is made and saved.

        With `holds_tasks`, no attempt of its tasks can begin meanwhile.
        """
        ...

    async def abandon(self, run_id: str, status: RunStatus, reason: str, now: datetime) -> bool:
        """End the run and its open tasks without reading their data; return whether it has ended.

        For a run whose end cannot be decided or written as usual. No onFailure task runs. A run
        is cancelled only if Postgres has a request for that. True if there is no such run.
        """
        ...

    async def begin_attempt(
        self,
        task_id: str,
        now: datetime,
        worker: str,
        *,
        reads_run: bool = False,
        lane: str | None = None,
    ) -> BegunAttempt | None:
        """Mark the task as running and count the attempt.

        If the task is the first of a lane, that is the open task of the lane. Return None if it
        has ended, or if its run does not start tasks any more. With `lane`, the task becomes part
        of that lane; None if it is not pending.
        """
        ...

    async def save_unchanged(self, known: KnownRun, change: RunChange) -> bool:
        """Write the change if nothing was decided about the run since; return whether it is."""
        ...

    async def fail_attempt(
        self, task_id: str, error: str, entry: LogEntry, code: str | None = None
    ) -> int:
        """Count and record a failed attempt; return how many attempts have failed so far."""
        ...

    async def release_attempt(self, task_id: str, entry: LogEntry) -> None:
        """Write the entry, and record that the attempt is not at work, though it has no result."""
        ...

    async def hold_task(self, task_id: str, reason: str, entry: LogEntry) -> None:
        """Note why no attempt of an open task begins; write the entry if that is new."""
        ...

    async def keep_output(self, task_id: str, output: JsonValue, entry: LogEntry) -> None:
        """Write the entry, and store the output of an attempt that was stopped.

        A task that has ended with an output keeps that one. The entry is not written if it is there
        already, as in `Logbook.append`.
        """
        ...

    async def recent(
        self, subscription_id: str, *, limit: int, status: RunStatus | None, excluding: str
    ) -> list[tuple[Run, list[TaskInstance]]]:
        """Return the subscription's latest ended runs with their tasks, newest first.

        The run with the id `excluding` is left out.
        """
        ...

    async def request_cancel(self, run_id: str, now: datetime, reason: str | None = None) -> bool:
        """Record a request to cancel and wake the dispatcher; return False if the run has ended.

        `reason` is why the run is cancelled; None if a person asked for it.
        """
        ...

    async def cancel_accepted(self, workflow_id: str, change: RunChange) -> bool:
        """Write the cancelled run of a firing that has none, so that nobody starts the firing.

        Return False if it has a run, or if there is no such firing.
        """
        ...

    async def cancel_requests(self) -> list[tuple[str, str]]:
        """Return (run id, workflow id) of the open runs with a request to cancel."""
        ...


class LockedRun(Protocol):
    """A run whose row no other process can change until the block ends."""

    state: RunState | None
    """None if the run does not exist."""

    async def answers(self) -> dict[TaskId, Answer]:
        """Return the answers to waiting tasks that are not settled yet, by task id.

        No other answer can come before the block ends.
        """
        ...

    async def open_triggers(self, keys: Sequence[str]) -> list[HookRow]:
        """Return the triggers with these idempotency keys that have not ended."""
        ...

    async def save(self, change: RunChange) -> None:
        """Write the change; it is committed when the block ends without an exception."""
        ...


class RunLists(Protocol):
    """Lists of runs, tasks and dead letters for people."""

    async def runs(self, selection: Selection) -> list[Run]:
        """Return runs, newest first."""
        ...

    async def accepted(self, selection: Selection) -> list[Run]:
        """Return firings that have no run yet, as the queued runs that they become, newest first.

        What a backfill holds is among them only if the selection asks for queued runs or an id.
        """
        ...

    async def open_counts(self) -> dict[str, int]:
        """Return how many running and queued runs each subscription has, by subscription id."""
        ...

    async def waiting(self) -> Waiting:
        """Return what is due or gathered and has no run yet, of all subscriptions."""
        ...

    async def find_run(self, reference: str) -> Run:
        """Return the run, or the accepted firing, with this id or unique beginning of an id."""
        ...

    async def workflow_of(self, run_id: str) -> str | None:
        """Return the id of the workflow that carries the run; None if there never was one.

        That is so of an accepted firing, and of a run that ended before it was started.
        """
        ...

    async def latest_runs(self, subscription_ids: Sequence[str]) -> dict[str, LatestRun]:
        """Return the newest run of each of these subscriptions, by subscription id.

        A subscription without a run is left out.
        """
        ...

    async def runs_of(self, run_ids: Sequence[str]) -> list[Run]:
        """Return the runs with these ids, in any order; those that do not exist are left out."""
        ...

    async def tasks(self, selection: Selection) -> list[TaskInstance]:
        """Return task instances; the tasks of the newest run come first."""
        ...

    async def attempts(self, task_ids: Sequence[str]) -> list[Attempt]:
        """Return the attempts of these tasks, by task and number."""
        ...

    async def held(self, task_ids: Sequence[str]) -> list[HeldTask]:
        """Return what holds up those of these tasks that a breaker or a limit holds up."""
        ...

    async def limit_uses(self) -> list[LimitUse]:
        """Return how far each limit is used that a task has ever asked, by name."""
        ...

    async def held_by_limit(self, name: str, most: int) -> list[HeldTask]:
        """Return tasks that wait for the limit; those that ask again first come first."""
        ...

    async def breakers(self, selection: Selection) -> list[Breaker]:
        """Return the breakers that have ever opened, by name."""
        ...

    async def dead_letters(
        self, selection: Selection, letters: LetterFilter = ANY_LETTER
    ) -> list[DeadLetter]:
        """Return dead letters with the last action, newest first.

        A name is the beginning of their ids; labels are those of the subscription.
        """
        ...

    async def open_letters(self, subscription_ids: Sequence[str]) -> dict[str, int]:
        """Return how many open dead letters each of these subscriptions has, if any, by its id."""
        ...
