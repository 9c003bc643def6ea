"""An event explained: who matches first, then the closest, each part with its value."""

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
    return [(one.trigger, one.outcome) for one in found.triggers]


async def test_those_that_match_come_first_then_those_that_are_closest(world: Any):
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


async def test_each_part_is_told_with_the_values_it_looked_at(world: Any):
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


async def test_a_paused_subscription_is_said_to_be(world: Any):
    await world.apply(world.wanted({"large": LARGE}, ("mine", "other")))
    await world.set_status("mine", SubscriptionStatus.PAUSED)
    found = await explained(world, offered(amount=150))
    assert [(one.subscription, one.outcome) for one in found.triggers] == [
        ("other", "matches"),
        ("mine", "paused"),
    ]


async def test_each_event_that_a_trigger_waits_for_is_told_by_name(world: Any):
    parts = [{"name": "order", "type": "order.*"}, {"name": "stock", "type": "stock"}]
    await world.apply(world.wanted({"both": {"all": parts, "within": "1h"}}))
    (trigger,) = (await explained(world, offered())).view["triggers"]
    assert (trigger["form"], trigger["outcome"]) == ("all", "matches")
    assert [(one["name"], one["matches"]) for one in trigger["patterns"]] == [
        ("order", True),
        ("stock", False),
    ]


async def test_one_subscription_alone(world: Any):
    await world.apply(world.wanted({"large": LARGE}, ("mine", "other")))
    found = await explained(world, offered(), "other")
    assert [one.subscription for one in found.triggers] == ["other"]
    await world.set_status("other", SubscriptionStatus.DELETED)
    with pytest.raises(ConflictError, match="was deleted"):
        await explained(world, offered(), "other")
    assert [one.subscription for one in (await explained(world, offered())).triggers] == ["mine"]


async def test_a_stored_event_is_told_with_what_was_recorded_when_it_came(world: Any):
    await world.apply(world.wanted({"large": LARGE}))
    await world.arrive(150)
    found = await explain_stored(world.ports.catalog, world.ports.events, "e0", None)
    assert found.view["event"]["data"] == {"amount": 150}
    assert found.view["verdicts"] == []
