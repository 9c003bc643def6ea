"""Processes due schedules in memory: writes firings and runs for the due times.

The domain decides whether a due time fires, is skipped or is missed.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime

from activityctl.adapters.memory.runs.notices import write_notices
from activityctl.adapters.memory.state import FiringRow, MemoryState, RunRow, spec_of
from activityctl.domain.manifests.param_defaults import fill_defaults
from activityctl.domain.manifests.subscription import Subscription
from activityctl.domain.runs.notices import missed_notice
from activityctl.domain.runs.run import Run, RunStatus
from activityctl.domain.timing.firing import FiringRequest, firing_key
from activityctl.domain.timing.misfires import (
    DecidedTime,
    DueOutcome,
    DueTimeDecisions,
    ScheduleProgress,
    decide_due_times,
    decide_until,
    skipped_log_entries,
)
from activityctl.domain.timing.window import DaysByCalendar
from activityctl.domain.values import ids
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.ports import Work


@frozen_dataclass
class Caller:
    """The workflow that asks, at a nominal time."""

    due: datetime
    carries: Collection[tuple[str, str]]
    """The subscriptions and triggers whose firing of that time it runs itself, if it starts now."""
    workflow_id: str


def process_due_of_subscriptions(state: MemoryState, subscriptions: Sequence[str]) -> None:
    """Process all due times of these subscriptions, before they are paused, changed or deleted."""
    for key, schedule in list(state.catalog.schedules.items()):
        if schedule.wanted.subscription_id in subscriptions:
            decisions = process_due_schedule(state, key, None)
            while decisions is not None and not decisions.is_complete:
                decisions = process_due_schedule(state, key, None)


def process_due_schedule(
    state: MemoryState, key: str, caller: Caller | None
) -> DueTimeDecisions | None:
    """Process the due times of one schedule; return None when it is not active.

    Call again when the result is not complete.
    """
    schedule = state.catalog.schedules.get(key)
    if schedule is None or not schedule.is_active:
        return None
    subscription = state.catalog.subscriptions[schedule.wanted.subscription_id]
    trigger, now = (
        schedule.wanted.value,
        decide_until(state.clock(), caller.due if caller else None),
    )
    owner = (subscription.id, schedule.wanted.trigger)
    progress = ScheduleProgress(schedule.cursor, schedule.fired)
    decisions = decide_due_times(owner, trigger, progress, now, live_calendar_days(state))
    state.catalog.schedules[key] = replace(
        schedule,
        cursor=decisions.progress.cursor,
        fired=decisions.progress.fired,
        next_at=decisions.next_at,
    )
    _write_decisions(state, subscription, schedule.wanted.trigger, decisions, caller)
    return decisions


def live_calendar_days(state: MemoryState) -> DaysByCalendar:
    """Return the days of the live calendars."""
    rows = state.catalog.calendars.items()
    return {name: row.calendar.days for name, row in rows if row.deleted_at is None}


def _write_decisions(
    state: MemoryState,
    subscription: Subscription,
    trigger: str,
    decisions: DueTimeDecisions,
    caller: Caller | None,
) -> None:
    is_carried = caller is not None and (subscription.id, trigger) in caller.carries
    carried = caller.due if caller and is_carried and decisions.starts_now(caller.due) else None
    now = decisions.decided_at
    for time in decisions.times:
        if time.fires_at is None:
            write_unstarted_run(state, subscription, trigger, time, now)
            continue
        key = firing_key(time.nominal)
        firing = FiringRequest(subscription.id, trigger, key, time.nominal)
        row = FiringRow(firing, now, fires_at=time.fires_at)
        if caller and time.nominal == carried:
            row = replace(row, dispatched_at=now, workflow_id=caller.workflow_id)
        firing_id = ids.firing_id(subscription.id, trigger, key)
        state.firings.setdefault(firing_id, state.frozen(row))
    owner = (subscription.id, trigger)
    state.write_log_entries(skipped_log_entries(owner, decisions.refused, now))
    write_notices(state, missed_notice(owner, decisions.refused, now))
    if any(time.fires_at is not None and time.nominal != carried for time in decisions.times):
        state.wake_workers(Work.FIRING)


def write_unstarted_run(
    state: MemoryState, subscription: Subscription, trigger: str, time: DecidedTime, now: datetime
) -> None:
    """Write an ended run for a due time that is skipped or missed.

    A firing that was decided before keeps its revision and params.
    """
    key = firing_key(time.nominal)
    firing = state.firings.get(ids.firing_id(subscription.id, trigger, key))
    revision_id, params = state.frozen_of(subscription, firing)
    revision = state.catalog.revisions[revision_id]
    run = Run(
        id=ids.run_id(subscription.id, trigger, key),
        subscription_id=subscription.id,
        subscription=subscription.name,
        definition=revision.definition,
        revision_id=revision.id,
        trigger=trigger,
        firing_key=key,
        due_at=time.nominal,
        status=RunStatus.MISSED if time.outcome is DueOutcome.MISSED else RunStatus.SKIPPED,
        created_at=now,
        params=fill_defaults(spec_of(revision).params, params),
        reason=time.reason,
        ended_at=now,
    )
    state.runs.setdefault(run.id, RunRow(run, ids.NO_WORKFLOW))
