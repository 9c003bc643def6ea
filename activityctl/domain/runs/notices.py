"""Notices: what is told of a subscription that fails, misses firings, pauses or works again.

A notice is written with what it tells of, in one transaction. Those of one subscription that come
close together are told once: as a firing for the tasks that its definition has for them, and as an
event for everybody else.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from activityctl.domain.events.envelope import EventEnvelope, envelope_of
from activityctl.domain.manifests.definition import NOTICE_TRIGGERS, ON_MISSED, ON_RECOVERED
from activityctl.domain.runs.run import Run, RunStatus
from activityctl.domain.tasks.breaker import Breaker
from activityctl.domain.timing.firing import FiringRequest, firing_key
from activityctl.domain.timing.misfires import DecidedTime, DueOutcome
from activityctl.domain.values import ids
from activityctl.domain.values.json_form import View, format_timestamp
from activityctl.domain.values.model import JsonValue
from activityctl.frozen_dataclass import frozen_dataclass

QUIET: Final = timedelta(seconds=5)
"""A notice waits until no other of its kind has come for so long, and is told with those."""
LONGEST_WAIT: Final = timedelta(minutes=1)
"""It is told after this time in any case."""
MOST_LISTED: Final = 100
"""How many misses or failures a notice lists; it counts all of them."""
_LONGEST_REASON: Final = 500
"""Characters of the reason of a failed run; the run keeps it all."""
OWN_EVENTS: Final = "activityctl."
"""The start of the types of the events that say something of activityctl itself."""


class NoticeKind(StrEnum):
    """What a notice tells."""

    MISSED = "missed"
    RECOVERED = "recovered"
    FAILED = "failed"
    PAUSED = "paused"
    OPENED = "opened"
    """A circuit breaker opened at an attempt of a run of the subscription."""


_TYPES: Final = {
    NoticeKind.MISSED: "activityctl.run.missed",
    NoticeKind.RECOVERED: "activityctl.run.recovered",
    NoticeKind.FAILED: "activityctl.run.failed",
    NoticeKind.PAUSED: "activityctl.subscription.paused",
    NoticeKind.OPENED: "activityctl.breaker.opened",
}
"""The types of the events that tell the notices."""
_TRIGGERS: Final = {NoticeKind.MISSED: ON_MISSED, NoticeKind.RECOVERED: ON_RECOVERED}
"""The trigger of the run that tells it, if the definition has tasks for it."""


@frozen_dataclass
class Notice:
    """One thing to tell of a subscription, as it is written."""

    subscription_id: ids.SubscriptionId
    kind: NoticeKind
    at: datetime
    items: tuple[View, ...]
    """What it lists; not more than MOST_LISTED."""
    count: int
    """How many there are."""


@frozen_dataclass
class GatheredNotice:
    """Notices of one kind and one subscription that are told together."""

    first_id: int
    """The id of the first of them, which no other gathering has."""
    subscription_id: ids.SubscriptionId
    subscription: str
    definition: str
    labels: Mapping[str, str]
    """The labels of the definition and, before them, those of the subscription."""
    kind: NoticeKind
    at: datetime
    """When the first of them was written."""
    items: Sequence[View]
    count: int
    has_tasks: bool
    """Whether the definition has tasks for it."""
    batch: str

    @property
    def key(self) -> str:
        """What no other notice of the subscription has, also not after a restore of a backup."""
        return f"{self.kind}/{format_timestamp(self.at)}/{self.first_id}"


def is_notice(trigger: str) -> bool:
    """Return whether runs of that trigger tell a notice; nothing is told of such a run."""
    return trigger in NOTICE_TRIGGERS


def follows_own_event(run: Run) -> bool:
    """Return whether an event of activityctl itself started the run."""
    return any(str(event.get("type", "")).startswith(OWN_EVENTS) for event in run.events)


def missed_notice(
    owner: tuple[str, str], refused: Sequence[DecidedTime], now: datetime
) -> Notice | None:
    """Return the notice of the due times of a trigger that were missed; None without any."""
    subscription, _ = owner
    missed = [time for time in refused if time.outcome is DueOutcome.MISSED]
    if not missed:
        return None
    items = tuple(_missed_item(owner, time.nominal, time.reason) for time in missed[:MOST_LISTED])
    owner_id = ids.SubscriptionId(subscription)
    return Notice(owner_id, NoticeKind.MISSED, now, items, len(missed))


def missed_run_notice(run: Run) -> Notice | None:
    """Return the notice of a run that has ended as missed; None for any other run."""
    if run.status is not RunStatus.MISSED or run.ended_at is None:
        return None
    item = _missed_item((run.subscription_id, run.trigger), run.due_at, run.reason)
    return Notice(run.subscription_id, NoticeKind.MISSED, run.ended_at, (item,), 1)


def _missed_item(owner: tuple[str, str], due: datetime, reason: str | None) -> View:
    key = firing_key(due)
    return {"run": ids.run_id(*owner, key), "trigger": owner[1], "dueAt": key, "reason": reason}


def failed_notice(run: Run, status: RunStatus, reason: str | None, now: datetime) -> Notice | None:
    """Return the notice of a run that fails; None for one that an event of ours has started.

    So what tells of failures cannot start itself again and again when it fails.
    """
    if is_notice(run.trigger) or follows_own_event(run):
        return None
    text = reason or status.value
    item: View = {
        "run": run.id,
        "trigger": run.trigger,
        "status": status.value,
        "reason": text if len(text) <= _LONGEST_REASON else text[:_LONGEST_REASON] + "…",
    }
    return Notice(run.subscription_id, NoticeKind.FAILED, now, (item,), 1)


def paused_notice(run: Run, reason: str, now: datetime) -> Notice:
    """Return the notice of a subscription that its run has paused."""
    item: View = {"run": run.id, "reason": reason}
    return Notice(run.subscription_id, NoticeKind.PAUSED, now, (item,), 1)


def opened_notice(owner: str, run_id: str, breaker: Breaker) -> Notice:
    """Return the notice of a breaker that opened at an attempt of a run."""
    item: View = {
        "breaker": breaker.name,
        "run": run_id,
        "reason": breaker.reason,
        "openUntil": format_timestamp(breaker.open_until),
    }
    return Notice(ids.SubscriptionId(owner), NoticeKind.OPENED, breaker.changed_at, (item,), 1)


def recovered_notice(
    run: Run, now: datetime, *, failed: int, missed: int, since: datetime
) -> Notice:
    """Return the notice of a run that has succeeded after so many others did not."""
    item: View = {
        "run": run.id,
        "trigger": run.trigger,
        "failed": failed,
        "missed": missed,
        "since": format_timestamp(since),
    }
    return Notice(run.subscription_id, NoticeKind.RECOVERED, now, (item,), 1)


def payload_of(notice: GatheredNotice) -> dict[str, JsonValue]:
    """Return what the tasks see as `trigger.payload`, and the event as part of its data."""
    match notice.kind:
        case NoticeKind.MISSED:
            items = sorted(
                notice.items, key=lambda item: (str(item["dueAt"]), str(item["trigger"]))
            )
            return {"count": notice.count, "missed": [*items[:MOST_LISTED]]}
        case NoticeKind.FAILED:
            return {"count": notice.count, "runs": [*notice.items[:MOST_LISTED]]}
        case NoticeKind.OPENED:
            return {"count": notice.count, "breakers": [*notice.items[:MOST_LISTED]]}
        case NoticeKind.RECOVERED | NoticeKind.PAUSED:
            return {**notice.items[-1]}


def notice_firing(notice: GatheredNotice) -> FiringRequest | None:
    """Return the firing whose run tells the notice; None if the definition has no tasks for it."""
    trigger = _TRIGGERS.get(notice.kind)
    if trigger is None or not notice.has_tasks:
        return None
    return FiringRequest(
        notice.subscription_id,
        trigger,
        notice.key,
        notice.at,
        payload_of(notice),
    )


def notice_event(notice: GatheredNotice) -> EventEnvelope:
    """Return the event that tells the notice; the same notice always gives the same event."""
    return envelope_of(
        {
            "specversion": "1.0",
            "id": notice.key,
            "source": f"/activityctl/{notice.subscription}",
            "type": _TYPES[notice.kind],
            "subject": notice.subscription,
            "time": format_timestamp(notice.at),
            "data": {
                "subscription": notice.subscription,
                "definition": notice.definition,
                "labels": dict(notice.labels),
                **payload_of(notice),
            },
        }
    )
