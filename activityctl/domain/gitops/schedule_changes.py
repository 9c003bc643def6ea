"""Shows the effects of a plan: changed schedules, their next firings, and open runs."""

from collections.abc import Mapping
from dataclasses import field, replace
from datetime import datetime
from functools import lru_cache
from itertools import islice
from typing import Final, Literal

from activityctl.domain.gitops.plan import (
    Action,
    Plan,
    Present,
    WantedSchedule,
    wanted_schedules,
)
from activityctl.domain.manifests.document import field_view
from activityctl.domain.manifests.subscription import Subscription, SubscriptionStatus
from activityctl.domain.timing.due_times import nominal_times
from activityctl.domain.timing.trigger import parsed_trigger
from activityctl.domain.values import ids
from activityctl.domain.values.json_form import API_VERSION, View, format_timestamp
from activityctl.frozen_dataclass import frozen_dataclass

SHOWN_FIRINGS: Final = 3
_KEPT: Final = 1024


@frozen_dataclass
class ScheduleChange:
    """A schedule that the plan creates, changes or deletes."""

    subscription: str
    trigger: str
    action: Literal["created", "configured", "deleted", "unchanged"]
    before: tuple[datetime, ...]
    """The next firings without the plan; empty while the schedule is paused."""
    after: tuple[datetime, ...]
    """The next firings with the plan; empty if the schedule is paused then."""
    paused_before: bool = False
    paused_after: bool = False
    definition: str = field(default="", compare=False)
    """The definition of the subscription, with the plan; before the plan if it is deleted."""
    alarm_before: str | None = field(default=None, compare=False)
    """The id of the alarm that wakes it without the plan; None if none does."""
    alarm_after: str | None = field(default=None, compare=False)


def schedule_changes(plan: Plan, present: Present, now: datetime) -> tuple[ScheduleChange, ...]:
    """Return the schedules whose firings change, each with the next ones before and after."""
    names = {subscription.id: subscription.name for subscription in present.subscriptions.values()}
    names |= {key: name for name, key in plan.subscription_ids.items()}
    deleted = set(plan.deleted("Subscription"))
    wanted = dict(plan.schedules)
    wanted |= {present.subscriptions[name].id: () for name in deleted}
    changes = []
    for owner, schedules in wanted.items():
        current = _current_schedules(present.live(names[owner]), present)
        old = {schedule.trigger: schedule for schedule in current}
        new = {schedule.trigger: schedule for schedule in schedules}
        pauses = _pauses(names[owner], plan, present)
        for trigger in sorted(old.keys() | new.keys()):
            if pauses[0] == pauses[1] and _are_equal(old.get(trigger), new.get(trigger)):
                continue
            unpaused = _change(names[owner], trigger, old.get(trigger), new.get(trigger), now)
            if (change := _with_pauses(unpaused, *pauses)) is not None:
                definition = _definition_of(names[owner], plan, present)
                changes.append(replace(change, definition=definition))
    return tuple(sorted(changes, key=lambda change: (change.subscription, change.trigger)))


def _definition_of(subscription: str, plan: Plan, present: Present) -> str:
    manifest = plan.subscriptions.get(subscription)
    if manifest is not None:
        return manifest.spec.activity
    return present.subscriptions[subscription].definition


def _current_schedules(
    current: Subscription | None, present: Present
) -> tuple[WantedSchedule, ...]:
    if current is None or current.status is SubscriptionStatus.DELETED:
        return ()
    spec = present.definitions[current.definition].spec
    return wanted_schedules(current.id, spec, current.triggers)


def _pauses(subscription: str, plan: Plan, present: Present) -> tuple[bool, bool]:
    """Return whether the subscription is paused before and after the plan."""
    current = present.live(subscription)
    manifest = plan.subscriptions.get(subscription)
    before = current is not None and current.status is SubscriptionStatus.PAUSED
    wanted = manifest.spec.paused if manifest is not None else None
    return before, before if wanted is None else wanted


def _are_equal(old: WantedSchedule | None, new: WantedSchedule | None) -> bool:
    """Return whether both are written alike; nearly all are, and thousands are compared."""
    if old is None or new is None:
        return False
    return (old.kind, old.body) == (new.kind, new.body)


