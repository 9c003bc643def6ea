"""Runs that are late, in memory."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from activityctl.adapters.memory.runs.notices import labels_of
from activityctl.adapters.memory.state import FiringRow, MemoryState, RunRow, spec_of
from activityctl.domain.manifests.run_limits import Slo
from activityctl.domain.runs.lateness import LateRun, NotedLateness, RunTimes
from activityctl.domain.runs.notices import follows_own_event, is_notice
from activityctl.domain.runs.run import RunStatus
from activityctl.domain.values.log import LogEntry

_BACKFILL = "backfill-"


class MemoryLateness:
    """Implements the Lateness port."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    async def slos(self) -> Mapping[str, Slo]:
        """Return the slo of each revision that has one, by revision id."""
        specs = {key: spec_of(each) for key, each in self._state.catalog.revisions.items()}
        return {key: spec.slo for key, spec in specs.items() if spec.slo is not None}

    async def now(self) -> datetime:
        """Return the time of Postgres."""
        return self._state.clock()

    async def candidates(
        self, revisions: Mapping[str, timedelta], recent: timedelta, limit: int
    ) -> list[tuple[str, RunTimes]]:
        """Return runs and firings of these revisions that are due for longer than that."""
        now = self._state.clock()
        found = [*self._runs(now - recent), *self._firings()]
        late = [
            (revision, times)
            for revision, times in found
            if revision in revisions and times.due_at < now - revisions[revision]
        ]
        return sorted(late, key=lambda pair: pair[1].due_at)[:limit]

    async def note(self, late: LateRun, entry: LogEntry) -> bool:
        """Keep the missed deadline and write the entry; False if it was noted before."""
        key = (late.run.run_id, late.deadline.value)
        if key in self._state.late_runs:
            return False
        noted = NotedLateness(late.run.run_id, late.deadline, late.by, entry.created_at)
        self._state.late_runs[key] = (late.run.subscription, noted)
        self._state.write_log_entries([entry])
        return True

    async def of_runs(self, run_ids: Sequence[str]) -> list[NotedLateness]:
        """Return the missed deadlines of these runs, the start first."""
        found = [noted for _, noted in self._state.late_runs.values() if noted.run_id in run_ids]
        found.sort(key=lambda noted: noted.deadline.value, reverse=True)
        return sorted(found, key=lambda noted: noted.run_id)

    def _runs(self, created_since: datetime) -> Iterator[tuple[str, RunTimes]]:
        for row in self._state.runs.values():
            run = row.run
            is_looked_at = not run.has_ended or run.created_at >= created_since
            is_first = run.replay_of is None and not is_notice(run.trigger)
            if is_looked_at and is_first and not run.firing_key.startswith(_BACKFILL):
                labels = labels_of(self._state, run.subscription_id)
                yield run.revision_id, _times_of(row, labels)

    def _firings(self) -> Iterator[tuple[str, RunTimes]]:
        for row in self._state.firings.values():
            is_waiting = row.dispatched_at is None and row.fires_at is not None
            is_first = row.replay is None and not row.backfill_id
            is_first = is_first and not is_notice(row.firing.trigger)
            if is_waiting and is_first and row.firing.ref.run_id not in self._state.runs:
                yield self._of_firing(row)

    def _of_firing(self, row: FiringRow) -> tuple[str, RunTimes]:
        owner = self._state.catalog.subscriptions[row.firing.subscription_id]
        revision, _ = self._state.frozen_of(owner, row)
        return revision, RunTimes(
            row.firing.ref.run_id,
            owner.id,
            owner.name,
            owner.definition,
            row.firing.trigger,
            row.firing.due_at,
            RunStatus.QUEUED,
            labels=labels_of(self._state, owner.id),
        )


def _times_of(row: RunRow, labels: Mapping[str, str]) -> RunTimes:
    run = row.run
    return RunTimes(
        run.id,
        run.subscription_id,
        run.subscription,
        run.definition,
        run.trigger,
        run.due_at,
        run.status,
        run.started_at,
        run.ended_at,
        follows_own_event(run),
        labels,
    )
