"""What is believed to be under way, in memory."""

from datetime import datetime, timedelta

from activityctl.adapters.memory.state import MemoryState, RunRow
from activityctl.domain.runs.run import RunStatus
from activityctl.domain.timing.firing import FiringCause, FiringRef
from activityctl.ports import StartedFiring


class MemoryUnfinishedWork:
    """Implements the UnfinishedWork port."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    async def open_runs(
        self, older_than: timedelta, limit: int, *, after: str = ""
    ) -> list[FiringRef]:
        """Return the firings of runs that have begun and not ended, ordered by run id."""
        before = self._state.clock() - older_than
        rows = sorted(
            (row for row in self._state.runs.values() if _is_at_work(row, before)),
            key=lambda row: row.run.id,
        )
        return [_carried_again(row) for row in rows if row.run.id > after][:limit]

    async def firings_without_run(
        self, older_than: timedelta, limit: int, *, since: datetime | None = None
    ) -> list[StartedFiring]:
        """Return firings that were started that long ago and have no run, oldest start first."""
        before = self._state.clock() - older_than
        found = [
            StartedFiring(row.firing.ref, row.dispatched_at)
            for row in self._state.firings.values()
            if row.dispatched_at is not None
            and row.dispatched_at <= before
            and (since is None or row.dispatched_at >= since)
            and row.firing.ref.run_id not in self._state.runs
        ]
        return sorted(found, key=lambda started: started.started_at)[:limit]


def _is_at_work(row: RunRow, before: datetime) -> bool:
    if row.run.has_ended or (row.run.status is RunStatus.QUEUED and row.let_in_at is None):
        return False
    return (row.let_in_at or row.run.created_at) <= before


def _carried_again(row: RunRow) -> FiringRef:
    run = row.run
    return FiringRef(
        run.subscription_id,
        run.trigger,
        run.firing_key,
        run.due_at.isoformat(),
        row.workflow_id,
        FiringCause.RECOVERY,
    )
