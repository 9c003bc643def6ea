"""Explain and dry run predict exactly the verdicts that the router then stores."""

from typing import Any

import pytest

from activityctl.daemon.worker.router import Router
from activityctl.domain.events.emit_result import ValidEvent
from activityctl.domain.events.envelope import envelope_of
from activityctl.domain.events.input import RawEvent
from activityctl.domain.manifests.subscription import SubscriptionStatus
from activityctl.operations.events.dry_run import DryRunIndex
from activityctl.operations.events.explain_event import explain_unsent

KEY = "${ event.data.order }"
MADE = {"name": "made", "type": "order.made"}
PAID = {"name": "paid", "type": "order.paid", "filter": "event.data.amount > params.least"}
TRIGGERS = {
    "both": {"all": [MADE, PAID], "within": "1h", "key": KEY},
    "following": {"sequence": [MADE, PAID], "within": "1h", "key": KEY},
    "unpaid": {
        "absence": {
            "after": {"type": "order.made"},
            "of": {"type": "order.paid"},
            "within": "1h",
            "key": KEY,
        }
    },
    "quiet": {"type": "order.*", "debounce": {"for": "5s", "key": KEY}},
    "many": {"type": "order.*", "batch": {"size": 5, "within": "5s", "key": KEY}},
    "by-params": {
        "type": "order.*",
        "batch": {"size": 5, "within": "5s", "key": "${ params.none }"},
    },
    "together": {"type": "order.*", "batch": {"size": 5, "within": "5s"}},
    "each": {"type": "order.paid", "filter": "event.data.amount > params.least"},
    "either": {
        "all": [
            {"name": "odd", "type": "order.*", "filter": "event.data.missing > 1"},
            {"name": "any", "type": "order.made"},
        ],
        "within": "1h",
    },
}
COUNTED = {"woken", "gathered", "dropped"}
"""`dropped` belongs here: it depends on the events that wait, not on the match."""
_EXPLAINED = {"matches": COUNTED, "paused": {"paused"}, "error": {"error"}}


def an_event(kind: str, data: dict[str, Any]) -> dict[str, Any]:
    return {"specversion": "1.0", "id": "1", "source": "/shop", "type": kind, "data": data}


@pytest.mark.parametrize("is_paused", [False, True])
@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("order.made", {"order": 7}),
        ("order.made", {"amount": 3}),
        ("order.paid", {"order": "7", "amount": 300}),
        ("order.paid", {"order": "7", "amount": 3}),
        ("order.paid", {"amount": 300}),
        ("order.paid", {"order": "7"}),
        ("stock", {"order": "7"}),
    ],
)
async def test_the_router_stores_the_predicted_verdicts(
    world: Any, kind: str, data: dict[str, Any], *, is_paused: bool
):
    await world.apply(world.wanted(TRIGGERS))
    if is_paused:
        await world.set_status("mine", SubscriptionStatus.PAUSED)
    event = envelope_of(an_event(kind, data))
    present = await world.ports.catalog.present()
    results = DryRunIndex(present).results_for(event.document)
    woken = DryRunIndex(present).woken(event.document)
    offered = ValidEvent(RawEvent("event.json", 1, 1, 1, b""), event)
    (explained,) = await explain_unsent(world.ports.catalog, [offered], None)

    await world.ports.events.add([event])
    await Router(world.ports.events, lambda: None).route()
    verdicts = {
        verdict.trigger: verdict for verdict in await world.ports.events.verdicts([event.event_id])
    }

    for explanation in explained.triggers:
        verdict = verdicts.pop(explanation.trigger, None)
        recorded = verdict and verdict.outcome.value
        wakes = {result.wakes for result in results if result.trigger == explanation.trigger}
        reasons = {result.reason for result in results if result.trigger == explanation.trigger}
        assert recorded in _EXPLAINED.get(explanation.outcome, {None}), explanation
        assert (True in wakes) == (recorded in COUNTED), explanation
        if verdict and verdict.outcome.value in {"error", "paused"}:
            assert verdict.reason in reasons
            assert verdict.reason == (explanation.reason or "the subscription is paused")
    assert not verdicts, "every stored verdict was predicted"
    assert {(result.trigger, result.part) for result in woken} == {
        (result.trigger, result.part) for result in results if result.wakes
    }


async def test_a_key_without_a_value_is_explained_with_its_template(world: Any):
    await world.apply(world.wanted({"both": TRIGGERS["both"]}))
    offered = ValidEvent(
        RawEvent("event.json", 1, 1, 1, b""), envelope_of(an_event("order.made", {"amount": 3}))
    )
    (found,) = await explain_unsent(world.ports.catalog, [offered], None)
    (trigger,) = found.view["triggers"]
    error = trigger["key"]["error"]
    assert error.startswith("no such key: 'order'")
    assert (trigger["outcome"], trigger["reason"]) == ("error", f"key error: {error}")
    assert trigger["key"] == {"text": KEY, "value": None, "error": error}


async def test_the_value_of_a_key_is_explained_as_gathering_uses_it(world: Any):
    await world.apply(world.wanted({"both": TRIGGERS["both"], "each": TRIGGERS["each"]}))
    offered = ValidEvent(
        RawEvent("event.json", 1, 1, 1, b""), envelope_of(an_event("order.made", {"order": 7}))
    )
    (found,) = await explain_unsent(world.ports.catalog, [offered], None)
    keys = {trigger["trigger"]: trigger["key"] for trigger in found.view["triggers"]}
    assert keys == {"both": {"text": KEY, "value": "7", "error": None}, "each": None}


async def test_an_event_counts_for_a_matching_part_although_another_part_fails(world: Any):
    await world.apply(world.wanted({"either": TRIGGERS["either"]}))
    event = envelope_of(an_event("order.made", {}))
    results = DryRunIndex(await world.ports.catalog.present()).results_for(event.document)
    assert [(result.part, result.wakes) for result in results] == [("any", True), ("odd", False)]
    assert "filter error" in (results[1].reason or "")
    await world.ports.events.add([event])
    await Router(world.ports.events, lambda: None).route()
    (verdict,) = await world.ports.events.verdicts([event.event_id])
    assert verdict.outcome.value == "gathered"
