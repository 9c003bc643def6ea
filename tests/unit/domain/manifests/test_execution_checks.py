"""The findings about policies of executions, with the place of each."""

import json
from typing import Any

import pytest

from activityctl.domain.manifests.checks import check_definition, check_subscription
from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.manifests.subscription import SubscriptionSpec
from activityctl.executors.registry import known_kinds

VAULT, TOKEN, OTHER = (f"0x{digit * 40}" for digit in "abc")
Found = list[tuple[tuple[str | int, ...], str]]


def definition(policy: Any) -> DefinitionSpec:
    body = {
        "baseURL": "https://executor.example",
        "registryID": "r",
        "executorAddress": VAULT,
        "hmacKey": "k",
        **({} if policy is None else {"policy": policy}),
    }
    document = {"tasks": [{"name": "a", "webhook": body}]}
    return DefinitionSpec.model_validate_json(json.dumps(document))


def in_policy(policy: Any) -> Found:
    found = check_definition(definition(policy), known_kinds())
    prefix = ("tasks", 0, "webhook", "policy")
    assert all(finding.path[:4] == prefix for finding in found)
    return [(finding.path[4:], finding.reason) for finding in found]


def in_account(account: dict[str, Any], policy: Any) -> Found:
    document = {
        "activity": "digest",
        "account": {"chainId": 1, "subAccountAddress": VAULT, **account},
    }
    spec = SubscriptionSpec.model_validate_json(json.dumps(document))
    found = check_subscription(spec, definition(policy))
    return [(finding.path[1:], finding.reason) for finding in found]


FULL = {
    "targets": [VAULT, TOKEN],
    "selectors": ["deposit(uint256,address)", {"selector": "0xa9059cbb", "target": TOKEN}],
    "callTypes": ["call"],
    "maxValue": "10",
    "maxValuePerWindow": "100",
    "window": "24h",
    "tokens": {TOKEN: {"maxPerExecution": "5", "maxPerWindow": "50", "decimals": 18}},
    "maxGas": 500_000,
    "timeToLive": "5m",
}


def test_a_python_task_that_makes_calls_is_checked_as_a_webhook_is():
    def found(body: dict[str, Any], account: dict[str, Any] | None = None) -> list[str]:
        tasks = [{"name": "a", "python": {"strategy": "s", **body}}]
        spec = DefinitionSpec.model_validate_json(json.dumps({"tasks": tasks}))
        subscription = {"activity": "digest", **({} if account is None else {"account": account})}
        mine = SubscriptionSpec.model_validate_json(json.dumps(subscription))
        findings = [*check_definition(spec, known_kinds()), *check_subscription(mine, spec)]
        return [f"{'.'.join(map(str, each.path))}: {each.reason}" for each in findings]

    calls = {"executorAddress": VAULT, "plugin": OTHER, "policy": FULL}
    account = {"chainId": 1, "subAccountAddress": VAULT}
    assert found({}) == []
    assert found({**calls, "relay": {"relayers": ["r"]}}, account) == []
    narrowed = {**account, "policy": {"targets": [OTHER]}}
    for body, owner, wanted in (
        (calls, None, "account is missing, which task a of digest needs"),
        ({**calls, "policy": None}, account, "python.plugin: has no effect without policy"),
        ({**calls, "policy": {"targets": []}}, account, "python.policy.targets: is empty"),
        (calls, narrowed, "account.policy.targets.0: allows nothing more"),
        ({"plugin": OTHER}, None, "has plugin, and no executorAddress that makes calls"),
        ({"registryID": "r"}, None, "has registryID, and no executorAddress"),
        ({"fields": "audited-7"}, None, "has fields, and no executorAddress"),
        ({"executorAddress": VAULT, "relay": {"relayers": ["r"]}}, account, "no plugin to send"),
        ({**calls, "plugin": "${ params.p }"}, account, "a value must not choose what runs"),
    ):
        assert any(wanted in reason for reason in found(body, owner)), wanted


def test_a_full_policy_and_one_that_narrows_it_have_no_findings():
    assert in_policy(FULL) == []
    assert in_account({"policy": FULL, "tokenLimits": {TOKEN: "0.5"}}, FULL) == []
    assert in_account({}, None) == []


