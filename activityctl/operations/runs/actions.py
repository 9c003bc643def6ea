"""Single acts on subscriptions and runs: trigger, pause, resume, cancel."""

import uuid
from collections.abc import Mapping
from datetime import datetime

from activityctl.domain.manifests.subscription import (
    OperatorStatus,
    Subscription,
    SubscriptionStatus,
)
from activityctl.domain.runs.run import Run
from activityctl.domain.timing.firing import FiringRequest
from activityctl.domain.values.ids import MANUAL_TRIGGER
from activityctl.domain.values.log import LogEntry
from activityctl.domain.values.model import JsonValue
from activityctl.domain.values.selection import Selection
from activityctl.errors import ConflictError, NotFoundError, RefusedError
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
    """Ask for a run; once this returns it cannot be lost, and a key makes a repeat harmless.

    NotFoundError when the definition has no such trigger, ConflictError for a deleted
    subscription.
    """
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
    return firing


async def _require_trigger(catalog: Catalog, subscription: Subscription, name: str) -> None:
    (found,) = await catalog.definitions(Selection(name=subscription.definition))
    names = [trigger["name"] for trigger in found[1].spec.get("triggers", [])]
    if name not in names:
        raise NotFoundError(
            "trigger", name, hint="its triggers: " + (", ".join(names) or "none") + "; or omit it"
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
    """Pause or resume; False when it was so already, ConflictError when it is deleted.

    To catch up is to treat what was due since the pause as the misfire policies say.
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
    """Say in the subscription's log who paused or resumed it, and why."""
    done = "paused" if status is SubscriptionStatus.PAUSED else "resumed"
    more = (": " + reason if reason else "") + (", catching up" if catch_up else "")
    message = f"subscription {done} by {actor}{more}"
    metadata = {"status": status.value, "actor": actor, "reason": reason}
    await logbook.append([LogEntry(subscription.id, None, message, "info", now, metadata)])


async def cancel(runs: RunStore, lists: RunLists, reference: str, now: datetime) -> Run:
    """Ask for a run to be cancelled; RefusedError when it has ended."""
    run = await lists.find_run(reference)
    if not await runs.request_cancel(run.id, now):
        raise RefusedError(
            f"run {run.id} has ended: {run.status}", hint=f"activityctl describe run {run.id}"
        )
    return run
