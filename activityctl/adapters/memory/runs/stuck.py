"""Which open runs and workflows are stuck, in memory."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from activityctl.adapters.memory.state import MemoryState, StuckRow
from activityctl.domain.runs.run import Run, RunStatus
from activityctl.domain.tasks.attempt import Attempt
from activityctl.domain.values.ids import RunId, SubscriptionId
from activityctl.ports import QuietWorkflow, StuckSummary, StuckWorkflow


class MemoryStuckRuns:
    """Implements the StuckRuns port."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    async def mark_stuck(
        self, workflow_id: str, reason: str, now: datetime
    ) -> list[tuple[RunId, SubscriptionId]]:
        """Mark the open runs of the workflow; return those that were not marked before."""
        found = []
        for key, row in self._state.runs.items():
            if row.workflow_id != workflow_id or row.run.has_ended:
                continue
            if row.run.stuck_since is None:
                found.append((row.run.id, row.run.subscription_id))
            since = row.run.stuck_since or now
            run = replace(row.run, stuck_since=since, stuck_reason=reason)
            self._state.runs[key] = replace(row, run=run)
        if not self._open_runs(workflow_id):
            known = self._state.stuck_workflows.get(workflow_id, StuckRow(now, now, reason))
            self._state.stuck_workflows[workflow_id] = StuckRow(
                known.began_at, known.since or now, reason
            )
        return found

    async def clear_stuck(
        self, workflow_id: str, *, is_replaced: bool = False
    ) -> list[tuple[RunId, SubscriptionId]]:
        """Unmark the workflow and its runs; return those that were marked and are open."""
        known = self._state.stuck_workflows.pop(workflow_id, None)
        if is_replaced and known is not None:
            self._state.stuck_workflows[workflow_id] = replace(known, since=None)
        found = []
        for key, row in self._state.runs.items():
            if row.workflow_id == workflow_id and row.run.is_stuck:
                found.append((row.run.id, row.run.subscription_id))
                run = replace(row.run, stuck_since=None, stuck_reason=None)
                self._state.runs[key] = replace(row, run=run)
        return found

    async def stuck_workflows(self) -> list[str]:
        """Return the ids of the workflows that are stuck, with and without runs."""
        alone = [key for key, row in self._state.stuck_workflows.items() if row.since is not None]
        return list(dict.fromkeys([*self._of_runs(), *alone]))

    async def idle(self) -> list[StuckWorkflow]:
        """Return the stuck workflows that have no attempt at work; all workers live."""
        found = [
            StuckWorkflow(workflow_id, since, row.began_at)
            for workflow_id, row, since in self._without_run()
        ]
        for workflow_id in self._of_runs():
            runs = self._open_runs(workflow_id)
            if any(attempt.ended_at is None for attempt in self._attempts(runs)):
                continue
            times = [run.stuck_since for run in runs if run.stuck_since is not None]
            began_at = min(run.created_at for run in runs if run.is_stuck)
            found.append(StuckWorkflow(workflow_id, max(times), began_at))
        return found

    async def forsaken(self) -> list[QuietWorkflow]:
        """Return no workflow: all workers live."""
        return []

    async def quiet(self, within: timedelta, limit: int) -> list[QuietWorkflow]:
        """Return the workflows without open attempts that were at work not so long ago."""
        since = self._state.clock() - within
        found = []
        for workflow_id in dict.fromkeys(row.workflow_id for row in self._state.runs.values()):
            runs = [
                run
                for run in self._open_runs(workflow_id)
                if not run.is_stuck and run.status is not RunStatus.QUEUED
            ]
            attempts = self._attempts(runs)
            ends = [each.ended_at for each in attempts if each.ended_at is not None]
            times = [*ends, *(run.created_at for run in runs)]
            if runs and len(ends) == len(attempts) and max(times) > since:
                began_at = min(run.created_at for run in runs)
                quiet = QuietWorkflow(workflow_id, min(run.id for run in runs), began_at)
                found.append((max(times), quiet))
        found.sort(key=lambda each: each[0], reverse=True)
        return [quiet for _, quiet in found[:limit]]

    async def summary(self) -> StuckSummary | None:
        """Return how many runs are stuck; None if there are none."""
        marks = [
            (row.run.stuck_since, row.run.stuck_reason or "")
            for row in self._state.runs.values()
            if row.run.is_stuck and row.run.stuck_since is not None
        ]
        marks += [(since, row.reason) for _, row, since in self._without_run()]
        if not marks:
            return None
        return StuckSummary(len(marks), min(marks)[0], max(marks)[1])

    def _of_runs(self) -> list[str]:
        rows = self._state.runs.values()
        return list(dict.fromkeys(row.workflow_id for row in rows if row.run.is_stuck))

    def _open_runs(self, workflow_id: str) -> list[Run]:
        rows = self._state.runs.values()
        return [row.run for row in rows if row.workflow_id == workflow_id and not row.run.has_ended]

    def _attempts(self, runs: Sequence[Run]) -> list[Attempt]:
        ids, tasks = {run.id for run in runs}, self._state.tasks
        return [
            attempt
            for attempt in self._state.attempts.values()
            if tasks[attempt.task_id].task.run_id in ids
        ]

    def _without_run(self) -> list[tuple[str, StuckRow, datetime]]:
        return [
            (workflow_id, row, row.since)
            for workflow_id, row in self._state.stuck_workflows.items()
            if row.since is not None and not self._open_runs(workflow_id)
        ]
