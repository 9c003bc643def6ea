"""The policy of an execution: that of its definition, narrowed by its subscription."""

from collections.abc import Sequence

from activityctl.domain.chain.account import Account
from activityctl.domain.chain.policy import Policy
from activityctl.domain.chain.policy_fields import ExecutionPolicy, account_layers, layer_of

_OF_DEFINITION = "the policy of the definition"
_OF_ACCOUNT = "the policy of the account"


def execution_policy(
    written: ExecutionPolicy | None,
    account: Account,
    *,
    in_force: Sequence[ExecutionPolicy | None] = (),
) -> Policy | None:
    """Return the effective policy; None if the definition has none, which allows nothing.

    `written` is the policy of the run's revision. `in_force` are policies of newer revisions that
    must allow the call as well, so that a stricter policy counts at once.
    """
    policies = [written, *in_force]
    given = [policy for policy in policies if policy is not None]
    if len(given) < len(policies):
        return None
    narrowed = account_layers(account.token_inputs, account.token_limits, given)
    if account.policy is not None:
        narrowed = (*narrowed, layer_of(account.policy, _OF_ACCOUNT))
    return Policy(tuple(layer_of(policy, _OF_DEFINITION) for policy in given), narrowed)
