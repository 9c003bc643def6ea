"""Trigger, pause and resume a subscription; cancel a run."""

import uuid
from collections.abc import Mapping
from datetime import datetime

from activityctl.domain.manifests.subscription import (
    OperatorStatus,
    Subscription,
    SubscriptionStatus,
)
from activityctl.domain.runs.accepted import cancelled_firing
from activityctl.domain.runs.run import Run
from activityctl.domain.timing.firing import FiringRequest
from activityctl.domain.values.ids import MANUAL_TRIGGER, MAX_KEY_BYTES, NO_WORKFLOW
from activityctl.domain.values.log import LogEntry
from activityctl.domain.values.model import JsonValue
from activityctl.domain.values.selection import Selection
from activityctl.domain.values.untrusted import storable
from activityctl.errors import ConflictError, NotFoundError, RefusedError, UsageError
from activityctl.ports import Catalog, Logbook, Outbox, RunLists, RunStore


async def trigger(
    catalog: Catalog,
    outbox: Outbox,
    subscription: Subscription,
    now: datetime,
    *,
    trigger_name: str | None = None,
    key: str | None = None,
    payload: Mapping[str, JsonValue] | None = None,
) -> FiringRequest:
    """Store a request for a run; once this returns, the request cannot be lost.

    With a key, a repeat adds no second run. UsageError for a key that cannot be stored,
    NotFoundError when the definition has no such trigger, ConflictError for a deleted subscription,
    and for a key that has come with another payload before.
    """
    if key is not None:
        _require_usable(key)
    if subscription.status is SubscriptionStatus.DELETED:
        raise ConflictError(f'subscription "{subscription.name}" was deleted')
    if trigger_name is not None:
        await _require_trigger(catalog, subscription, trigger_name)
    firing = FiringRequest(
        subscription.id,
        trigger_name or MANUAL_TRIGGER,
        f"manual/{key or uuid.uuid4()}",
        now,
        payload or {},
    )
    await outbox.add([firing], now)
    if key is not None and await outbox.has_other_payload(firing):
        raise ConflictError(
            f'run {firing.ref.run_id} of subscription "{subscription.name}" has this key and '
            "another payload; no other run was started",
            hint="give another key, or the payload of that run",
        )
    return firing


def _require_usable(key: str) -> None:
    if not key:
        raise UsageError("--key is empty", hint="give a key, or leave out the option")
    if key != storable(key):
        raise UsageError("--key has a character that cannot be stored: NUL or half of a pair")
    if (size := len(key.encode())) > MAX_KEY_BYTES:
        raise UsageError(
            f"--key has {size} bytes; it may have {MAX_KEY_BYTES}",
            hint="give a shorter key, for example a hash of this one",
        )


async def _require_trigger(catalog: Catalog, subscription: Subscription, name: str) -> None:
    (found,) = await catalog.definitions(Selection(name=subscription.definition))
    names = [trigger["name"] for trigger in found[1].spec.get("triggers", [])]
    if name not in names:
        raise NotFoundError(
            "trigger", name, hint=f"triggers: {', '.join(names) or 'none'}; or omit --trigger"
        )


async def change_status(
    catalog: Catalog,
    subscription: Subscription,
    status: OperatorStatus,
    now: datetime,
    *,
    reason: str | None = None,
    catch_up: bool = False,
) -> bool:
    """Pause or resume; return False when the subscription already has that status.

    With `catch_up`, a resume applies the misfire policies to the times that were due during the
    pause. ConflictError for a deleted subscription.
    """
    if subscription.status is SubscriptionStatus.DELETED:
        raise ConflictError(
            f'subscription "{subscription.name}" was deleted', hint="apply its manifest again"
        )
    return await catalog.set_subscription_status(
        subscription.id, status, now, reason=reason, catch_up=catch_up
    )


async def log_status_change(
    logbook: Logbook,
    subscription: Subscription,
    status: OperatorStatus,
    now: datetime,
    *,
    actor: str,
    reason: str | None = None,
    catch_up: bool = False,
) -> None:
    """Write to the subscription's log who paused or resumed it, and why."""
    done = "paused" if status is SubscriptionStatus.PAUSED else "resumed"
    more = (": " + reason if reason else "") + (", catching up" if catch_up else "")
    message = f"subscription {done} by {actor}{more}"
    metadata = {"status": status.value, "actor": actor, "reason": reason}
    await logbook.append([LogEntry(subscription.id, None, message, "info", now, metadata)])


async def cancel(runs: RunStore, lists: RunLists, reference: str, now: datetime) -> Run:
    """Request the cancellation of a run; RefusedError when it has already ended.

    A firing that is no run yet becomes one that is cancelled at once, whether a worker runs or not.
    """
    run = await lists.find_run(reference)
    if await runs.request_cancel(run.id, now):
        return run
    if not run.has_ended and (cancelled := await _cancel_accepted(runs, run, now)) is not None:
        return cancelled
    if not await runs.request_cancel(run.id, now):  # it may have become a run just now
        run = await lists.find_run(run.id)
        raise RefusedError(
            f"run {run.id} has already ended: {run.status}",
            hint=f"activityctl describe run {run.id}",
        )
    return run


async def _cancel_accepted(runs: RunStore, run: Run, now: datetime) -> Run | None:
    """Cancel a firing that has no run; None if it has one."""
    if len(run.firing_key.encode()) > MAX_KEY_BYTES:
        raise RefusedError(
            f"run {run.id} can never start: its firing key is too long",
            hint="nothing to cancel: it ends as failed when a worker runs",
        )
    firing = FiringRequest(run.subscription_id, run.trigger, run.firing_key, run.due_at).ref
    change = cancelled_firing(firing, await runs.admission_input(firing), now)
    if change is None or not await runs.cancel_accepted(NO_WORKFLOW, change):
        return None
    return change.run
