"""The findings of `check_definition` in concurrency and throttle."""

import json
from typing import Any

import pytest

from activityctl.domain.manifests.checks import Kinds, check_definition
from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.values.model import Manifest

KINDS = Kinds({"call": Manifest}, {})
PARAMS = {"type": "object", "properties": {"account": {"type": "string"}}}
ON_EVENT = {"name": "orders", "event": {"type": "order.paid"}}
THROTTLE = {"limit": 10, "per": "1h"}


def found(**fields: Any) -> list[tuple[str, str, int | None, bool]]:
    tasks = [{"name": "a", "call": {}}]
    document = {"tasks": tasks, "params": PARAMS, "context": [], **fields}
    spec = DefinitionSpec.model_validate_json(json.dumps(document))
    return [
        (".".join(map(str, finding.path)), finding.reason, finding.offset, finding.at_key)
        for finding in check_definition(spec, KINDS)
    ]


@pytest.mark.parametrize(
    "key",
    [
        None,
        "${ params.account }",
        "${ trigger.payload.customer }/${ trigger.name }",
        "${ event.data.customer }",
    ],
)
def test_keys_can_read_params_trigger_and_event(key: str | None):
    keyed = {} if key is None else {"key": key}
    concurrency = {"policy": "queue", **keyed}
    assert found(triggers=[ON_EVENT], concurrency=concurrency, throttle={**THROTTLE, **keyed}) == []


def test_without_an_event_trigger_a_key_cannot_read_event():
    key = "x-${ event.data.customer }"
    gates = {"concurrency": {"policy": "skip", "key": key}, "throttle": {**THROTTLE, "key": key}}
    reason = "event is null: the definition has no event trigger"
    daily = {"name": "daily", "cron": {"schedule": "@daily"}}
    assert found(triggers=[daily], **gates) == [
        ("concurrency.key", reason, 5, False),
        ("throttle.key", reason, 5, False),
    ]
    assert found(triggers=[daily, ON_EVENT], **gates) == []


def test_a_key_without_a_template_is_found():
    gates = {"concurrency": {"policy": "skip", "key": "eu"}, "throttle": {**THROTTLE, "key": "eu"}}
    reason = "is the same for every run; use ${ … } or leave the key out"
    assert found(**gates) == [
        ("concurrency.key", reason, None, False),
        ("throttle.key", reason, None, False),
    ]


@pytest.mark.parametrize("name", ["context", "tasks", "run", "state", "now", "item"])
def test_keys_cannot_read_variables_of_the_run(name: str):
    key = f"x-${{ {name} }}"
    gates = {"concurrency": {"policy": "skip", "key": key}, "throttle": {**THROTTLE, "key": key}}
    reason = f"`{name}` is not available here"
    assert found(**gates) == [
        ("concurrency.key", reason, 5, False),
        ("throttle.key", reason, 5, False),
    ]


def test_a_param_that_does_not_exist_is_found_in_a_key():
    ((path, reason, _, _),) = found(concurrency={"policy": "skip", "key": "${ params.acount }"})
    assert path == "concurrency.key"
    assert "acount" in reason


def test_a_limit_without_a_policy_is_found():
    reason = "has no effect without a policy: set policy to skip, queue or replace"
    assert found(concurrency={"limit": 2, "key": "${ params.account }"}) == [
        ("concurrency.key", reason, None, True),
        ("concurrency.limit", reason, None, True),
    ]
    reason = "has no effect with policy allow: set policy to skip, queue or replace"
    assert found(concurrency={"policy": "allow", "limit": 2}) == [
        ("concurrency.limit", reason, None, True)
    ]
    assert found(concurrency={"policy": "allow"}) == []
    assert found(concurrency={}) == []


def test_ordered_events_need_no_policy_for_a_key():
    ordered = {"name": "orders", "event": {"type": "order.paid", "ordered": True}}
    key = {"key": "${ event.data.customer }"}
    assert found(triggers=[ordered], concurrency=key) == []
    ((path, *_),) = found(triggers=[ON_EVENT], concurrency=key)
    assert path == "concurrency.key"


def test_a_throttle_over_no_time_is_found():
    assert found(throttle={"limit": 1, "per": "0s"}) == [
        ("throttle.per", "should be longer than 0s", None, False)
    ]
