"""The timetable in memory: decides each due time once, and finds overdue alarms."""

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime, timedelta

from activityctl.adapters.memory.schedules.due_schedules import Caller, process_due_schedule
from activityctl.adapters.memory.schedules.late_starts import mark_missed_if_late
from activityctl.adapters.memory.state import MemorySchedule, MemoryState
from activityctl.domain.timing.firing import FiringCause, FiringRef, Ringing
from activityctl.domain.timing.misfires import decide_until
from activityctl.domain.values import ids
from activityctl.ports import WAKE_AFTER, OverdueAlarm, RingResult, ServedSchedule


class MemoryTimetable:
    """Implements the Timetable port."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    async def served(self, alarm_id: str, limit: int) -> list[ServedSchedule]:
        """Return active schedules of the alarm, in order."""
        catalog = self._state.catalog
        found = []
        for _, schedule in self._of_alarm(alarm_id)[:limit]:
            owner = catalog.subscriptions[schedule.wanted.subscription_id]
            revision = catalog.definitions[owner.definition].revision_id
            names = (owner.name, owner.definition)
            found.append(ServedSchedule(owner.id, schedule.wanted.trigger, revision, *names))
        return found

    async def ring(
        self,
        ringing: Ringing,
        carries: Collection[ServedSchedule],
        workflow_id: str,
        until: datetime | None = None,
    ) -> RingResult:
        """Decide what is due of the schedules of the alarm."""
        owners = {(each.subscription_id, each.trigger) for each in carries}
        caller = Caller(ringing.due, owners, workflow_id)
        until = until or decide_until(self._state.clock(), ringing.due)
        decided = {
            key: decisions
            for key, schedule in self._of_alarm(ringing.alarm_id)
            if schedule.next_at is not None
            and schedule.next_at <= until
            and (decisions := process_due_schedule(self._state, key, caller)) is not None
        }
        is_complete = all(decisions.is_complete for decisions in decided.values())
        has_decided = any(decisions.times for decisions in decided.values())
        self._count(ringing, has_decided=has_decided, is_complete=is_complete)
        started = [
            each
            for each in carries
            if (key := ids.schedule_id(each.subscription_id, each.trigger)) in decided
            and decided[key].starts_now(ringing.due)
        ]
        firings = [each.firing(ringing, workflow_id) for each in started]
        carried = self._carried(ringing, workflow_id)
        firings += [firing for firing in carried if firing not in firings]
        return RingResult(is_complete, until, firings)

    def _carried(self, ringing: Ringing, workflow_id: str) -> list[FiringRef]:
        """Return the firings that were given to this workflow."""
        catalog, found = self._state.catalog, []
        for _, row in sorted(self._state.firings.items()):
            key = row.firing.firing_key
            if (row.workflow_id, key) == (workflow_id, ringing.key) and row.revision_id is not None:
                owner = catalog.subscriptions[row.firing.subscription_id]
                names = (row.revision_id, owner.name, owner.definition)
                served = ServedSchedule(owner.id, row.firing.trigger, *names)
                found.append(served.firing(ringing, workflow_id))
        return found

    def _of_alarm(self, alarm_id: str) -> list[tuple[str, MemorySchedule]]:
        return [
            (key, schedule)
            for key, schedule in sorted(self._state.catalog.schedules.items())
            if schedule.wants_alarm and schedule.wanted.alarm_id == alarm_id
        ]

    def _count(self, ringing: Ringing, *, has_decided: bool, is_complete: bool) -> None:
        alarm = self._state.alarms.get(ringing.alarm_id)
        if alarm is None:
            return
        if ringing.cause is not FiringCause.WAKE_UP:
            alarm = replace(alarm, wakes=0)
        elif is_complete and has_decided:
            alarm = replace(alarm, wakes=alarm.wakes + 1)
        self._state.alarms[ringing.alarm_id] = alarm

    async def claim(
        self, ringing: Ringing, carries: Collection[ServedSchedule], workflow_id: str
    ) -> list[FiringRef]:
        """Return the firings of the alarm's time that the workflow runs although others decided it.

        Of several workflows only one opens the run.
        """
        firings = [each.firing(ringing, workflow_id) for each in carries]
        return [firing for firing in firings if self._take(firing)]

    def _take(self, firing: FiringRef) -> bool:
        key = ids.firing_id(firing.subscription_id, firing.trigger, firing.firing_key)
        row, now = self._state.firings.get(key), self._state.clock()
        if row is None or row.fires_at is None:
            return False
        if row.fires_at > now and row.dispatched_at is None:
            return False
        if row.dispatched_at is None:
            row = replace(row, dispatched_at=now, workflow_id=firing.workflow_id)
        self._state.firings[key] = row
        return True

    async def process_due(self, firing: FiringRef) -> bool:
        """Decide every due time up to now; return whether the caller's firing starts now."""
        key = ids.schedule_id(firing.subscription_id, firing.trigger)
        carries = [(firing.subscription_id, firing.trigger)]
        caller = Caller(firing.due, carries, firing.workflow_id)
        fires, is_complete = False, not firing.is_undecided
        while not is_complete:
            decisions = process_due_schedule(self._state, key, caller)
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
        before: OverdueAlarm | None = None,
    ) -> list[OverdueAlarm]:
        """Return alarms that have not rung for a time that has passed, latest time first."""
        now = self._state.clock()
        latest: dict[str, datetime] = {}
        for schedule in self._state.catalog.schedules.values():
            next_at, key = schedule.next_at, schedule.wanted.alarm_id
            if schedule.is_active and next_at is not None and next_at < now - late_by:
                latest[key] = max(next_at, latest.get(key, next_at))
        found = [OverdueAlarm(key, next_at, now - next_at) for key, next_at in latest.items()]
        if before is not None:
            found = [overdue for overdue in found if _position(overdue) < _position(before)]
        return sorted(found, key=_position, reverse=True)[:limit]


def _position(overdue: OverdueAlarm) -> tuple[datetime, str]:
    return overdue.next_at, overdue.alarm_id
