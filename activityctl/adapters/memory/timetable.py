"""The ledger of nominal times in memory: settled once each, and what is overdue."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from activityctl.adapters.memory.state import FiringRow, MemoryState, RunRow, spec_of
from activityctl.domain import ids
from activityctl.domain.firing_ref import FiringRef, ManualFiring, firing_key
from activityctl.domain.params import fill_defaults
from activityctl.domain.run import Run, RunStatus
from activityctl.domain.settlement import (
    Fate,
    Fated,
    Progress,
    Settlement,
    entries_of,
    follows,
    settle,
    settling_at,
    why_too_late,
)
from activityctl.domain.subscription import Subscription, SubscriptionStatus
from activityctl.domain.window import DaysByCalendar
from activityctl.ports import WAKE_AFTER, WORK_CHANNEL, OverdueSchedule


@dataclass(frozen=True, slots=True)
class Settled:
    """A schedule that was settled."""

    settlement: Settlement
    now: datetime

    def fires(self, firing: FiringRef) -> bool:
        """Whether the firing is among those that start now."""
        return self.settlement.starts(firing.due, self.now)


class MemoryTimetable:
    """The Timetable port."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    async def settle(self, firing: FiringRef) -> bool:
        """Give every nominal time that has come its fate; whether the caller's starts now."""
        key = ids.schedule_id(firing.subscription_id, firing.trigger)
        fires, is_complete = False, not firing.is_alarm
        while not is_complete:
            done = settle_schedule(self._state, key, firing)
            is_complete = done is None or done.settlement.is_complete
            fires = fires or (done is not None and done.fires(firing))
        return fires or self._claim(firing)

    def _claim(self, firing: FiringRef) -> bool:
        key = ids.firing_id(firing.subscription_id, firing.trigger, firing.firing_key)
        row, now = self._state.firings.get(key), self._state.clock()
        if row is None or row.fires_at is None:
            return not firing.is_alarm
        if row.fires_at > now and row.dispatched_at is None:
            return False
        self._state.firings[key] = replace(row, dispatched_at=row.dispatched_at or now)
        return not self._miss_cut_off(firing, row.fires_at, now)

    def _miss_cut_off(self, firing: FiringRef, fires_at: datetime, now: datetime) -> bool:
        """Write the firing as missed if it is too late for it to begin; whether it is."""
        owner = (firing.subscription_id, firing.trigger)
        record = self._state.catalog.schedules.get(ids.schedule_id(*owner))
        if record is None or firing.run_id in self._state.runs:
            return False
        trigger, calendars = record.wanted.value, _calendars(self._state)
        progress = Progress(record.cursor, record.fired)
        is_followed = follows(trigger, progress, firing.due, now, calendars) or any(
            (row.firing.subscription_id, row.firing.trigger) == owner
            and row.firing.due_at > firing.due
            and row.backfill_id is None
            for row in self._state.firings.values()
        )
        times = (firing.due, fires_at)
        reason = why_too_late(trigger, times, now, calendars, is_followed=is_followed)
        if reason is None:
            return False
        subscription = self._state.catalog.subscriptions[firing.subscription_id]
        fated = Fated(firing.due, Fate.MISSED, reason=reason)
        _write_run(self._state, subscription, firing.trigger, fated, now)
        self._state.write_entries(entries_of(owner, [fated], now))
        return True

    async def overdue(
        self, limit: int, *, late_by: timedelta = WAKE_AFTER
    ) -> list[OverdueSchedule]:
        """Return schedules that nothing woke within that long of their next nominal time."""
        found = []
        for record in self._state.catalog.schedules.values():
            wanted = record.wanted
            owner = self._state.catalog.subscriptions[wanted.subscription_id]
            is_active = owner.status is SubscriptionStatus.ACTIVE and record.wanted_hash is not None
            latest = self._state.clock() - late_by
            if is_active and record.next_at is not None and record.next_at < latest:
                found.append(
                    OverdueSchedule(wanted.subscription_id, wanted.trigger, record.next_at)
                )
        return sorted(found, key=lambda one: one.next_at)[:limit]


def settle_subscriptions(state: MemoryState, subscriptions: Sequence[str]) -> None:
    """Settle whatever is due of those subscriptions, before they pause, change or go."""
    for key, record in list(state.catalog.schedules.items()):
        if record.wanted.subscription_id in subscriptions:
            done = settle_schedule(state, key, None)
            while done is not None and not done.settlement.is_complete:
                done = settle_schedule(state, key, None)


def settle_schedule(state: MemoryState, key: str, caller: FiringRef | None) -> Settled | None:
    """Settle what has come due of one schedule; None when it is not active."""
    record = state.catalog.schedules.get(key)
    if record is None or record.wanted_hash is None:
        return None
    subscription = state.catalog.subscriptions[record.wanted.subscription_id]
    if subscription.status is not SubscriptionStatus.ACTIVE:
        return None
    trigger, now = record.wanted.value, settling_at(state.clock(), caller.due if caller else None)
    owner = (subscription.id, record.wanted.trigger)
    progress = Progress(record.cursor, record.fired)
    settlement = settle(owner, trigger, progress, now, _calendars(state))
    settled = Settled(settlement, now)
    wakes = record.wakes
    if caller is not None:
        is_count = settlement.is_complete and bool(settlement.fated)
        wakes = wakes + is_count if caller.is_wake_up else 0
    state.catalog.schedules[key] = replace(
        record,
        cursor=settlement.progress.cursor,
        fired=settlement.progress.fired,
        next_at=settlement.next_at,
        wakes=wakes,
    )
    _write(state, subscription, record.wanted.trigger, settled, caller)
    return settled


def _calendars(state: MemoryState) -> DaysByCalendar:
    rows = state.catalog.calendars.items()
    return {name: row.calendar.days for name, row in rows if row.deleted_at is None}


def _write(
    state: MemoryState,
    subscription: Subscription,
    trigger: str,
    settled: Settled,
    caller: FiringRef | None,
) -> None:
    own = caller.due if caller is not None and settled.fires(caller) else None
    refused = []
    for one in settled.settlement.fated:
        if one.fires_at is None:
            refused.append(one)
            _write_run(state, subscription, trigger, one, settled.now)
            continue
        key = firing_key(one.nominal)
        firing = ManualFiring(subscription.id, trigger, key, one.nominal)
        started = settled.now if one.nominal == own else None
        row = FiringRow(firing, settled.now, started, one.fires_at)
        state.firings.setdefault(ids.firing_id(subscription.id, trigger, key), row)
    state.write_entries(entries_of((subscription.id, trigger), refused, settled.now))
    if any(one.fires_at is not None and one.nominal != own for one in settled.settlement.fated):
        state.notify(WORK_CHANNEL, "firing")


def _write_run(
    state: MemoryState, subscription: Subscription, trigger: str, one: Fated, now: datetime
) -> None:
    tables, key = state.catalog, firing_key(one.nominal)
    revision = tables.revisions[tables.definitions[subscription.definition].revision_id]
    run = Run(
        id=ids.run_id(subscription.id, trigger, key),
        subscription_id=subscription.id,
        subscription=subscription.name,
        definition=subscription.definition,
        revision_id=revision.id,
        trigger=trigger,
        firing_key=key,
        due_at=one.nominal,
        status=RunStatus.MISSED if one.fate is Fate.MISSED else RunStatus.SKIPPED,
        created_at=now,
        params=fill_defaults(spec_of(revision).params, subscription.params),
        reason=one.reason,
        ended_at=now,
    )
    workflow_id = ids.workflow_id(subscription.id, trigger, key)
    state.runs.setdefault(run.id, RunRow(run, workflow_id))
