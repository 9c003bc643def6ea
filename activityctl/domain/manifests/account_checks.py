"""Checks of the on-chain account of a subscription, against its definition."""

from activityctl.domain.manifests.calling_tasks import calling_kind
from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.manifests.execution_checks import check_narrowing
from activityctl.domain.manifests.subscription import SubscriptionSpec
from activityctl.domain.manifests.task_tree import all_templates
from activityctl.domain.values.finding import Finding


def check_account(spec: SubscriptionSpec, definition: DefinitionSpec) -> list[Finding]:
    """Return what is wrong with an account, also that it is missing though a task needs it."""
    if spec.account is not None:
        findings = check_narrowing(spec.account, definition)
        return [finding.under("account") for finding in findings]
    users = [task.name for task in all_templates(definition.all_tasks) if calling_kind(task)]
    if not users:
        return []
    reason = (
        f"account is missing, which task {users[0]} of {spec.activity} needs: add chainId and "
        "subAccountAddress"
    )
    return [Finding((), reason)]
