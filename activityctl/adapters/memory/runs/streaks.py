"""The failures in a row of a subscription, and the pause that they cause, in memory.

`domain/runs/auto_pause.py` decides whether a run counts and whether it pauses.
"""

from dataclasses import replace
from datetime import datetime

from activityctl.adapters.memory.runs.notices import count_trouble, write_notices, write_recovery
from activityctl.adapters.memory.schedules.due_schedules import process_due_of_subscriptions
from activityctl.adapters.memory.state import CatalogTables, MemoryState, spec_of, stored_text
from activityctl.domain.manifests.subscription import Subscription, SubscriptionStatus
from activityctl.domain.runs.auto_pause import streak_of_abandoned
from activityctl.domain.runs.notices import paused_notice
from activityctl.domain.runs.run import Run
from activityctl.domain.runs.run_change import RunChange
from activityctl.domain.values.ids import SubscriptionId
from activityctl.ports import Work


def with_subscription_facts(tables: CatalogTables, run: Run) -> Run:
    """Return the run with the current failure count and status of its subscription."""
    owner = tables.subscriptions[run.subscription_id]
    return replace(
        run,
        failures_before=owner.failures,
        owner_is_active=owner.status is SubscriptionStatus.ACTIVE,
        pauses=owner.paused_by_run == run.id,
    )


def write_streak(state: MemoryState, change: RunChange) -> None:
    """Write the streak of the change to its subscription, and pause it if the change says so."""
    streak, tables = change.streak, state.catalog
    if streak is None:
        return
    owner = tables.subscriptions[change.run.subscription_id]
    owner = replace(owner, failures=owner.failures + 1 if streak.has_failed else 0)
    if streak.pause_reason is not None and owner.status is SubscriptionStatus.ACTIVE:
        owner = replace(
            owner,
            status=SubscriptionStatus.PAUSED,
            pause_reason=stored_text(streak.pause_reason),
            paused_by_run=change.run.id,
            paused_at=streak.decided_at,
            updated_at=streak.decided_at,
        )
        reason = streak.pause_reason
        write_notices(state, paused_notice(change.run, reason, streak.decided_at))
        process_due_of_subscriptions(state, [owner.id])
        _pause_schedules(tables, owner.id)
        state.wake_workers(Work.SCHEDULES)
    tables.subscriptions[owner.id] = owner
    if streak.has_failed:
        count_trouble(state, owner.id, streak.decided_at)
    else:
        write_recovery(state, change.run, streak.decided_at)


def write_abandoned_streak(state: MemoryState, run: Run, reason: str, now: datetime) -> None:
    """Write the streak of a run that failed without its data; `run` is as it was before."""
    before = with_subscription_facts(state.catalog, run)
    pause = spec_of(state.catalog.revisions[run.revision_id]).pause_after
    limit = None if pause is None else pause.failures
    streak = streak_of_abandoned(before, limit, reason, now)
    write_streak(state, RunChange(before, streak=streak))


def _pause_schedules(tables: CatalogTables, owner: SubscriptionId) -> None:
    """Pause the subscription's schedules."""
    for key, schedule in tables.schedules.items():
        if schedule.wanted.subscription_id == owner:
            tables.schedules[key] = replace(schedule, is_active=False)


def with_operator_status(subscription: Subscription, reason: str | None) -> Subscription:
    """Return the subscription after an operator paused or resumed it; a resume ends the streak."""
    is_paused = subscription.status is SubscriptionStatus.PAUSED
    return replace(
        subscription,
        failures=subscription.failures if is_paused else 0,
        pause_reason=stored_text(reason),
        paused_by_run=None,
        paused_at=subscription.updated_at if is_paused else None,
    )


def keep_or_reset_streak(present: Subscription | None, after: Subscription) -> Subscription:
    """Return `after` with the streak and pause of `present`, unless the status has changed."""
    if present is not None and present.status is after.status:
        return replace(
            after,
            failures=present.failures,
            pause_reason=present.pause_reason,
            paused_by_run=present.paused_by_run,
            paused_at=present.paused_at,
        )
    is_paused = after.status is SubscriptionStatus.PAUSED
    return replace(after, paused_at=after.updated_at if is_paused else None)
