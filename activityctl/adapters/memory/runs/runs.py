"""Runs, task instances and dead letters in memory, as the steps of a run write them.

`lists.py` reads the lists that the commands show.
"""

from collections.abc import AsyncIterator, Awaitable, Collection
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime

from activityctl.adapters.memory.runs.attempts import begin_attempt, begun, end_attempt, outcome_of
from activityctl.adapters.memory.runs.gates import begun_run, may_begin
from activityctl.adapters.memory.runs.locked_run import MemoryLockedRun
from activityctl.adapters.memory.runs.notices import tell_abandoned, write_notices
from activityctl.adapters.memory.runs.replays import read_replayed
from activityctl.adapters.memory.runs.run_ends import write_end
from activityctl.adapters.memory.runs.streaks import (
    with_subscription_facts,
    write_abandoned_streak,
    write_streak,
)
from activityctl.adapters.memory.runs.waits import answers_of, write_waits
from activityctl.adapters.memory.schedules.late_starts import uncount_firing
from activityctl.adapters.memory.schedules.outbox import wake_next_in_order
from activityctl.adapters.memory.state import (
    FiringRow,
    MemoryState,
    RunRow,
    TaskRow,
    spec_of,
    stored_json,
    stored_text,
)
from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.runs.admission import AdmissionInput, FiringRecord
from activityctl.domain.runs.dead_letter import DeadLetter
from activityctl.domain.runs.lanes import carried_by
from activityctl.domain.runs.notices import is_notice
from activityctl.domain.runs.run import Run, RunState, RunStatus, TaskInstance, TaskStatus
from activityctl.domain.runs.run_change import RunChange, end_message
from activityctl.domain.tasks.attempt import AttemptOutcome
from activityctl.domain.timing.firing import FiringRef
from activityctl.domain.values import ids
from activityctl.domain.values.log import LogEntry
from activityctl.domain.values.model import JsonValue
from activityctl.ports import BegunAttempt, KnownRun, OpenResult, Work


