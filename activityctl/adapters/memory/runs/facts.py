"""The facts of a subscription in memory."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from activityctl.adapters.memory.runs.at_work import read_at_work
from activityctl.adapters.memory.runs.letters import list_letters
from activityctl.adapters.memory.state import FiringRow, MemoryState
from activityctl.domain.runs.at_work import AtWork
from activityctl.domain.runs.dead_letter import ANY_LETTER
from activityctl.domain.runs.definition_facts import DefinitionFacts, OwnedFailure, OwnedRun
from activityctl.domain.runs.lateness import NotedLateness
from activityctl.domain.runs.latest_run import LatestRun
from activityctl.domain.runs.run import FAILURES, Run, RunStatus
from activityctl.domain.runs.subscription_facts import (
    FEW,
    GUARDED,
    JUDGED,
    NEWEST,
    PERIODS,
    STRIP,
    FailedRun,
    HeldGroup,
    OpenLetter,
    RunFigures,
    SubscriptionFacts,
)
from activityctl.domain.tasks.held_task import parts_of_lookup
from activityctl.domain.values.selection import Selection


class MemoryFacts:
    """Implements the Facts port."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    async def of_subscription(
        self, subscription_id: str, now: datetime, paused_at: datetime | None = None
    ) -> SubscriptionFacts:
        """Return the facts of this moment; `paused_at` is when it was paused, if it is."""
        runs = self._runs(subscription_id)
        open_runs = [run for run in runs if run.ended_at is None]
        queued = [run.created_at for run in open_runs if run.status is RunStatus.QUEUED]
        waiting = [
            row
            for row in self._state.firings.values()
            if row.dispatched_at is None and row.firing.subscription_id == subscription_id
        ]
        due = [row.fires_at for row in waiting if row.fires_at and row.fires_at <= now]
        late = self._late(subscription_id)
        owned = Selection(subscription_id=subscription_id, statuses=("open",), limit=FEW)
        return SubscriptionFacts(
            periods=_periods(runs, now),
            latest=tuple(_latest(run) for run in runs[:STRIP]),
            open_runs=Counter(run.status.value for run in open_runs),
            stuck_runs=sum(run.is_stuck for run in open_runs),
            queued_since=min(queued, default=None),
            firings=Counter(_state_of(row, now) for row in waiting),
            due_since=min(due, default=None),
            firing_error=next((row.error for row in waiting if row.error), None),
            held=self._held(subscription_id),
            breakers=self._breakers([run.id for run in runs[:GUARDED]]),
            last_failure=next((_failure(run) for run in runs if run.status in FAILURES), None),
            letters=tuple(
                OpenLetter(letter.id, letter.run_id, letter.reason, letter.created_at)
                for letter in list_letters(self._state, owned, ANY_LETTER)
            ),
            late={
                name: counts
                for name, span in PERIODS.items()
                if (counts := Counter(n.deadline.value for n in late if n.noticed_at >= now - span))
            },
            latest_late=tuple(late[:FEW]),
            paused_by=None if paused_at is None else self._paused_by(subscription_id, paused_at),
        )

    async def of_definition(
        self, definition: str, owners: Mapping[str, str], now: datetime
    ) -> DefinitionFacts:
        """Return the facts of the runs that these subscriptions (id, name) had by a definition."""
        of_all = [run for owner in owners for run in self._runs(owner)]
        runs = [run for run in of_all if run.definition == definition]
        runs.sort(key=lambda run: run.created_at, reverse=True)
        failures = (
            OwnedFailure(owners[run.subscription_id], _failure(run))
            for run in runs
            if run.status in FAILURES
        )
        return DefinitionFacts(
            periods=_periods(runs, now),
            latest=tuple(
                OwnedRun(owners[run.subscription_id], _latest(run)) for run in runs[:STRIP]
            ),
            last_failure=next(failures, None),
        )

    async def at_work(self, text: str | None = None) -> AtWork:
        """Return what is going on, without the workers; only runs that have the text are listed."""
        return read_at_work(self._state, text)

    def _runs(self, owner: str) -> list[Run]:
        rows = self._state.runs.values()
        runs = [row.run for row in rows if row.run.subscription_id == owner]
        runs.sort(key=lambda run: run.id)
        return sorted(runs, key=lambda run: run.created_at, reverse=True)

    def _late(self, owner: str) -> list[NotedLateness]:
        name = self._state.catalog.subscriptions[owner].name
        found = [noted for of, noted in self._state.late_runs.values() if of == name]
        found.sort(key=lambda noted: (noted.run_id, noted.deadline.value))
        return sorted(found, key=lambda noted: noted.noticed_at, reverse=True)

    def _held(self, owner: str) -> tuple[HeldGroup, ...]:
        groups: dict[tuple[str | None, str | None], HeldGroup] = {}
        for key, row in self._state.holds.items():
            task = self._state.tasks.get(key)
            run_id = parts_of_lookup(key)[0] if task is None else task.task.run_id
            has_ended = task is not None and task.task.has_ended
            if has_ended or self._state.runs[run_id].run.subscription_id != owner:
                continue
            seen = groups.get((row.breaker, row.limit))
            groups[row.breaker, row.limit] = HeldGroup(
                row.breaker,
                row.limit,
                1 + (seen.count if seen else 0),
                min(row.since, seen.since) if seen else row.since,
                min(row.look_at, seen.next_at) if seen else row.look_at,
            )
        return tuple(sorted(groups.values(), key=lambda group: -group.count))

    def _breakers(self, run_ids: Sequence[str]) -> tuple[str, ...]:
        tasks = [row.task for row in self._state.tasks.values() if row.task.run_id in run_ids]
        names = {task.guard.breaker_name for task in tasks if task.guard is not None}
        return tuple(sorted(name for name in names if name is not None))

    def _paused_by(self, owner: str, paused_at: datetime) -> str | None:
        for _, entry in self._state.log:
            is_of_pause = paused_at <= entry.created_at < paused_at + timedelta(minutes=1)
            is_pause = entry.subscription_id == owner and entry.metadata.get("status") == "paused"
            if is_of_pause and is_pause and "actor" in entry.metadata:
                return str(entry.metadata["actor"])
        return None


def _periods(newest_first: Sequence[Run], now: datetime) -> dict[str, RunFigures]:
    return {
        name: figures
        for name, span in PERIODS.items()
        if (figures := _figures([r for r in newest_first if r.created_at >= now - span])).counts
    }


def _figures(newest_first: Sequence[Run]) -> RunFigures:
    runs = newest_first[:NEWEST]
    took = sorted(
        run.ended_at - run.started_at
        for run in runs
        if run.status in JUDGED and run.ended_at and run.started_at
    )
    return RunFigures(
        Counter(run.status.value for run in runs),
        len(runs) == NEWEST,
        _percentile(took, 0.5),
        _percentile(took, 0.95),
        _percentile(took, 1),
    )


def _percentile(ordered: Sequence[timedelta], share: float) -> timedelta | None:
    return ordered[max(math.ceil(share * len(ordered)), 1) - 1] if ordered else None


def _latest(run: Run) -> LatestRun:
    return LatestRun(
        run.id,
        run.status,
        run.trigger,
        run.created_at,
        run.started_at,
        run.ended_at,
        run.is_stuck,
    )


def _failure(run: Run) -> FailedRun:
    return FailedRun(run.id, run.status, run.reason, run.ended_at)


def _state_of(row: FiringRow, now: datetime) -> str:
    if row.fires_at is None:
        return "held"
    return "due" if row.fires_at <= now else "later"
