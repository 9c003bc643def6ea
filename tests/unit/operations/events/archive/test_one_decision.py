"""What explain and a rehearsal say of an event is what the router then records of it."""

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
"""`dropped`: what waits decides, as when something follows that nothing waited for."""
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
async def test_what_is_told_before_is_what_the_router_records(
    world: Any, kind: str, data: dict[str, Any], *, is_paused: bool
):
    await world.apply(world.wanted(TRIGGERS))
    if is_paused:
        await world.set_status("mine", SubscriptionStatus.PAUSED)
    event = envelope_of(an_event(kind, data))
    present = await world.ports.catalog.present()
    prospects = DryRunIndex(present).results_for(event.document)
    woken = DryRunIndex(present).woken(event.document)
    offered = ValidEvent(RawEvent("event.json", 1, 1, 1, b""), event)
    (explained,) = await explain_unsent(world.ports.catalog, [offered], None)

    await world.ports.events.add([event])
    await Router(world.ports.events, lambda: None).route()
    verdicts = {one.trigger: one for one in await world.ports.events.verdicts([event.event_id])}

    for one in explained.triggers:
        verdict = verdicts.pop(one.trigger, None)
        recorded = verdict and verdict.outcome.value
        wakes = {prospect.wakes for prospect in prospects if prospect.trigger == one.trigger}
        reasons = {prospect.reason for prospect in prospects if prospect.trigger == one.trigger}
        assert recorded in _EXPLAINED.get(one.outcome, {None}), one
        assert (True in wakes) == (recorded in COUNTED), one
        if verdict and verdict.outcome.value in {"error", "paused"}:
            assert verdict.reason in reasons
            assert verdict.reason == (one.reason or "the subscription is paused")
    assert not verdicts, "nothing is recorded that was not foretold"
    assert {(one.trigger, one.part) for one in woken} == {
        (one.trigger, one.part) for one in prospects if one.wakes
    }


async def test_a_key_without_a_value_is_told_with_its_template(world: Any):
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


async def test_a_keys_value_is_told_as_events_are_kept_apart_by_it(world: Any):
    await world.apply(world.wanted({"both": TRIGGERS["both"], "each": TRIGGERS["each"]}))
    offered = ValidEvent(
        RawEvent("event.json", 1, 1, 1, b""), envelope_of(an_event("order.made", {"order": 7}))
    )
    (found,) = await explain_unsent(world.ports.catalog, [offered], None)
    keys = {one["trigger"]: one["key"] for one in found.view["triggers"]}
    assert keys == {"both": {"text": KEY, "value": "7", "error": None}, "each": None}


async def test_an_event_counts_for_a_part_that_it_matches_whatever_fails_beside_it(world: Any):
    await world.apply(world.wanted({"either": TRIGGERS["either"]}))
    event = envelope_of(an_event("order.made", {}))
    prospects = DryRunIndex(await world.ports.catalog.present()).results_for(event.document)
    assert [(one.part, one.wakes) for one in prospects] == [("any", True), ("odd", False)]
    assert "filter error" in (prospects[1].reason or "")
    await world.ports.events.add([event])
    await Router(world.ports.events, lambda: None).route()
    (verdict,) = await world.ports.events.verdicts([event.event_id])
    assert verdict.outcome.value == "gathered"
