"""Metrics counted in memory."""

from collections import Counter
from datetime import datetime

from activityctl.adapters.memory.runs.letters import list_letters
from activityctl.adapters.memory.schedules.schedules import status_of
from activityctl.adapters.memory.state import FiringRow, MemoryState
from activityctl.domain.events.stored_event import VerdictOutcome
from activityctl.domain.runs.dead_letter import ANY_LETTER
from activityctl.domain.runs.metrics_snapshot import (
    LIVING,
    OVERDUE_AFTER,
    RUNS_COUNTED_FOR,
    MetricsSnapshot,
)
from activityctl.domain.runs.worker import COUNTS_AS_ALIVE
from activityctl.domain.values.selection import Selection


class MemoryMetricsSource:
    """Implements the MetricsSource port."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    async def snapshot(self) -> MetricsSnapshot:
        """Count everything at one moment, by the clock of the store."""
        state, now = self._state, self._state.clock()
        waiting = [row for row in state.firings.values() if row.dispatched_at is None]
        events = (row.event for row in state.events.values())
        unrouted = [event for event in events if event.routed_at is None]
        schedules = list(state.catalog.schedules.values())
        return MetricsSnapshot(
            counted_at=now,
            runs=Counter(
                row.run.status.value
                for row in state.runs.values()
                if row.run.ended_at is None or row.run.created_at >= now - RUNS_COUNTED_FOR
            ),
            firings=Counter(_state_of(row, now) for row in waiting),
            oldest_due_at=min(
                (row.fires_at for row in waiting if row.fires_at and row.fires_at <= now),
                default=None,
            ),
            schedules=Counter(status_of(state, row) for row in schedules),
            overdue_schedules=sum(
                row.is_active and row.next_at is not None and row.next_at < now - OVERDUE_AFTER
                for row in schedules
            ),
            alarms=sum(row.observed_at is not None for row in state.alarms.values()),
            restarts=sum(row.restarts for row in state.alarms.values()),
            restarted_at=max(
                (row.restarted_at for row in state.alarms.values() if row.restarted_at),
                default=None,
            ),
            subscriptions=Counter(
                subscription.status.value
                for subscription in state.catalog.subscriptions.values()
                if subscription.status in LIVING
            ),
            breakers=Counter(
                each.status.value for each in self._state.breakers.values() if each.openings
            ),
            breaker_openings=sum(each.openings for each in self._state.breakers.values()),
            late_runs=Counter(
                name
                for name, noted in state.late_runs.values()
                if noted.noticed_at >= now - RUNS_COUNTED_FOR
            ),
            ended_runs=Counter(
                (row.run.subscription, row.run.status.value)
                for row in state.runs.values()
                if row.run.ended_at is not None and row.run.created_at >= now - RUNS_COUNTED_FOR
            ),
            held_tasks=sum(not self._state.tasks[key].task.has_ended for key in self._state.holds),
            workers=sum(
                abs(now - row.seen_at) <= COUNTS_AS_ALIVE for row in state.workers.values()
            ),
            dead_letters=Counter(
                letter.subscription
                for letter in list_letters(
                    state, Selection(statuses=("open",), limit=None), ANY_LETTER
                )
            ),
            stuck_runs=sum(
                row.run.ended_at is None and row.run.stuck_since is not None
                for row in state.runs.values()
            ),
            unrouted_events=len(unrouted),
            oldest_unrouted_at=min((event.arrived_at for event in unrouted), default=None),
            filter_errors=sum(
                verdict.outcome is VerdictOutcome.ERROR
                and verdict.created_at >= now - RUNS_COUNTED_FOR
                for verdict in state.verdicts.values()
            ),
        )


def _state_of(row: FiringRow, now: datetime) -> str:
    if row.fires_at is None:
        return "held"
    return "due" if row.fires_at <= now else "later"
