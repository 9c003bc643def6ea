"""Replays of runs in memory: a firing like that of the run before, with how it is replayed."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime

from activityctl.adapters.memory.state import FiringRow, MemoryState
from activityctl.domain.manifests.subscription import SubscriptionStatus
from activityctl.domain.runs.replay import ReplayedRun
from activityctl.domain.runs.replay_log import replay_entry
from activityctl.domain.runs.replay_request import ReplayOptions, ReplayOutcome, ReplayRequest
from activityctl.domain.runs.run import Run, RunState
from activityctl.domain.timing.firing import FiringRef, FiringRequest
from activityctl.domain.values import ids
from activityctl.ports import Work


def add_firing(
    state: MemoryState, run: Run, key: str, options: ReplayOptions, now: datetime, *, latest: bool
) -> tuple[ids.RunId, bool]:
    """Store a firing like that of the run; return the id of its run, and whether it is new."""
    firing = FiringRequest(run.subscription_id, run.trigger, key, run.due_at)
    firing_id = ids.firing_id(run.subscription_id, run.trigger, key)
    if firing_id in state.firings or firing.ref.run_id in state.runs:
        return firing.ref.run_id, False
    row = FiringRow(firing, now, fires_at=state.clock(), priority=run.priority, replay=options)
    if latest:
        row = state.frozen(row)
    else:
        row = replace(row, revision_id=run.revision_id, params=run.params)
    state.firings[firing_id] = row
    return firing.ref.run_id, True


async def read_replayed(
    state: MemoryState,
    firing: FiringRef,
    load: Callable[[str], Awaitable[RunState | None]],
) -> ReplayedRun | None:
    """Return the run that the firing retries or replays; None for any other firing."""
    run_id = ids.replayed_run(firing.firing_key)
    before = None if run_id is None else await load(run_id)
    if before is None:
        return None
    row = state.firings.get(
        ids.firing_id(firing.subscription_id, firing.trigger, firing.firing_key)
    )
    options = row.replay if row is not None and row.replay is not None else ReplayOptions()
    return ReplayedRun(before.run, before.tasks, options)


class MemoryReplays:
    """Implements the Replays port."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    async def replay(
        self, run_ids: Sequence[str], request: ReplayRequest, now: datetime
    ) -> list[ReplayOutcome]:
        """Store the firing of a new run for each run that has ended; return one outcome each."""
        outcomes = [self._replay(run_id, request, now) for run_id in run_ids]
        self._state.wake_workers(Work.FIRING)
        return outcomes

    def _replay(self, run_id: str, request: ReplayRequest, now: datetime) -> ReplayOutcome:
        row = self._state.runs.get(run_id)
        if row is None:
            return ReplayOutcome(ids.RunId(run_id), "unknown")
        run = row.run
        owner = self._state.catalog.subscriptions[run.subscription_id]
        if owner.status is SubscriptionStatus.DELETED:
            return ReplayOutcome(run.id, "deleted")
        if not run.has_ended:
            return ReplayOutcome(run.id, "open")
        key = ids.replay_of_key(run.id, request.name)
        new_id, is_new = add_firing(
            self._state, run, key, request.options, now, latest=request.latest
        )
        outcome = ReplayOutcome(run.id, "replayed" if is_new else "repeated", new_id)
        if is_new:
            entry = replay_entry(run.subscription_id, outcome, request, now)
            self._state.write_log_entries([entry])
        return outcome