class MemoryRunStore:
    """Implements the RunStore port."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    async def admission_input(self, firing: FiringRef) -> AdmissionInput | None:
        """Return what admission needs; None when the subscription is unknown."""
        tables = self._state.catalog
        subscription = tables.subscriptions.get(firing.subscription_id)
        if subscription is None:
            return None
        row = self._state.firings.get(
            ids.firing_id(firing.subscription_id, firing.trigger, firing.firing_key)
        )
        revision_id, params = self._state.frozen_of(subscription, row)
        revision = tables.revisions[revision_id]
        return AdmissionInput(
            subscription,
            revision,
            spec_of(revision).for_trigger(firing.trigger),
            params,
            payload=row.firing.payload if row else {},
            events=tuple(
                self._state.events[event_id].event.document
                for event_id in (row.event_ids if row else ())
            ),
            priority=row.priority if row else 0,
            record=self._record(firing, row),
            replayed=await read_replayed(self._state, firing, self.load),
        )

    def _record(self, firing: FiringRef, row: FiringRow | None) -> FiringRecord | None:
        run_row = self._state.runs.get(firing.run_id)
        may_start = row is not None and (
            row.dispatched_at is not None
            or (row.fires_at is not None and row.fires_at <= self._state.clock())
        )
        if run_row is not None:
            run, is_let_in = run_row.run, run_row.let_in_at is not None
            skips = run.ending is RunStatus.SKIPPED
            return FiringRecord(run.due_at, may_start, run.status, is_let_in, skips)
        return None if row is None else FiringRecord(row.firing.due_at, may_start)

    async def specs_of(self, revision_ids: Collection[str]) -> dict[str, DefinitionSpec]:
        """Return the specs of these revisions, by revision id."""
        revisions = self._state.catalog.revisions
        return {key: spec_of(revisions[key]) for key in revision_ids if key in revisions}

    async def spec_of_run(self, run_id: str) -> DefinitionSpec | None:
        """Return the spec of the run's revision; None if the run does not exist."""
        state = await self.load(run_id)
        return None if state is None else state.spec

    async def open(
        self,
        workflow_id: str,
        change: RunChange,
        version: str | None = None,  # noqa: ARG002  # nothing is read early here
        *,
        after: Awaitable[None] | None = None,
    ) -> OpenResult:
        """Insert the run with its first task instances, or begin a run that was let in."""
        if after is not None:
            await after
        row = self._state.runs.get(change.run.id)
        if row is not None and not may_begin(row, workflow_id):
            is_ours = row.workflow_id == workflow_id and row.run.ended_at is None
            return OpenResult.OURS if is_ours else OpenResult.TAKEN
        run = _stored_run(change.run)
        if row is not None:
            run = begun_run(self._state, change, run, row.run)
        self._state.runs[run.id] = replace(row, run=run) if row else RunRow(run, workflow_id)
        self._write(change)
        if run.status is RunStatus.MISSED:
            uncount_firing(self._state, run.subscription_id, run.trigger, run.due_at)
        wake_next_in_order(self._state, run)
        return OpenResult.OPENED

    async def begin_lookup(self, workflow_id: str, run: Run, entry: LogEntry) -> OpenResult:
        """Record that the context of a queued run that was let in is looked up from now on."""
        row = self._state.runs.get(run.id)
        if row is None or not may_begin(row, workflow_id) or row.run.started_at is not None:
            is_ours = row is not None and row.workflow_id == workflow_id and not row.run.has_ended
            return OpenResult.OURS if is_ours else OpenResult.TAKEN
        looked_up = replace(row.run, started_at=run.started_at, reason=stored_text(run.reason))
        self._state.runs[run.id] = replace(row, run=looked_up)
        self._state.write_log_entries([entry])
        return OpenResult.OPENED

    async def load(self, run_id: str) -> RunState | None:
        """Return the run with its tasks; None when there is no such run."""
        row = self._state.runs.get(run_id)
        if row is None:
            return None
        revision = self._state.catalog.revisions[row.run.revision_id]
        run = with_subscription_facts(self._state.catalog, row.run)
        run = replace(run, is_cancel_requested=row.cancel_requested_at is not None)
        spec = spec_of(revision).for_trigger(run.trigger)
        return RunState(run, spec, tuple(self._tasks(run_id)))

    @asynccontextmanager
    async def locked(
        self,
        run_id: str,
        *,
        holds_tasks: bool = False,  # noqa: ARG002  # nothing can come between here
    ) -> AsyncIterator["MemoryLockedRun"]:
        """Lock the run while a decision about it is made and saved."""
        async with self._state.run_locks[run_id]:
            state = await self.load(run_id)
            locked = MemoryLockedRun(state, answers_of(self._state, run_id), self._state.hooks)
            yield locked
            for change in locked.saved:
                self._update(change)

    async def abandon(self, run_id: str, status: RunStatus, reason: str, now: datetime) -> bool:
        """End the run and its open tasks without reading their data; return whether it has ended.

        A run is cancelled only if that was requested. True if there is no such run.
        """
        async with self._state.run_locks[run_id]:
            row = self._state.runs.get(run_id)
            if row is None or row.run.has_ended:
                return True
            if status is RunStatus.CANCELLED and row.cancel_requested_at is None:
                return False
            text = stored_text(reason)
            run = replace(row.run, status=status, reason=text, ending=None, ended_at=now)
            self._state.runs[run_id] = replace(row, run=run)
            for task in self._tasks(run_id):
                self._abandon_task(task, text, now)
            if status in {RunStatus.FAILED, RunStatus.TIMED_OUT}:
                letter = ids.dead_letter_id(run_id), run.id, run.subscription_id, text or "", now
                self._state.dead_letters.setdefault(letter[0], DeadLetter(*letter))
                tell_abandoned(self._state, run)
                write_abandoned_streak(self._state, row.run, text or "", now)
            entry = LogEntry(run.subscription_id, run_id, end_message(status, text), "error", now)
            self._state.write_log_entries([entry])
            self._state.wake_workers(Work.QUEUE)
        return True

    def _abandon_task(self, task: TaskInstance, reason: str | None, now: datetime) -> None:
        if not task.has_ended:
            status = TaskStatus.CANCELLED
            ended = replace(task, status=status, reason=reason, input=None, ended_at=now)
            self._state.tasks[task.id] = replace(self._state.tasks[task.id], task=ended)
            if (row := self._state.waits.get(task.id)) is not None:
                self._state.waits[task.id] = replace(row, ended_at=row.ended_at or now)
            end_attempt(self._state, task.id, AttemptOutcome.STOPPED, now)

    async def begin_attempt(
        self,
        task_id: str,
        now: datetime,
        worker: str,
        *,
        reads_run: bool = False,
        lane: str | None = None,
    ) -> BegunAttempt | None:
        """Mark the task as running and count the attempt; None when it may not begin."""
        tasks = [found.task for found in self._state.tasks.values()]
        carried = carried_by(tasks, task_id)
        row = self._state.tasks[carried.id] if carried else None
        if row is None or row.task.ended_at is not None:
            return None
        is_running = self._state.runs[row.task.run_id].run.status is RunStatus.RUNNING
        if not is_running or (lane is not None and row.task.status is not TaskStatus.PENDING):
            return None
        task = begun(row.task, now, worker, lane)
        self._state.tasks[task.id] = replace(row, task=task)
        begin_attempt(self._state, task, now)
        lost_since = row.task.attempt_at
        lost_worker = row.task.worker if lost_since is not None else None
        state = await self.load(task.run_id) if reads_run else None
        known = KnownRun(state, self._state.runs[task.run_id]) if state else None
        return BegunAttempt(task, lost_worker, lost_since, known)

    async def save_unchanged(self, known: KnownRun, change: RunChange) -> bool:
        """Write the change if nothing was decided about the run since; return whether it is."""
        async with self._state.run_locks[change.run.id]:
            is_unchanged = self._state.runs[change.run.id] is known.version
            if is_unchanged:
                self._update(change)
            return is_unchanged

    async def fail_attempt(
        self, task_id: str, error: str, entry: LogEntry, code: str | None = None
    ) -> int:
        """Count, record and log a failed attempt; return how many have failed so far."""
        self._state.write_log_entries([entry])
        if (row := self._state.tasks.get(task_id)) is None:
            return 0
        task = replace(row.task, attempt_at=None)
        if row.task.ended_at is None:
            task = replace(task, error=stored_text(error), code=stored_text(code))
        end_attempt(self._state, task_id, AttemptOutcome.FAILED, entry.created_at, error, code)
        self._state.tasks[task_id] = TaskRow(task, row.failures + 1)
        return row.failures + 1

    async def release_attempt(self, task_id: str, entry: LogEntry) -> None:
        """Write the entry, and record that the attempt is not at work."""
        self._state.write_log_entries([entry])
        if (row := self._state.tasks.get(task_id)) is not None:
            task = replace(row.task, attempt_at=None)
            self._state.tasks[task_id] = replace(row, task=task)
            end_attempt(self._state, task_id, AttemptOutcome.INTERRUPTED, entry.created_at)

    async def hold_task(self, task_id: str, reason: str, entry: LogEntry) -> None:
        """Note why no attempt of an open task begins; write the entry if that is new."""
        row = self._state.tasks.get(task_id)
        if row is None or row.task.ended_at is not None or row.task.reason == reason:
            return
        self._state.tasks[task_id] = replace(row, task=replace(row.task, reason=reason))
        self._state.write_log_entries([entry])

    async def keep_output(self, task_id: str, output: JsonValue, entry: LogEntry) -> None:
        """Write the entry, and the output of a stopped attempt; a task that has ended keeps its."""
        self._state.write_log_entries([entry], again=True)
        row = self._state.tasks.get(task_id)
        if row is not None and (row.task.output is None or row.task.ended_at is None):
            task = replace(row.task, output=stored_json(output))
            self._state.tasks[task_id] = replace(row, task=task)

    async def recent(
        self, subscription_id: str, *, limit: int, status: RunStatus | None, excluding: str
    ) -> list[tuple[Run, list[TaskInstance]]]:
        """Return the subscription's latest ended runs with their tasks, newest first."""
        found = [
            row.run
            for row in self._state.runs.values()
            if row.run.subscription_id == subscription_id
            and row.run.ended_at is not None
            and row.run.id != excluding
            and not is_notice(row.run.trigger)
            and status in (None, row.run.status)
        ]
        found.sort(key=lambda run: run.created_at, reverse=True)
        return [(run, self._tasks(run.id)) for run in found[:limit]]

    async def request_cancel(self, run_id: str, now: datetime, reason: str | None = None) -> bool:
        """Record the request to cancel and wake the dispatcher; False when the run has ended."""
        async with self._state.run_locks[run_id]:
            row = self._state.runs.get(run_id)
            if row is None or row.run.ended_at is not None:
                return False
            run = replace(row.run, cancel_reason=row.run.cancel_reason or reason)
            asked_at = row.cancel_requested_at or now
            self._state.runs[run_id] = replace(row, run=run, cancel_requested_at=asked_at)
            self._state.wake_workers(Work.CANCEL)
        return True

    async def cancel_accepted(self, workflow_id: str, change: RunChange) -> bool:
        """Write the cancelled run of a firing that has none; False if it has one or is unknown."""
        run = change.run
        key = ids.firing_id(run.subscription_id, run.trigger, run.firing_key)
        row = self._state.firings.get(key)
        if row is None or run.id in self._state.runs:
            return False
        self._state.runs[run.id] = RunRow(_stored_run(run), workflow_id)
        self._state.firings[key] = replace(row, dispatched_at=row.dispatched_at or run.ended_at)
        self._write(change)
        wake_next_in_order(self._state, run)
        return True

    async def cancel_requests(self) -> list[tuple[str, str]]:
        """Return (run id, workflow id) of the open runs with a request to cancel."""
        return [
            (key, row.workflow_id)
            for key, row in self._state.runs.items()
            if row.run.ended_at is None and row.cancel_requested_at is not None
        ]

    def _tasks(self, run_id: str) -> list[TaskInstance]:
        tasks = [row.task for row in self._state.tasks.values() if row.task.run_id == run_id]
        return sorted(tasks, key=lambda task: (task.created_at, task.name, task.index))

    def _update(self, change: RunChange) -> None:
        row = self._state.runs.get(change.run.id)
        if row is not None:
            run = replace(
                row.run,
                status=change.run.status,
                reason=stored_text(change.run.reason),
                ending=change.run.ending,
                ended_at=change.run.ended_at,
            )
            self._state.runs[run.id] = replace(row, run=run)
        self._write(change)

    def _write(self, change: RunChange) -> None:
        if change.frees_slot:
            self._state.wake_workers(Work.QUEUE)
        for task in change.create:
            self._state.tasks.setdefault(task.id, TaskRow(_stored_task(task)))
        for task in change.update:
            self._end_task(_stored_task(task))
        for task in change.hidden_inputs:
            row = self._state.tasks[task.id]
            hidden = replace(row.task, input=_stored_task(task).input)
            self._state.tasks[task.id] = replace(row, task=hidden)
        write_waits(self._state, change)
        self._state.write_log_entries(change.entries)
        write_end(self._state, change)
        write_streak(self._state, change)
        write_notices(self._state, *change.notices)

    def _end_task(self, task: TaskInstance) -> None:
        row = self._state.tasks.get(task.id)
        if row is None or row.task.ended_at is not None:
            return
        ended = replace(
            row.task,
            status=task.status,
            output=task.output,
            error=task.error,
            code=task.code,
            reason=task.reason,
            ended_at=task.ended_at,
            attempt_at=None,
            started_at=row.task.started_at or task.started_at,
            waits_until=task.waits_until,
            completed_by=stored_text(task.completed_by),
        )
        if task.ended_at is not None:
            outcome = outcome_of(task.status)
            end_attempt(self._state, task.id, outcome, task.ended_at, task.error, task.code)
        self._state.tasks[task.id] = replace(row, task=ended)


def _stored_run(run: Run) -> Run:
    return replace(
        run,
        reason=stored_text(run.reason),
        params=stored_json(dict(run.params)),
        context=stored_json(dict(run.context)),
        state=stored_json(dict(run.state)),
        payload=stored_json(dict(run.payload)),
    )


def _stored_task(task: TaskInstance) -> TaskInstance:
    return replace(
        task,
        input=stored_json(task.input),
        output=stored_json(task.output),
        error=stored_text(task.error),
        code=stored_text(task.code),
        reason=stored_text(task.reason),
    )
