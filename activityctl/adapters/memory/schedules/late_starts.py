"""Firings in memory that were let go and never began: missed, and counted no more.

What becomes of nominal times that have no fate yet is in `settlements`.
"""

from dataclasses import replace
from datetime import datetime

from activityctl.adapters.memory.schedules.due_schedules import live_calendar_days, write_run
from activityctl.adapters.memory.state import MemoryState
from activityctl.domain.timing.firing import FiringRef, firing_key
from activityctl.domain.timing.misfires import (
    DecidedTime,
    DueOutcome,
    ScheduleProgress,
    has_later_start,
    late_start_reason,
    next_nominal_time,
    skipped_log_entries,
)
from activityctl.domain.values import ids


def mark_missed_if_late(
    state: MemoryState, firing: FiringRef, fires_at: datetime, now: datetime
) -> bool:
    """Write the firing as missed if it is too late for it to begin; whether it is."""
    owner = (firing.subscription_id, firing.trigger)
    record = state.catalog.schedules.get(ids.schedule_id(*owner))
    if record is None or firing.run_id in state.runs:
        return False
    trigger, calendars = record.wanted.value, live_calendar_days(state)
    progress = ScheduleProgress(record.cursor, record.fired)
    is_followed = _is_followed(state, firing) or has_later_start(
        trigger, progress, firing.due, now, calendars
    )
    times = (firing.due, fires_at)
    reason = late_start_reason(trigger, times, now, calendars, is_followed=is_followed)
    if reason is None:
        return False
    subscription = state.catalog.subscriptions[firing.subscription_id]
    fated = DecidedTime(firing.due, DueOutcome.MISSED, reason=reason)
    write_run(state, subscription, firing.trigger, fated, now)
    state.write_log_entries(skipped_log_entries(owner, [fated], now))
    uncount_firing(state, *owner, firing.due)
    return True


def uncount_firing(state: MemoryState, subscription: str, trigger: str, nominal: datetime) -> None:
    """Count a firing that was let go and is missed after all no more towards maxFirings."""
    key = ids.schedule_id(subscription, trigger)
    record = state.catalog.schedules.get(key)
    if record is None or not record.fired:
        return
    if record.counts_after is not None and record.counts_after >= nominal:
        return
    progress = ScheduleProgress(record.cursor, record.fired - 1)
    following = next_nominal_time(record.wanted.value, progress)
    state.catalog.schedules[key] = replace(record, fired=progress.fired, next_at=following)


def _is_followed(state: MemoryState, firing: FiringRef) -> bool:
    """Return whether a later time of the trigger was let go; long ago, its run alone tells."""
    owner = (firing.subscription_id, firing.trigger)
    waits = any(
        (row.firing.subscription_id, row.firing.trigger) == owner
        and row.firing.due_at > firing.due
        and row.backfill_id is None
        for row in state.firings.values()
    )
    return waits or any(
        (row.run.subscription_id, row.run.trigger) == owner
        and row.run.due_at > firing.due
        and row.run.started_at is not None
        and row.run.firing_key == firing_key(row.run.due_at)
        for row in state.runs.values()
    )
