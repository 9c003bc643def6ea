"""What causes a simulated trigger: now, an event, a run; and which logs of blocks would."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from activityctl.domain.chain.node_answer import AnswerFault
from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.manifests.subscription import Subscription, SubscriptionStatus
from activityctl.domain.values.ids import SubscriptionId
from activityctl.errors import UsageError
from activityctl.operations.looking.logs_in_range import chain_triggers, logs_in_range
from activityctl.operations.looking.simulated_trigger import (
    trigger_now,
    trigger_of_event,
    webhook_task,
)
from activityctl.ports import CallRefusedError

NOW = datetime(2026, 5, 1, 12, 30, 5, tzinfo=UTC)
TOKEN = "0x833589fcd6edb6e08f4c7c32d4f71b54bda02913"
TOPIC = "0x" + 64 * "d"
TASK = {"name": "one", "webhook": {"baseURL": "https://executor.example"}}
TRIGGERS = [
    {
        "name": "log",
        "chain": {
            "chainId": 8453,
            "address": TOKEN,
            "topics": [TOPIC],
            "filter": "event.data.blockNumber > 3",
        },
    },
    {"name": "order", "event": {"type": "order.created"}},
    {"name": "tick", "interval": {"every": "1h"}},
]


def spec(*tasks: Any, triggers: Any = TRIGGERS) -> DefinitionSpec:
    written = {"tasks": list(tasks or (TASK,)), "triggers": triggers}
    return DefinitionSpec.model_validate_json(json.dumps(written))


def owner(**overrides: Any) -> Subscription:
    key, active = SubscriptionId("sub-1"), SubscriptionStatus.ACTIVE
    return Subscription(key, "one", "two", {}, overrides, active, NOW, NOW)


def test_the_task_must_be_clear():
    other = {"name": "two", "value": 1}
    assert webhook_task(spec(other, TASK), None) == "one"
    assert webhook_task(spec(TASK, {**TASK, "name": "more"}), "more") == "more"
    for tasks, named in (([other], None), ([TASK], "two"), ([TASK, {**TASK, "name": "b"}], None)):
        with pytest.raises(UsageError):
            webhook_task(spec(*tasks), named)


def test_now_is_a_trigger_of_the_time():
    found = trigger_now(owner(), spec(), None, NOW)
    assert (found.name, found.kind, found.due_at) == ("tick", "interval", NOW)
    assert trigger_now(owner(tick=None), spec(), None, NOW).kind is None
    for name in ("log", "unknown"):
        with pytest.raises(UsageError):
            trigger_now(owner(), spec(), name, NOW)


def test_an_event_fires_the_trigger_that_it_matches():
    event = {"specversion": "1.0", "id": "1", "source": "/shop", "type": "order.created"}
    found, reason = trigger_of_event(owner(), spec(), None, event, NOW)
    assert (found.name, found.kind, found.event, reason) == ("order", "event", event, None)
    found, reason = trigger_of_event(owner(), spec(), "log", event, NOW)
    assert (found.name, found.kind) == ("log", "chain")
    assert reason
    for name in ("tick", "unknown"):
        with pytest.raises(UsageError):
            trigger_of_event(owner(), spec(), name, event, NOW)


@dataclass
class Node:
    """One node that answers at most 4 blocks at once, with one log in each block."""

    asked: list[tuple[int, int]] = field(default_factory=list)
    chain_id: int = 8453

    async def nodes(self, _chain_id: int) -> "Node":
        return self

    async def use(self, work: Callable[..., Any]) -> Any:
        return await work(self)

    async def call(self, method: str, *params: Any) -> Any:
        if method == "eth_getBlockByNumber":
            word = "0x" + 64 * "e"
            return {"number": params[0], "hash": word, "parentHash": word, "timestamp": "0x5"}
        assert method == "eth_getLogs"
        (query,) = params
        first, last = int(query["fromBlock"], 16), int(query["toBlock"], 16)
        if last - first >= 4:
            raise CallRefusedError(AnswerFault.TOO_WIDE, -32047, "range is too wide", None)
        self.asked.append((first, last))
        return [_log(number) for number in range(first, last + 1)]


def _log(number: int) -> dict[str, Any]:
    word = "0x" + f"{number:064x}"
    return {
        "address": TOKEN,
        "topics": [TOPIC],
        "data": "0x",
        "blockNumber": hex(number),
        "blockHash": word,
        "transactionHash": word,
        "transactionIndex": "0x0",
        "logIndex": "0x0",
    }


async def test_the_logs_of_a_range_are_judged_and_fire_when_they_are_saved():
    node, triggers = Node(), chain_triggers(owner(), spec(), None)
    found = await logs_in_range(node, triggers, 0, 9)
    assert [each.log.block_number for each in found] == list(range(10))
    assert [each.reason is None for each in found] == 4 * [False] + 6 * [True]
    assert min(node.asked) == (0, 2)
    assert found[9].view["fires"] is True
    saved = found[9].event
    trigger, reason = trigger_of_event(owner(), spec(), None, saved, NOW)
    assert (trigger.name, reason) == ("log", None)
    for first, last in ((2, 1), (0, 1_000_000)):
        with pytest.raises(UsageError):
            await logs_in_range(node, triggers, first, last)
    with pytest.raises(UsageError):
        chain_triggers(owner(log=None), spec(), None)
