"""Which open runs are stuck, in memory."""

from dataclasses import replace
from datetime import datetime

from activityctl.adapters.memory.state import MemoryState
from activityctl.domain.values.ids import RunId, SubscriptionId
from activityctl.ports import StuckSummary, StuckWorkflow


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
        return found

    async def clear_stuck(self, workflow_id: str) -> list[tuple[RunId, SubscriptionId]]:
        """Unmark the runs of the workflow; return those that were marked and are open."""
        found = []
        for key, row in self._state.runs.items():
            if row.workflow_id == workflow_id and row.run.is_stuck:
                found.append((row.run.id, row.run.subscription_id))
                run = replace(row.run, stuck_since=None, stuck_reason=None)
                self._state.runs[key] = replace(row, run=run)
        return found

    async def stuck_workflows(self) -> list[str]:
        """Return the ids of the workflows of all stuck runs."""
        rows = self._state.runs.values()
        return list(dict.fromkeys(row.workflow_id for row in rows if row.run.is_stuck))

    async def idle(self) -> list[StuckWorkflow]:
        """Return the workflows of stuck runs that have no attempt at work; all workers live."""
        found = []
        for workflow_id in await self.stuck_workflows():
            rows = [
                row
                for row in self._state.runs.values()
                if row.workflow_id == workflow_id and not row.run.has_ended
            ]
            runs = {row.run.id for row in rows}
            if any(
                attempt.ended_at is None and self._state.tasks[attempt.task_id].task.run_id in runs
                for attempt in self._state.attempts.values()
            ):
                continue
            times = [row.run.stuck_since for row in rows if row.run.stuck_since is not None]
            began_at = min(row.run.created_at for row in rows if row.run.is_stuck)
            found.append(StuckWorkflow(workflow_id, max(times), began_at))
        return found

    async def summary(self) -> StuckSummary | None:
        """Return how many runs are stuck; None if there are none."""
        runs = [row.run for row in self._state.runs.values() if row.run.is_stuck]
        times = [run.stuck_since for run in runs if run.stuck_since is not None]
        if not times:
            return None
        last = max(runs, key=lambda run: run.stuck_since or times[0])
        return StuckSummary(len(runs), min(times), last.stuck_reason or "")
