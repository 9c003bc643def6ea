"""Checks of the policy of executions: rules without an effect, and those that widen another."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from pydantic import ValidationError

from activityctl.domain.chain.account import Account
from activityctl.domain.chain.policy import CALL_TYPES, SPENDING, PolicyLayer
from activityctl.domain.chain.policy_fields import (
    ExecutionPolicy,
    NarrowedPolicy,
    decimals_of,
    layer_of,
    limit_cap,
    selector_of,
)
from activityctl.domain.manifests.calling_tasks import calling_body, calling_kind
from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.manifests.task_template import TaskTemplate
from activityctl.domain.manifests.task_tree import all_templates
from activityctl.domain.values.finding import Finding, Path

_POLICY: Final = "policy"
_NUMBERS: Final[Mapping[str, str]] = {
    "max_value": "maxValue",
    "max_gas": "maxGas",
    "time_to_live": "timeToLive",
}
_NO_TARGET: Final = "has no effect: targets does not have this address"


def policy_of(task: TaskTemplate) -> ExecutionPolicy | None:
    """Return the policy of a task's executions; None if it has none, or one that is not valid."""
    written = calling_body(task).get(_POLICY)
    if written is None:
        return None
    try:
        return ExecutionPolicy.model_validate_json(json.dumps(written))
    except ValidationError:
        return None


def check_execution_policy(task: TaskTemplate) -> Iterator[Finding]:
    """Yield what has no effect, or is missing, in the policy of a task."""
    policy, kind = policy_of(task), calling_kind(task) or ""
    if policy is None:
        body = calling_body(task)
        if "plugin" in body and body.get(_POLICY) is None:
            reason = "has no effect without policy: add policy with targets"
            yield Finding((kind, "plugin"), reason, at_key=True)
        return
    for finding in (*_check_windows(policy), *_check_targets(policy)):
        yield finding.under(kind, _POLICY)


def check_narrowing(account: Account, definition: DefinitionSpec) -> Iterator[Finding]:
    """Yield where the policy of an account is wider than every policy of its definition."""
    policies = [
        policy
        for task in all_templates(definition.all_tasks)
        if (policy := policy_of(task)) is not None
    ]
    for token, amount in account.token_limits.items():
        known = decimals_of(policies)
        targets = {target.lower() for policy in policies for target in policy.targets}
        reason = limit_cap(amount, known.get(token.lower()), token).unreadable
        if reason and token.lower() in targets:
            yield Finding(("tokenLimits", token), f"{reason} of the definition's policy")
    if account.policy is None:
        return
    if not policies:
        yield Finding((_POLICY,), "has no effect: the definition has no policy", at_key=True)
        return
    layers = [layer_of(policy, "") for policy in policies]
    for finding in (*_check_windows(account.policy), *_check_wider(account.policy, layers)):
        yield finding.under(_POLICY)


def _check_windows(policy: NarrowedPolicy) -> Iterator[Finding]:
    sums: list[Path] = [("tokens", token, "maxPerWindow") for token in _summed(policy)]
    if policy.max_value_per_window is not None:
        sums.append(("maxValuePerWindow",))
        if policy.max_value == "0":
            reason = "has no effect: maxValue is 0"
            yield Finding(("maxValuePerWindow",), reason, at_key=True)
    if policy.window is None:
        for path in sums:
            yield Finding(path, "needs window, which says how far back it counts", at_key=True)
    elif not sums:
        reason = "has no effect without maxValuePerWindow or maxPerWindow"
        yield Finding(("window",), reason, at_key=True)
    for token, limit in policy.tokens.items():
        if limit.max_per_execution is None and limit.max_per_window is None:
            reason = "is no limit: add maxPerExecution or maxPerWindow"
            yield Finding(("tokens", token), reason)


def _summed(policy: NarrowedPolicy) -> list[str]:
    limits = policy.tokens.items()
    return [token for token, limit in limits if limit.max_per_window is not None]


def _check_targets(policy: ExecutionPolicy) -> Iterator[Finding]:
    layer = layer_of(policy, "")
    targets = layer.targets or frozenset()
    if not targets:
        yield Finding(("targets",), "is empty, so nothing is relayed: name what may be called")
        return
    for token in policy.tokens:
        if token.lower() not in targets:
            yield Finding(("tokens", token), _NO_TARGET, at_key=True)
    for index, each in enumerate(policy.selectors or ()):
        path: Path = ("selectors", index)
        if each.target is None:
            continue
        if each.target.lower() not in targets:
            yield Finding((*path, "target"), _NO_TARGET)
        elif (
            known := SPENDING.get(selector_of(each.selector))
        ) and each.target.lower() not in layer.tokens:
            yield Finding(path, f"{known[0]} needs a limit of this token in tokens")


def _check_wider(policy: NarrowedPolicy, layers: Sequence[PolicyLayer]) -> Iterator[Finding]:
    """Yield what a narrowing policy allows, and none of the definition's policies does."""
    narrowed = layer_of(policy, "")
    for index, address in enumerate(policy.targets or ()):
        if not any(address.lower() in (layer.targets or ()) for layer in layers):
            yield Finding(("targets", index), _wider("does not have this address"))
    for index, each in enumerate(policy.selectors or ()):
        target, selector = each.target and each.target.lower(), selector_of(each.selector)
        if not any(_has_function(layer, target, selector) for layer in layers):
            yield Finding(("selectors", index), _wider("does not have this function"))
    for index, name in enumerate(policy.call_types or ()):
        if not any(CALL_TYPES[name] in (layer.call_types or ()) for layer in layers):
            yield Finding(("callTypes", index), _wider(f"does not have {name}"))
    for field, written in _NUMBERS.items():
        most = [getattr(layer, field) for layer in layers]
        given = getattr(narrowed, field)
        if given is not None and all(each is not None and given > each for each in most):
            yield Finding((written,), _wider(f"has a smaller {written}"))
    yield from _check_wider_tokens(policy, layers)


def _check_wider_tokens(policy: NarrowedPolicy, layers: Sequence[PolicyLayer]) -> Iterator[Finding]:
    narrowed = layer_of(policy, "")
    for token in policy.tokens:
        caps = [cap for layer in layers if (cap := layer.tokens.get(token.lower())) is not None]
        if not caps:
            yield Finding(("tokens", token), _wider("does not have this token"), at_key=True)
            continue
        given = narrowed.tokens[token.lower()].per_execution
        most = [cap.per_execution for cap in caps]
        if given is not None and all(each is not None and given > each for each in most):
            path = ("tokens", token, "maxPerExecution")
            yield Finding(path, _wider("has a smaller maxPerExecution"))


def _has_function(layer: PolicyLayer, target: str | None, selector: bytes) -> bool:
    if layer.functions is None:
        return True
    wanted = {(None, selector)} if target is None else {(None, selector), (target, selector)}
    of_any = {each for _, each in layer.functions} if target is None else set()
    return bool(wanted & layer.functions) or selector in of_any


def _wider(reason: str) -> str:
    return f"allows nothing more: the definition's policy {reason}"
