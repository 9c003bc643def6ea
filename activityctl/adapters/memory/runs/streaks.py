"""What a run's outcome does to its subscription in memory: its streak of failures, its pause."""

from dataclasses import replace

from activityctl.adapters.memory.schedules.due_schedules import process_due_of_subscriptions
from activityctl.adapters.memory.state import CatalogTables, MemoryState, kept_text
from activityctl.domain.manifests.subscription import Subscription, SubscriptionStatus
from activityctl.domain.runs.run import Run
from activityctl.domain.runs.run_change import RunChange
from activityctl.domain.values.ids import SubscriptionId
from activityctl.ports import Work


def with_owner(tables: CatalogTables, run: Run) -> Run:
    """Return the run with what its subscription's row says now."""
    owner = tables.subscriptions[run.subscription_id]
    return replace(
        run,
        failures_before=owner.failures,
        owner_is_active=owner.status is SubscriptionStatus.ACTIVE,
        pauses=owner.paused_by_run == run.id,
    )


def write_streak(state: MemoryState, change: RunChange) -> None:
    """Write what the change says of its subscription's streak."""
    streak, tables = change.streak, state.catalog
    if streak is None:
        return
    owner = tables.subscriptions[change.run.subscription_id]
    owner = replace(owner, failures=owner.failures + 1 if streak.has_failed else 0)
    if streak.pause_reason is not None and owner.status is SubscriptionStatus.ACTIVE:
        owner = replace(
            owner,
            status=SubscriptionStatus.PAUSED,
            pause_reason=kept_text(streak.pause_reason),
            paused_by_run=change.run.id,
            paused_at=streak.decided_at,
            updated_at=streak.decided_at,
        )
        process_due_of_subscriptions(state, [owner.id])
        pause_schedules(tables, owner.id)
        state.wake_workers(Work.SCHEDULES)
    tables.subscriptions[owner.id] = owner


def pause_schedules(tables: CatalogTables, owner: SubscriptionId) -> None:
    """Want the subscription's schedules paused."""
    for key, record in tables.schedules.items():
        if record.wanted.subscription_id == owner and record.wanted_hash:
            tables.schedules[key] = record.changed(
                record.wanted.wanted_hash(SubscriptionStatus.PAUSED)
            )


def with_reason(owner: Subscription, reason: str | None) -> Subscription:
    """Return what a person's pause or resumption, just set, makes of the streak and the reason."""
    is_paused = owner.status is SubscriptionStatus.PAUSED
    return replace(
        owner,
        failures=owner.failures if is_paused else 0,
        pause_reason=kept_text(reason),
        paused_by_run=None,
        paused_at=owner.updated_at if is_paused else None,
    )


def with_streak(present: Subscription | None, after: Subscription) -> Subscription:
    """Return what a manifest makes of it; a change of status ends the streak and the reason."""
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
