"""Settling schedules in memory: the fates of nominal times become firings and runs.

Which fate a time has is decided in the domain.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from activityctl.adapters.memory.state import FiringRow, MemoryState, RunRow, spec_of
from activityctl.domain.manifests.param_defaults import fill_defaults
from activityctl.domain.manifests.subscription import Subscription, SubscriptionStatus
from activityctl.domain.runs.run import Run, RunStatus
from activityctl.domain.timing.firing import FiringRef, FiringRequest, firing_key
from activityctl.domain.timing.misfires import (
    DecidedTime,
    DueOutcome,
    DueTimeDecisions,
    ScheduleProgress,
    count_wake_ups,
    decide_due_times,
    decide_until,
    skipped_log_entries,
)
from activityctl.domain.timing.window import DaysByCalendar
from activityctl.domain.values import ids
from activityctl.ports import Work


def process_due_of_subscriptions(state: MemoryState, subscriptions: Sequence[str]) -> None:
    """Settle whatever is due of those subscriptions, before they pause, change or go."""
    for key, record in list(state.catalog.schedules.items()):
        if record.wanted.subscription_id in subscriptions:
            done = process_due_schedule(state, key, None)
            while done is not None and not done.is_complete:
                done = process_due_schedule(state, key, None)


def process_due_schedule(
    state: MemoryState, key: str, caller: FiringRef | None
) -> DueTimeDecisions | None:
    """Settle what has come due of one schedule; None when it is not active."""
    record = state.catalog.schedules.get(key)
    if record is None or record.wanted_hash is None:
        return None
    subscription = state.catalog.subscriptions[record.wanted.subscription_id]
    if subscription.status is not SubscriptionStatus.ACTIVE:
        return None
    trigger, now = record.wanted.value, decide_until(state.clock(), caller.due if caller else None)
    owner = (subscription.id, record.wanted.trigger)
    progress = ScheduleProgress(record.cursor, record.fired)
    settlement = decide_due_times(owner, trigger, progress, now, live_calendar_days(state))
    state.catalog.schedules[key] = replace(
        record,
        cursor=settlement.progress.cursor,
        fired=settlement.progress.fired,
        next_at=settlement.next_at,
        wakes=count_wake_ups(record.wakes, settlement, caller),
    )
    _write(state, subscription, record.wanted.trigger, settlement, caller)
    return settlement


def live_calendar_days(state: MemoryState) -> DaysByCalendar:
    """Return the days of the calendars that live."""
    rows = state.catalog.calendars.items()
    return {name: row.calendar.days for name, row in rows if row.deleted_at is None}


def _write(
    state: MemoryState,
    subscription: Subscription,
    trigger: str,
    settlement: DueTimeDecisions,
    caller: FiringRef | None,
) -> None:
    own = caller.due if caller is not None and settlement.starts_now(caller.due) else None
    now = settlement.settled_at
    for one in settlement.times:
        if one.fires_at is None:
            write_run(state, subscription, trigger, one, now)
            continue
        key = firing_key(one.nominal)
        firing = FiringRequest(subscription.id, trigger, key, one.nominal)
        started = now if one.nominal == own else None
        row = FiringRow(firing, now, started, one.fires_at)
        state.firings.setdefault(ids.firing_id(subscription.id, trigger, key), row)
    state.write_log_entries(
        skipped_log_entries((subscription.id, trigger), settlement.refused, now)
    )
    if any(one.fires_at is not None and one.nominal != own for one in settlement.times):
        state.wake_workers(Work.FIRING)


def write_run(
    state: MemoryState, subscription: Subscription, trigger: str, one: DecidedTime, now: datetime
) -> None:
    """Write a run for a firing that does not start."""
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
        status=RunStatus.MISSED if one.outcome is DueOutcome.MISSED else RunStatus.SKIPPED,
        created_at=now,
        params=fill_defaults(spec_of(revision).params, subscription.params),
        reason=one.reason,
        ended_at=now,
    )
    workflow_id = ids.workflow_id(subscription.id, trigger, key)
    state.runs.setdefault(run.id, RunRow(run, workflow_id))