def _with_pauses(change: ScheduleChange, before: bool, after: bool) -> ScheduleChange | None:  # noqa: FBT001
    """Return the change without firings during a pause; None when nothing changes."""
    if change.action == "unchanged" and before == after:
        return None
    return replace(
        change,
        action="configured" if change.action == "unchanged" else change.action,
        before=() if before else change.before,
        after=() if after else change.after,
        alarm_before=None if before else change.alarm_before,
        alarm_after=None if after else change.alarm_after,
        paused_before=before and change.action != "created",
        paused_after=after and change.action != "deleted",
    )


def _change(
    subscription: str,
    trigger: str,
    old: WantedSchedule | None,
    new: WantedSchedule | None,
    now: datetime,
) -> ScheduleChange:
    """Return what happens to the schedule, without regard to pauses."""
    before, after = _next(old, now), _next(new, now)
    action: Literal["created", "configured", "deleted", "unchanged"]
    if old is None:
        action = "created"
    elif new is None:
        action = "deleted"
    else:
        is_same = _timing(old) == _timing(new) and before == after
        action = "unchanged" if is_same else "configured"
    return ScheduleChange(
        subscription,
        trigger,
        action,
        before,
        after,
        alarm_before=old.alarm_id if old is not None and before else None,
        alarm_after=new.alarm_id if new is not None and after else None,
    )


def _timing(schedule: WantedSchedule) -> tuple[str, datetime | None, datetime | None]:
    trigger = schedule.value
    return schedule.alarm_id, trigger.start_at, trigger.end_at


def _next(schedule: WantedSchedule | None, now: datetime) -> tuple[datetime, ...]:
    if schedule is None:
        return ()
    return _next_times(schedule.kind, ids.canonical_json(schedule.body), now)


@lru_cache(maxsize=_KEPT)  # thousands of subscriptions share a definition's triggers
def _next_times(kind: str, body: str, now: datetime) -> tuple[datetime, ...]:
    times = nominal_times(parsed_trigger(kind, body), now)
    return tuple(islice(times, SHOWN_FIRINGS))


def plan_view(
    plan: Plan,
    schedules: tuple[ScheduleChange, ...],
    open_runs: Mapping[str, int],
    waiting: View | None = None,
) -> View:
    """Return the plan as JSON; all output formats are made from it.

    `open_runs` counts the running and queued runs of changed subscriptions, by name. They continue
    with the revision and params that they froze, but queued runs of what is deleted are cancelled.
    How many are queued is not told: the role `plan` may not read it. `waiting` is the
    `waiting_view`.
    """
    deleted = set(plan.deleted("Subscription"))
    return {
        "apiVersion": API_VERSION,
        "kind": "Plan",
        "applyset": plan.applyset,
        "changes": [
            {
                "kind": change.kind,
                "name": change.name,
                "action": change.action.value,
                "fields": [field_view(field) for field in change.fields],
                **({"renamedFrom": change.renamed_from} if change.renamed_from else {}),
            }
            for change in plan.changes
        ],
        "schedules": [
            {
                "subscription": change.subscription,
                "definition": change.definition,
                "trigger": change.trigger,
                "action": change.action,
                "nextBefore": [format_timestamp(moment) for moment in change.before],
                "nextAfter": [format_timestamp(moment) for moment in change.after],
                "alarmBefore": change.alarm_before,
                "alarmAfter": change.alarm_after,
                "pausedBefore": change.paused_before,
                "pausedAfter": change.paused_after,
            }
            for change in schedules
        ],
        "openRuns": [
            {"subscription": name, "count": count, "queuedEnd": name in deleted}
            for name, count in sorted(open_runs.items())
        ],
        "openSources": [
            change.name
            for change in plan.changes
            if change.kind == "EventSource"
            and change.action in {Action.CREATED, Action.CONFIGURED}
            and plan.sources[change.name].spec.verify.is_open
        ],
        **(waiting or {"waitingFirings": [], "gatheredEvents": []}),
        "summary": {action.value: plan.count(action) for action in Action},
    }
