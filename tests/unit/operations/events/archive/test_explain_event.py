"""Explaining an event: matching triggers first, then the closest, each part with its values."""

from typing import Any

import pytest

from activityctl.domain.events.emit_result import ValidEvent
from activityctl.domain.events.envelope import envelope_of
from activityctl.domain.events.input import RawEvent
from activityctl.domain.manifests.subscription import SubscriptionStatus
from activityctl.errors import ConflictError
from activityctl.operations.events.explain_event import Explained, explain_stored, explain_unsent

LARGE = {"type": "order.paid", "filter": "event.data.amount >= params.least"}


def offered(kind: str = "order.paid", **data: Any) -> ValidEvent:
    document = {"specversion": "1.0", "id": "1", "source": "/shop", "type": kind, "data": data}
    return ValidEvent(RawEvent("event.json", 1, 1, 1, b""), envelope_of(document))


async def explained(world: Any, event: ValidEvent, subscription: str | None = None) -> Explained:
    (found,) = await explain_unsent(world.ports.catalog, [event], subscription)
    return found


def outcomes(found: Explained) -> list[tuple[str, str]]:
    return [(trigger.trigger, trigger.outcome) for trigger in found.triggers]


async def test_matching_triggers_come_first_then_the_closest(world: Any):
    far = {"type": "stock", "filter": 'event.data.amount > 1000 && event.data.region == "x"'}
    near = {"type": "order.paid", "filter": "event.data.amount > 1000"}
    broken = {"type": "order.paid", "filter": "event.data.missing > 1"}
    await world.apply(world.wanted({"far": far, "near": near, "broken": broken, "large": LARGE}))
    found = await explained(world, offered(amount=150, region="eu"))
    assert outcomes(found) == [
        ("large", "matches"),
        ("broken", "error"),
        ("near", "no_match"),
        ("far", "no_match"),
    ]


async def test_each_part_has_the_values_of_its_operands(world: Any):
    await world.apply(world.wanted({"large": LARGE}, params={"least": 200}))
    found = await explained(world, offered(amount=150))
    (trigger,) = found.view["triggers"]
    assert (trigger["outcome"], trigger["subscription"]) == ("no_match", "mine")
    kind, amount = trigger["patterns"][0]["parts"]
    assert (kind["holds"], amount["holds"]) == (True, False)
    assert amount["operands"] == [
        {"text": "event.data.amount", "value": 150, "error": None},
        {"text": "params.least", "value": 200, "error": None},
    ]


async def test_a_trigger_of_a_paused_subscription_is_paused(world: Any):
    await world.apply(world.wanted({"large": LARGE}, ("mine", "other")))
    await world.set_status("mine", SubscriptionStatus.PAUSED)
    found = await explained(world, offered(amount=150))
    assert [(trigger.subscription, trigger.outcome) for trigger in found.triggers] == [
        ("other", "matches"),
        ("mine", "paused"),
    ]


async def test_each_event_that_a_trigger_waits_for_has_its_name(world: Any):
    parts = [{"name": "order", "type": "order.*"}, {"name": "stock", "type": "stock"}]
    await world.apply(world.wanted({"both": {"all": parts, "within": "1h"}}))
    (trigger,) = (await explained(world, offered())).view["triggers"]
    assert (trigger["form"], trigger["outcome"]) == ("all", "matches")
    assert [(pattern["name"], pattern["matches"]) for pattern in trigger["patterns"]] == [
        ("order", True),
        ("stock", False),
    ]


async def test_one_subscription_can_be_explained_alone(world: Any):
    await world.apply(world.wanted({"large": LARGE}, ("mine", "other")))
    found = await explained(world, offered(), "other")
    assert [trigger.subscription for trigger in found.triggers] == ["other"]
    await world.set_status("other", SubscriptionStatus.DELETED)
    with pytest.raises(ConflictError, match="was deleted"):
        await explained(world, offered(), "other")
    assert [trigger.subscription for trigger in (await explained(world, offered())).triggers] == [
        "mine"
    ]


async def test_a_stored_event_is_explained_with_its_recorded_verdicts(world: Any):
    await world.apply(world.wanted({"large": LARGE}))
    await world.arrive(150)
    found = await explain_stored(world.ports.catalog, world.ports.events, "e0", None)
    assert found.view["event"]["data"] == {"amount": 150}
    assert found.view["verdicts"] == []
