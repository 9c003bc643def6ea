"""What `validate` says of a chain trigger, and the event trigger that is made of it."""

import json
from typing import Any

import pytest

from activityctl.domain.cel.expression import check_expression
from activityctl.domain.chain.trigger import ChainTrigger, as_event_trigger
from activityctl.domain.manifests.checks import Kinds, check_definition, check_subscription
from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.manifests.subscription import SubscriptionSpec
from activityctl.domain.values.model import Manifest

KINDS = Kinds({"note": Manifest}, {})
ADDRESS, TOPIC = "0x" + "22" * 20, "0x" + "11" * 32
TRANSFER = "event Transfer(address indexed from, address indexed to, uint256 value)"
TRANSFER_TOPIC = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"


def body(changes: dict[str, Any]) -> dict[str, Any]:
    whole = {"chainId": 8453, "address": ADDRESS, **changes}
    return {name: value for name, value in whole.items() if value is not ...}


def definition(changes: dict[str, Any]) -> DefinitionSpec:
    whole = {
        "params": {"type": "object", "properties": {"least": {"type": "string"}}},
        "triggers": [{"name": "t", "chain": body(changes)}],
        "tasks": [{"name": "a", "note": {}}],
    }
    return DefinitionSpec.model_validate_json(json.dumps(whole))


def found(changes: dict[str, Any]) -> list[tuple[str, str]]:
    findings = check_definition(definition(changes), KINDS)
    prefix = "triggers.0.chain"
    places = [".".join(map(str, finding.path)) for finding in findings]
    assert all(place.startswith(prefix) for place in places)
    reasons = [finding.reason for finding in findings]
    return [
        (place.removeprefix(prefix).lstrip("."), reason)
        for place, reason in zip(places, reasons, strict=True)
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"chainId": 2**53 - 1},
        {"address": "0x52908400098527886E0F7030069857D2E4169EE7"},
        {"address": [ADDRESS, "0x" + "33" * 20]},
        {"address": ..., "topics": [None]},
        {"address": ..., "abi": TRANSFER},
        {"topics": []},
        {"topics": [None, None, None, None]},
        {"topics": [[TOPIC, TOPIC.replace("1", "A")], None, TOPIC]},
        {"abi": TRANSFER, "topics": [None, TOPIC]},
        {"abi": TRANSFER, "topics": [TRANSFER_TOPIC, None]},
        {"abi": f"{TRANSFER} anonymous", "topics": [TOPIC]},
        {"abi": {"type": "event", "name": "Paid", "inputs": []}},
        {"fromBlock": "latest"},
        {"fromBlock": 0},
        {"confirmations": 0},
        {"filter": "event.data.args.value == params.least // all of it"},
        {"debounce": {"for": "10s", "key": "${ event.data.address }"}},
        {"batch": {"size": 10, "within": "1m"}, "ordered": True, "priority": 5},
        {"window": {"from": "08:00", "to": "18:00"}, "exclude": {"dates": ["2026-12-24"]}},
    ],
    ids=str,
)
def test_a_trigger_that_is_right_has_no_findings(changes: dict[str, Any]):
    assert found(changes) == []


