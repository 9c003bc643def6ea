"""Waiting: the firings and events that wait while a plan is applied, and what becomes of them."""

from collections.abc import Mapping
from dataclasses import field

from activityctl.domain.gitops.plan import Plan, Present
from activityctl.domain.values.json_form import View
from activityctl.frozen_dataclass import frozen_dataclass


@frozen_dataclass
class WaitingFirings:
    """Firings of a subscription that are decided and not started yet."""

    subscription_id: str
    revision: int
    """The number of the revision with which they run."""
    count: int


@frozen_dataclass
class Waiting:
    """All that waits for its time, a window, jitter, the order of a key or other events."""

    firings: tuple[WaitingFirings, ...] = ()
    gathered: Mapping[str, int] = field(default_factory=dict)
    """How many events wait for others, by subscription id."""


def waiting_view(plan: Plan, present: Present, waiting: Waiting, changed: set[str]) -> View:
    """Return what waits of the changed subscriptions, and what the plan does to it.

    `changed` has the names of the subscriptions that change, also through their definitions. A
    firing keeps its revision and params. Events that wait for others are matched again. Whatever
    waits of a deleted subscription ends without a run.
    """
    names: dict[str, str] = {
        subscription.id: subscription.name for subscription in present.subscriptions.values()
    }
    deleted = set(plan.deleted("Subscription"))
    return {
        "waitingFirings": [
            {
                "subscription": name,
                "revision": firings.revision,
                "count": firings.count,
                "ends": name in deleted,
            }
            for firings in sorted(waiting.firings, key=lambda each: each.revision)
            if (name := names[firings.subscription_id]) in changed
        ],
        "gatheredEvents": [
            {"subscription": name, "count": count, "ends": name in deleted}
            for owner, count in sorted(waiting.gathered.items())
            if (name := names[owner]) in changed
        ],
    }
