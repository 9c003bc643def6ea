"""The timetable in memory: decides each due time once, and finds overdue schedules."""

from dataclasses import replace
from datetime import datetime, timedelta

from activityctl.adapters.memory.schedules.due_schedules import process_due_schedule
from activityctl.adapters.memory.schedules.late_starts import mark_missed_if_late
from activityctl.adapters.memory.state import MemoryState
from activityctl.domain.manifests.subscription import SubscriptionStatus
from activityctl.domain.timing.firing import FiringRef
from activityctl.domain.values import ids
from activityctl.ports import WAKE_AFTER, OverdueSchedule


class MemoryTimetable:
    """Implements the Timetable port."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    async def process_due(self, firing: FiringRef) -> bool:
        """Decide every due time up to now; return whether the caller's firing starts now."""
        key = ids.schedule_id(firing.subscription_id, firing.trigger)
        fires, is_complete = False, not firing.is_undecided
        while not is_complete:
            decisions = process_due_schedule(self._state, key, firing)
            is_complete = decisions is None or decisions.is_complete
            fires = fires or (decisions is not None and decisions.starts_now(firing.due))
        return fires or self._claim(firing)

    def _claim(self, firing: FiringRef) -> bool:
        """Take over a firing that an earlier call decided to start by now.

        Return False when it may not start yet or is too late. A repeated call gets the same answer.
        """
        key = ids.firing_id(firing.subscription_id, firing.trigger, firing.firing_key)
        row, now = self._state.firings.get(key), self._state.clock()
        if row is None or row.fires_at is None:
            return not firing.is_undecided
        if row.fires_at > now and row.dispatched_at is None:
            return False
        self._state.firings[key] = replace(row, dispatched_at=row.dispatched_at or now)
        return not mark_missed_if_late(self._state, firing, row.fires_at, now)

    async def overdue(
        self,
        limit: int,
        *,
        late_by: timedelta = WAKE_AFTER,
        before: OverdueSchedule | None = None,
    ) -> list[OverdueSchedule]:
        """Return schedules whose next time has passed without a wake-up, latest time first."""
        now = self._state.clock()
        found = []
        for schedule in self._state.catalog.schedules.values():
            wanted, next_at = schedule.wanted, schedule.next_at
            owner = self._state.catalog.subscriptions[wanted.subscription_id]
            is_active = (
                owner.status is SubscriptionStatus.ACTIVE and schedule.wanted_hash is not None
            )
            if is_active and next_at is not None and next_at < now - late_by:
                late = now - next_at
                found.append(OverdueSchedule(wanted.subscription_id, wanted.trigger, next_at, late))
        if before is not None:
            found = [overdue for overdue in found if _position(overdue) < _position(before)]
        return sorted(found, key=_position, reverse=True)[:limit]


def _position(overdue: OverdueSchedule) -> tuple[datetime, str]:
    return overdue.next_at, ids.schedule_id(overdue.subscription_id, overdue.trigger)
