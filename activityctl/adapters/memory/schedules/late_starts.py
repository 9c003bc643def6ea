"""Marks firings in memory as missed when they were decided but did not start in time.

`due_schedules.py` decides the due times that are not decided yet.
"""

from dataclasses import replace
from datetime import datetime

from activityctl.adapters.memory.runs.notices import write_notices
from activityctl.adapters.memory.schedules.due_schedules import (
    live_calendar_days,
    write_unstarted_run,
)
from activityctl.adapters.memory.state import MemoryState
from activityctl.domain.runs.notices import missed_notice
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
    """Write the firing as missed if it is too late for it to start; return whether it is.

    A firing that has a run, begun or queued, is left alone.
    """
    owner = (firing.subscription_id, firing.trigger)
    schedule = state.catalog.schedules.get(ids.schedule_id(*owner))
    if schedule is None or firing.run_id in state.runs:
        return False
    trigger, calendars = schedule.wanted.value, live_calendar_days(state)
    progress = ScheduleProgress(schedule.cursor, schedule.fired)
    is_followed = _is_followed(state, firing) or has_later_start(
        trigger, progress, firing.due, now, calendars
    )
    times = (firing.due, fires_at)
    reason = late_start_reason(trigger, times, now, calendars, is_followed=is_followed)
    if reason is None:
        return False
    subscription = state.catalog.subscriptions[firing.subscription_id]
    missed = DecidedTime(firing.due, DueOutcome.MISSED, reason=reason)
    write_unstarted_run(state, subscription, firing.trigger, missed, now)
    state.write_log_entries(skipped_log_entries(owner, [missed], now))
    write_notices(state, missed_notice(owner, [missed], now))
    uncount_firing(state, *owner, firing.due)
    return True


def uncount_firing(state: MemoryState, subscription: str, trigger: str, nominal: datetime) -> None:
    """Take a missed firing out of the count for maxFirings.

    Firings from before the last change of the trigger are not in that count.
    """
    key = ids.schedule_id(subscription, trigger)
    schedule = state.catalog.schedules.get(key)
    if schedule is None or not schedule.fired:
        return
    if schedule.counts_after is not None and schedule.counts_after >= nominal:
        return
    progress = ScheduleProgress(schedule.cursor, schedule.fired - 1)
    next_at = next_nominal_time(schedule.wanted.value, progress)
    state.catalog.schedules[key] = replace(schedule, fired=progress.fired, next_at=next_at)


def _is_followed(state: MemoryState, firing: FiringRef) -> bool:
    """Return whether a later due time of the trigger has fired.

    An old firing may have been removed already; then its run shows it.
    """
    owner = (firing.subscription_id, firing.trigger)
    has_firing = any(
        (row.firing.subscription_id, row.firing.trigger) == owner
        and row.firing.due_at > firing.due
        and row.backfill_id is None
        for row in state.firings.values()
    )
    return has_firing or any(
        (row.run.subscription_id, row.run.trigger) == owner
        and row.run.due_at > firing.due
        and row.run.started_at is not None
        and row.run.firing_key == firing_key(row.run.due_at)
        for row in state.runs.values()
    )