@pytest.mark.parametrize(
    ("change", "place", "reason"),
    [
        ({"targets": []}, ("targets",), "is empty, so nothing is relayed"),
        ({"targets": ["0x1"]}, ("targets", 0), "not an address"),
        ({"targets": None}, ("targets",), "should be a valid"),
        ({"targets": ["${ params.x }"]}, ("targets", 0), "a value must not choose what runs"),
        ({"selectors": ["0xa9059c"]}, ("selectors", 0, "selector"), "a selector has 4"),
        ({"selectors": ["transfer"]}, ("selectors", 0, "selector"), "write a function like"),
        ({"selectors": [{"selector": "f()", "to": TOKEN}]}, ("selectors", 0, "to"), "unknown"),
        (
            {"selectors": [{"selector": "f()", "target": OTHER}]},
            ("selectors", 0, "target"),
            "targets does not have this address",
        ),
        (
            {"selectors": [{"selector": "approve(address,uint256)", "target": VAULT}]},
            ("selectors", 0),
            "approve needs a limit of this token in tokens",
        ),
        ({"callTypes": ["create"]}, ("callTypes", 0), "should be 'call' or 'delegatecall'"),
        ({"maxValue": 5}, ("maxValue",), "put the value in quotes"),
        ({"maxValue": "0.5"}, ("maxValue",), "is not an amount"),
        ({"maxValue": "0"}, ("maxValuePerWindow",), "has no effect: maxValue is 0"),
        ({"window": "0s"}, ("window",), "longer than 0s"),
        ({"tokens": {OTHER: {"maxPerExecution": "1"}}}, ("tokens", OTHER), "targets does not"),
        ({"tokens": {TOKEN: {"decimals": 6}}}, ("tokens", TOKEN), "is no limit"),
        ({"maxGas": 20_999}, ("maxGas",), "greater than or equal to 21000"),
        ({"timeToLive": 5}, ("timeToLive",), "has no unit"),
        ({"target": []}, ("target",), "did you mean 'targets'?"),
    ],
)
def test_what_is_wrong_with_a_policy_is_found_at_its_place(
    change: dict[str, Any], place: tuple[str | int, ...], reason: str
):
    found = in_policy({**FULL, **change})
    assert any(reason in text for path, text in found if path == place)


def test_windows_and_their_limits_need_each_other():
    without = {name: value for name, value in FULL.items() if name != "window"}
    assert [path for path, _ in in_policy(without)] == [
        ("tokens", TOKEN, "maxPerWindow"),
        ("maxValuePerWindow",),
    ]
    ((place, reason),) = in_policy({"targets": [VAULT], "window": "1h"})
    assert place == ("window",)
    assert "has no effect" in reason


@pytest.mark.parametrize(
    ("narrowed", "place", "reason"),
    [
        ({"targets": [OTHER]}, ("targets", 0), "does not have this address"),
        ({"selectors": ["deposit()"]}, ("selectors", 0), "does not have this function"),
        ({"callTypes": ["delegatecall"]}, ("callTypes", 0), "does not have delegatecall"),
        ({"maxValue": "11"}, ("maxValue",), "has a smaller maxValue"),
        ({"maxGas": 500_001}, ("maxGas",), "has a smaller maxGas"),
        ({"timeToLive": "6m"}, ("timeToLive",), "has a smaller timeToLive"),
        (
            {"tokens": {TOKEN: {"maxPerExecution": "6"}}},
            ("tokens", TOKEN, "maxPerExecution"),
            "has a smaller maxPerExecution",
        ),
        (
            {"tokens": {VAULT: {"maxPerExecution": "1"}}},
            ("tokens", VAULT),
            "does not have this token",
        ),
        ({"maxValuePerWindow": "1"}, ("maxValuePerWindow",), "needs window"),
    ],
)
def test_a_subscription_that_would_widen_is_told_so(
    narrowed: dict[str, Any], place: tuple[str | int, ...], reason: str
):
    ((path, found),) = in_account({"policy": narrowed}, FULL)
    assert path == ("policy", *place)
    assert reason in found


def test_an_account_needs_a_policy_to_narrow_and_decimals_for_its_limits():
    ((path, reason),) = in_account({"policy": {"maxValue": "0"}}, None)
    assert path == ("policy",)
    assert "the definition has no policy" in reason
    limits = {"targets": [TOKEN], "tokens": {TOKEN: {"maxPerExecution": "5"}}}
    ((path, reason),) = in_account({"tokenLimits": {TOKEN: "0.5", OTHER: "1"}}, limits)
    assert path == ("tokenLimits", TOKEN)
    assert "add decimals" in reason
