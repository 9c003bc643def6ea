"""AnsweredRequest: what a request has changed, kept so that its repeat changes nothing more."""

from collections.abc import Mapping
from dataclasses import field
from datetime import timedelta
from typing import Any, Final

from activityctl.domain.gitops.plan import Action, Change, Plan
from activityctl.domain.values import ids
from activityctl.domain.values.json_form import View
from activityctl.frozen_dataclass import frozen_dataclass

ANSWERS_KEPT: Final = timedelta(days=1)
"""For how long a repeat is recognised."""


@frozen_dataclass
class RequestKey:
    """What tells a repeat from a new request."""

    actor: str
    """Who sends it; others may use the same key."""
    key: str
    """What the client has chosen for it."""
    digest: str
    """A hash of what is asked for: a key is good for one request."""


@frozen_dataclass
class AnsweredRequest:
    """What a request has changed."""

    digest: str
    content: Mapping[str, Any] = field(default_factory=dict)
    """JSON, made by `answered`."""

    @property
    def plan(self) -> Plan:
        """The plan that was carried out, as far as its answer needs it: without the objects."""
        changes = tuple(
            Change(each["kind"], each["name"], Action(each["action"]), (), each["renamedFrom"])
            for each in self.content["changes"]
        )
        schedules = {ids.SubscriptionId(each): () for each in self.content["scheduled"]}
        deleted = {name: ids.SubscriptionId(each) for name, each in self.content["deleted"].items()}
        applyset = self.content["applyset"]
        return Plan({}, {}, schedules, changes, applyset, subscription_ids=deleted)

    @property
    def preview(self) -> View:
        """What a deletion has shown before it was done; empty for another request."""
        return dict(self.content["preview"])


def answered(digest: str, plan: Plan, preview: View | None = None) -> AnsweredRequest:
    """Return what is kept about a request whose plan was carried out."""
    content = {
        "applyset": plan.applyset,
        "changes": [
            {
                "kind": change.kind,
                "name": change.name,
                "action": change.action.value,
                "renamedFrom": change.renamed_from,
            }
            for change in plan.changes
        ],
        "scheduled": list(plan.schedules),
        "deleted": {name: plan.subscription_ids[name] for name in plan.deleted("Subscription")},
        "preview": preview or {},
    }
    return AnsweredRequest(digest, content)
