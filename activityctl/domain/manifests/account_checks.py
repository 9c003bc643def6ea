"""Checks whether a subscription has the on-chain account that its definition needs."""

from typing import Final

from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.manifests.subscription import SubscriptionSpec
from activityctl.domain.manifests.task_tree import all_templates
from activityctl.domain.values.finding import Finding

_WEBHOOK: Final = "webhook"


def missing_account(spec: SubscriptionSpec, definition: DefinitionSpec) -> list[Finding]:
    """Return a finding if a task calls an executor and the subscription has no account."""
    if spec.account is not None:
        return []
    users = [task.name for task in all_templates(definition.all_tasks) if _WEBHOOK in task.kinds]
    if not users:
        return []
    reason = (
        f"account is missing, which task {users[0]} of {spec.activity} needs: add chainId and "
        "subAccountAddress"
    )
    return [Finding((), reason)]