@pytest.mark.parametrize(
    ("changes", "place", "reason"),
    [
        ({"chainId": ...}, "chainId", "required field is missing"),
        ({"chainId": 0}, "chainId", "greater than or equal to 1"),
        ({"chainId": "1"}, "chainId", "a valid integer"),
        ({"chainId": True}, "chainId", "a valid integer"),
        ({"chainId": 2**53}, "chainId", "less than or equal to"),
        ({"address": ...}, "", "names no logs: write address, topics or abi"),
        ({"address": None}, "", "names no logs"),
        ({"address": []}, "address", "at least 1 item"),
        ({"address": [ADDRESS] * 257}, "address", "at most 256 items"),
        ({"address": 5}, "address.0", "put the value in quotes"),
        ({"address": "0x0"}, "address.0", "is not an address: 0x and 40"),
        ({"address": [ADDRESS, "0x1"]}, "address.1", "is not an address"),
        (
            {"address": "0x52908400098527886E0F7030069857D2E4169Ee7"},
            "address.0",
            "has a wrong checksum (EIP-55)",
        ),
        ({"address": "${ params.least }"}, "address", "a trigger cannot use ${ … }"),
        ({"topics": TOPIC}, "topics", "a valid array"),
        ({"topics": [TOPIC] * 5}, "topics", "at most 4 items"),
        ({"topics": [[]]}, "topics.0", "at least 1 item"),
        ({"topics": [[TOPIC] * 257]}, "topics.0", "at most 256 items"),
        ({"topics": [None, [TOPIC, None]]}, "topics.1.1", "a valid string"),
        ({"topics": ["0x12"]}, "topics.0.0", "is not 32 bytes: 0x and 64"),
        ({"abi": "Transfer"}, "abi", "ends too early"),
        ({"abi": 5}, "abi", "should be a declaration such as event Transfer"),
        ({"abi": [TRANSFER]}, "abi", "should be a declaration"),
        ({"abi": {"type": "function", "name": "f"}}, "abi", "is of the type function"),
        ({"abi": "event T(uint7 a)"}, "abi", "integers have 8, 16, 24"),
        ({"abi": "event T(uint a, int a)"}, "abi", "two values have the name a"),
        (
            {"abi": f"event T({', '.join(f'address indexed a{n}' for n in range(4))})"},
            "abi",
            "more than 3 values are indexed",
        ),
        ({"abi": TRANSFER, "topics": [TOPIC]}, "topics.0", "is not the topic of Transfer"),
        (
            {"abi": TRANSFER, "topics": [[TRANSFER_TOPIC, TOPIC]]},
            "topics.0",
            "leave it out or write null",
        ),
        ({"fromBlock": -1}, "fromBlock", "latest, or the number of a block"),
        ({"fromBlock": 2**53}, "fromBlock", "latest, or the number of a block"),
        ({"fromBlock": "earliest"}, "fromBlock", "latest, or the number of a block"),
        ({"fromBlock": "0x10"}, "fromBlock", "latest, or the number of a block"),
        ({"fromBlock": True}, "fromBlock", "latest, or the number of a block"),
        ({"fromBlock": None}, "fromBlock", "latest, or the number of a block"),
        ({"confirmations": -1}, "confirmations", "greater than or equal to 0"),
        ({"confirmations": 10_001}, "confirmations", "less than or equal to 10000"),
        ({"confirmations": "3"}, "confirmations", "a valid integer"),
        ({"filter": ""}, "filter", "the expression is empty"),
        ({"filter": "params.least =="}, "filter", "ends too early"),
        ({"filter": "params.nope == 1"}, "filter", "`params` has no `nope`"),
        ({"filter": "run.id == 'x'"}, "filter", "`run` is not available here"),
        ({"filter": "true) || (true", "topics": [None]}, "filter", "unexpected `)`"),
        ({"ordered": "yes"}, "ordered", "a valid boolean"),
        ({"priority": 101}, "priority", "less than or equal to 100"),
        ({"batch": {"size": 0, "within": "1s"}}, "batch.size", "greater than or equal to 1"),
        (
            {"debounce": {"for": "1s"}, "batch": {"size": 2, "within": "1s"}},
            "batch",
            "cannot be combined with debounce",
        ),
        (
            {"debounce": {"for": "1s", "key": "${ nope }"}},
            "debounce.key",
            "unknown name `nope`",
        ),
        ({"chainid": 4}, "chainid", "did you mean 'chainId'?"),
        ({"type": "chain.log"}, "type", "unknown field 'type'"),
        ({"all": []}, "all", "unknown field 'all'"),
    ],
    ids=str,
)
def test_what_is_wrong_is_said_at_its_place(changes: dict[str, Any], place: str, reason: str):
    ((where, why),) = found(changes)
    assert where == place
    assert reason in why


def test_an_override_of_a_chain_trigger_is_checked_as_a_trigger():
    def check(override: dict[str, Any]) -> list[str]:
        spec = {"activity": "a", "triggers": {"t": override}}
        manifest = SubscriptionSpec.model_validate_json(json.dumps(spec))
        return [finding.reason for finding in check_subscription(manifest, definition({}))]

    assert check({"chain": body({"address": "0x" + "44" * 20})}) == []
    (reason,) = check({"chain": body({"confirmations": -1})})
    assert "greater than or equal to 0" in reason


@pytest.mark.parametrize(
    "changes",
    [
        {"filter": "true // with a comment"},
        {"filter": "true // with a comment", "topics": [None, None]},
        {"filter": "true ||\n  false"},
        {"topics": [None]},
        {},
    ],
    ids=str,
)
@pytest.mark.parametrize("begun", [{}, {"after": 7}, {"after": 7, "scan": '8453/12/1-"7'}])
def test_the_filter_of_the_event_trigger_is_an_expression(
    changes: dict[str, Any], begun: dict[str, Any]
):
    trigger = ChainTrigger.model_validate_json(json.dumps(body(changes)))
    made = as_event_trigger(trigger, **begun).filter
    assert made is None or check_expression(made, ("event",)) is None
    assert (made is None) is (not changes and not begun)
