"""Refuses to bring back what was deleted from an apply set that the caller may not change."""

from activityctl.domain.gitops.history import former_set
from activityctl.domain.gitops.plan import Action, Plan, Present
from activityctl.domain.gitops.reach import Reach, require_revived
from activityctl.ports import Catalog


async def require_former_sets(reach: Reach, plan: Plan, present: Present, catalog: Catalog) -> None:
    """Raise NotAllowedError if a subscription returns that was deleted from a set out of reach.

    Its runs and its state would come with it.
    """
    for change in () if reach.may_change(None) else plan.changes:
        is_back = change.action is Action.CREATED and change.name in present.subscriptions
        if change.kind == "Subscription" and is_back:
            past = await catalog.history(change.kind, change.name)
            require_revived(reach, change.name, former_set(past))
